"""The sweep: every picture through every codec at every setting, into the table. A broken-off one is taken up again.

A row that lacks a metric gets it: the picture is coded again, and if the file is as long as it was, only what is
missing is measured.
"""

from __future__ import annotations

import importlib.metadata
import json
import multiprocessing
import os
import platform
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aecodec.engine.choice import has_torch

from . import table
from .codecs import Codec, Options, open_codec
from .metrics import BY_NAME, measure
from .pictures import Picture
from .table import Row, setting_text

TABLE, RUN = "results.csv", "run.json"
LIBRARIES = ("numpy", "pillow", "torch", "bjontegaard", "scipy", "cvvdp")
QUICK_PICTURES, QUICK_SETTINGS = 2, 4


class SweepStopped(Exception):
    """The sweep cannot go on; what was measured is kept, and the message says how to take it up again."""


@dataclass(frozen=True)
class Task:
    """One picture through one codec at some settings: what a worker takes at a time.

    `earlier` has the rows of those settings that were measured before, with other metrics.
    """

    picture: Picture
    codec: str
    settings: tuple[float, ...]
    options: Options
    metrics: tuple[str, ...]
    earlier: Mapping[str, Row] = field(default_factory=dict)


@dataclass
class Outcome:
    """What a sweep did: rows measured now, rows found in the table, and failures by picture, codec and setting."""

    measured: int = 0
    kept: int = 0
    failures: dict[str, str] = field(default_factory=dict)


_opened: dict[tuple[str, str], Codec] = {}  # of this process: loading a network takes seconds


def _code(task: Task) -> tuple[list[Row], dict[str, str]]:
    """Measure one task: its rows, and what failed."""
    rows, failures = [], {}
    key = task.codec, repr(task.options)
    if key not in _opened:
        _opened[key] = open_codec(task.codec, task.options)
    codec, picture = _opened[key], task.picture
    try:
        pixels = picture.pixels()
    except Exception as error:  # it could be read when the sweep began
        return [], {f"{picture.dataset}/{picture.name} {codec.name}": f"cannot be read any more: {error}"}
    height, width = pixels.shape[:2]
    for setting in task.settings:
        try:
            codec.synchronise()
            began = time.perf_counter()
            data = codec.encode(pixels, setting)
            codec.synchronise()
            encoded = time.perf_counter()
            decoded = codec.decode(data)
            codec.synchronise()
            ended = time.perf_counter()
            text = setting_text(setting)
            before = task.earlier.get(text)
            if before is not None and before.bytes == len(data):
                wanted = [name for name in task.metrics if name not in before.metrics]
                rows.append(replace(before, metrics={**before.metrics, **measure(pixels, decoded, wanted)}))
                continue
            quality = measure(pixels, decoded, task.metrics)
        except Exception as error:  # a codec that fails on one picture must not end the sweep
            failures[f"{picture.dataset}/{picture.name} {codec.name} {setting_text(setting)}"] = (
                f"{type(error).__name__}: {error}")
            continue
        rows.append(Row(
            picture.dataset, picture.name, width, height, codec.name, codec.version, text, len(data),
            8 * len(data) / (width * height), encoded - began, ended - encoded, codec.device, task.options.threads,
            quality))
    return rows, failures


def thinned(settings: Sequence[float], count: int) -> tuple[float, ...]:
    """About `count` of the settings, evenly, both ends among them."""
    if len(settings) <= count:
        return tuple(settings)
    return tuple(settings[round(n * (len(settings) - 1) / (count - 1))] for n in range(count))


def plan(pictures: Iterable[Picture], codecs: Iterable[Codec], options: Options, metrics: Sequence[str],
         have: Iterable[Row], most_settings: int | None = None) -> list[Task]:
    """The tasks that remain: all but the rows at hand that have every metric asked for."""
    rows = {row.key: row for row in have}
    codecs = list(codecs)
    tasks = []
    for picture in pictures:
        for codec in codecs:
            settings = thinned(codec.settings, most_settings) if most_settings else codec.settings
            found = {setting: rows.get((picture.dataset, picture.name, codec.name, setting_text(setting)))
                     for setting in settings}
            left = tuple(setting for setting, row in found.items() if row is None or not _complete(row, metrics))
            if left:
                earlier = {row.setting: row for row in found.values() if row is not None}
                tasks.append(Task(picture, codec.name, left, options, tuple(metrics), earlier))
    return tasks


def _complete(row: Row, metrics: Iterable[str]) -> bool:
    return all(name in row.metrics or not BY_NAME[name].defined(row.width, row.height) for name in metrics)


def still_valid(rows: Iterable[Row], pictures: Iterable[Picture], codecs: Iterable[Codec],
                digests: dict[str, str]) -> list[Row]:
    """The rows that may stay: not those of another version of a codec, or of another picture of the same name."""
    versions = {codec.name: codec.version for codec in codecs}
    now = {f"{picture.dataset}/{picture.name}": picture.digest for picture in pictures}
    kept = []
    for row in rows:
        picture = f"{row.dataset}/{row.image}"
        if versions.get(row.codec, row.version) != row.version:
            continue
        if picture in now and digests.get(picture, now[picture]) != now[picture]:
            continue
        kept.append(row)
    return kept


def sweep(pictures: Sequence[Picture], codecs: Sequence[Codec], options: Options, out: Path,
          metrics: Sequence[str], jobs: int = 1, most_settings: int | None = None, record: dict[str, Any] | None = None,
          on_start: Callable[[int], None] = lambda total: None,
          on_rows: Callable[[int], None] = lambda count: None) -> Outcome:
    """Measure what the table in `out` does not have yet.

    Args:
        codecs: opened ones, for their settings and versions; the workers open their own.
        metrics: names of what is measured.
        most_settings: so many settings of each codec, evenly over its range; None for all.
        record: what else to write down about the run, beside versions, machine and pictures.
        on_start, on_rows: told the number of rows to measure, and each time some are done or have failed.

    Raises:
        SweepStopped: interrupted, or a worker died. Everything measured until then is in the table.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / TABLE
    before = read_record(out)
    have = still_valid(table.read(path), pictures, codecs, before.get("pictures", {}))
    table.write(path, have)
    tasks = plan(pictures, codecs, options, metrics, have, most_settings)
    again = {(task.picture.dataset, task.picture.name, task.codec, setting_text(setting))
             for task in tasks for setting in task.settings}
    outcome = Outcome(kept=sum(row.key not in again for row in have))
    known = {**before.get("pictures", {}), **{f"{p.dataset}/{p.name}": p.digest for p in pictures}}
    facts = {**_environment(), **(record or {}), "pictures": known, "failures": {}}
    write_record(out, facts)
    on_start(len(again))
    hint = f"what was measured is kept in {path}; give the same command to go on"
    try:
        for task, (rows, failures) in _results(tasks, jobs):
            table.append(path, rows)
            outcome.measured += len(rows)
            outcome.failures.update(failures)
            on_rows(len(task.settings))
    except KeyboardInterrupt:
        raise SweepStopped(f"interrupted; {hint}") from None
    except BrokenProcessPool:
        raise SweepStopped(f"a worker process died, perhaps for lack of memory; {hint}, with --jobs 1 if it happens "
                           "again") from None
    table.write(path, table.read(path))
    write_record(out, {**facts, "failures": outcome.failures})
    return outcome


def _results(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, tuple[list[Row], dict[str, str]]]]:
    if jobs == 1:
        for task in tasks:
            yield task, _code(task)
        return
    # spawned, as torch's threads do not survive a fork
    threads = str(tasks[0].options.threads) if tasks else "1"
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = threads
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_ignore_interrupts)
    try:
        futures = {pool.submit(_code, task): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


# -- the record of a run -----------------------------------------------------------------------------------------


def read_record(out: Path) -> dict[str, Any]:
    """What was written down beside the table; empty if nothing was."""
    path = out / RUN
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write_record(out: Path, facts: dict[str, Any]) -> None:
    """Replace the record; all of it or nothing."""
    temporary = out / (RUN + ".tmp")
    temporary.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(temporary, out / RUN)


def _environment() -> dict[str, Any]:
    return {"date": time.strftime("%Y-%m-%d", time.gmtime()), "machine": machine(),
            "python": platform.python_version(), "libraries": _libraries()}


def _libraries() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine() -> str:
    """The processor, its logical cores, and the GPU if torch is there and sees one."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), name)
    except OSError:
        pass
    gpu = ""
    if has_torch():
        import torch

        gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{name}, {os.cpu_count()} logical cores, {platform.system()}{gpu}"
