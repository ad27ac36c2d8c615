"""How fast the codecs are and how much memory they take: at growing picture sizes, and beside other work."""

from __future__ import annotations

import contextlib
import csv
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from aecodec.engine.choice import has_fast_bfloat16_cpu, has_torch

from .codecs import Options, is_ours, open_codec

SIZES = ((768, 512), (1536, 1024), (3072, 2048), (4272, 2848), (6000, 4000))  # 0.4 to 24 megapixels
BUSY_SIZE = (1536, 1024)  # at which a machine with other work is measured
RUNS = 7
LIMIT = 30.0  # seconds that one encoding and one decoding may be expected to take
_LEAST_RUNS = 3


@dataclass(frozen=True)
class Measurement:
    """One stage of one codec at one size: a row of speed.csv.

    `stage` is load, encode, decode, a part of the latter two (`encode:entropy`), a command from the shell
    (`shell:compress`, see shell.py), or `install` (see footprint.py). `seconds` is the median of `runs`, `low` and
    `high` the quantiles 0.2 and 0.8. `peak_mb` is the most memory the process held until then in that stage; on a GPU,
    the most that tensors held there. `busy` is how many of the cores another program kept busy. `note` says why there
    are no figures.
    """

    codec: str
    version: str
    setting: str
    stage: str
    width: int | None
    height: int | None
    megapixels: float | None
    seconds: float | None
    low: float | None
    high: float | None
    runs: int
    mp_per_s: float | None
    peak_mb: float | None
    bpp: float | None
    device: str
    threads: int
    machine: str
    note: str = ""
    busy: int = 0
    disk_mb: float | None = None


def enlarged(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """A picture of any size with the detail of a small one: mirrored tiles of it, `uint8 [height, width, 3]`.

    Scaling up would make it smoother than photographs are, and so quicker to code.
    """
    across, down = -(-width // pixels.shape[1]), -(-height // pixels.shape[0])
    row = np.concatenate([pixels[:, ::-1] if n % 2 else pixels for n in range(across)], axis=1)[:, :width]
    return np.ascontiguousarray(np.concatenate([row[::-1] if n % 2 else row for n in range(down)], axis=0)[:height])


# -- in the process that is measured -----------------------------------------------------------------------------


class _PeakMemory:
    """The process's peak of resident memory in MiB, since the last reset where the system can reset it."""

    def reset(self) -> None:
        try:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")  # the peak becomes the present size (proc(5))
        except OSError:
            pass

    def read(self) -> float | None:
        try:
            with open("/proc/self/status") as file:
                for line in file:
                    if line.startswith("VmHWM"):
                        return int(line.split()[1]) / 1024
        except OSError:
            pass
        try:
            import resource
        except ImportError:  # Windows
            return None
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2 ** 20 if sys.platform == "darwin" else peak / 1024


def _repeat(work: Callable[[dict[str, float]], object], synchronise: Callable[[], None], runs: int,
            limit: float) -> tuple[list[float], dict[str, list[float]]]:
    """Seconds of each run of `work` after one to warm up, and of each stage; fewer runs of what is slow."""
    began = time.perf_counter()
    work({})
    synchronise()
    once = time.perf_counter() - began
    runs = max(1 if once > limit / 3 else _LEAST_RUNS, min(runs, int(limit / max(once, 1e-9))))
    totals, stages = [], {}  # type: list[float], dict[str, list[float]]
    for _ in range(runs):
        timings: dict[str, float] = {}
        synchronise()
        began = time.perf_counter()
        work(timings)
        synchronise()
        totals.append(time.perf_counter() - began)
        for stage, seconds in timings.items():
            stages.setdefault(stage, []).append(seconds)
    return totals, stages


def _measure(send: Connection, name: str, options: Options, pixels: np.ndarray, machine: str, runs: int,
             limit: float) -> None:
    """Measure one codec at one size and send the measurements, one list after each stage."""
    if hasattr(os, "sched_setaffinity"):  # libraries that start threads of their own keep to this
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:options.threads])
    memory = _PeakMemory()
    began = time.perf_counter()
    codec = open_codec(name, options)
    codec.synchronise()
    loaded = time.perf_counter() - began
    height, width = pixels.shape[:2]
    megapixels = width * height / 1e6
    setting = codec.speed_setting
    bpp: float | None = None

    def peak() -> float | None:
        if codec.device.startswith("cuda"):
            import torch

            most = torch.cuda.max_memory_allocated() / 2 ** 20
            torch.cuda.reset_peak_memory_stats()
            return most
        return memory.read()

    def row(stage: str, seconds: Sequence[float], whole: bool, most: float | None) -> Measurement:
        low, median, high = (float(q) for q in np.quantile(seconds, (0.2, 0.5, 0.8)))
        sized = stage != "load"
        return Measurement(
            name, codec.version, f"{setting:g}", stage, width if sized else None, height if sized else None,
            megapixels if sized else None, median, low, high, len(seconds), megapixels / median if whole else None,
            most, bpp if sized else None, codec.device, options.threads, machine)

    send.send([row("load", [loaded], False, peak())])
    data = codec.encode(pixels, setting)
    bpp = 8 * len(data) / (width * height)
    encode: Callable[[dict[str, float]], object] = lambda timings: codec.encode(pixels, setting, timings)  # noqa: E731
    decode: Callable[[dict[str, float]], object] = lambda timings: codec.decode(data, timings)  # noqa: E731
    for stage, work in (("encode", encode), ("decode", decode)):
        memory.reset()
        peak()
        totals, parts = _repeat(work, codec.synchronise, runs, limit)
        send.send([row(stage, totals, True, peak()),
                   *(row(f"{stage}:{part}", seconds, False, None) for part, seconds in parts.items())])


# -- in the process that asks ------------------------------------------------------------------------------------


@contextlib.contextmanager
def _other_work(cores: int) -> Iterator[None]:
    """Meanwhile as many programs count without an end, each on a core of those that are measured."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    programs = []
    for n in range(cores):
        pinned = f"os.sched_setaffinity(0, [{allowed[n % len(allowed)]}])" if allowed else "pass"
        programs.append(subprocess.Popen([sys.executable, "-S", "-c", f"import os; {pinned}\nwhile True: pass"]))
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def measure_in_process(name: str, options: Options, pixels: np.ndarray, machine: str, runs: int = RUNS,
                       limit: float = LIMIT, busy: int = 0) -> tuple[list[Measurement], str]:
    """The measurements of one codec at one size, and why they are incomplete ("" if they are not).

    A process of its own, so that its peak memory is its own and a codec that runs out of memory takes nothing with
    it. `busy` cores have other work meanwhile.
    """
    with _other_work(busy):
        found, note = _measure_in_process(name, options, pixels, machine, runs, limit)
    return [replace(row, busy=busy) for row in found], note


def _measure_in_process(name: str, options: Options, pixels: np.ndarray, machine: str, runs: int,
                        limit: float) -> tuple[list[Measurement], str]:
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(send, name, options, pixels, machine, runs, limit), daemon=True)
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(options.threads)
    process.start()
    send.close()
    found: list[Measurement] = []
    try:
        while True:
            found += receive.recv()
    except EOFError:
        pass
    process.join()
    if process.exitcode == 0:
        return found, ""
    return found, "out of memory" if process.exitcode == -9 else f"failed (exit status {process.exitcode})"


def run(names: Iterable[str], options: Options, sizes: Sequence[tuple[int, int]], machine: str,
        pixels: np.ndarray, runs: int = RUNS, limit: float = LIMIT, busy: int = 0,
        on_done: Callable[[str, tuple[int, int], list[Measurement]], None] = lambda *_: None) -> list[Measurement]:
    """Measure every codec at every size, small ones first.

    A size is skipped, with a note, when the growth so far says that encoding and decoding once would take longer
    than `limit` seconds or more memory than there is.

    Args:
        sizes: (width, height), ascending.
        pixels: a picture whose mirrored tiles make up the sizes, `uint8 [H, W, 3]`.
        busy: how many cores have other work meanwhile.
    """
    found: list[Measurement] = []
    for name, shown, opened in variants(names, options):
        loaded = False
        last: list[Measurement] = []
        broken = ""
        for width, height in sizes:
            note = broken or _too_much(last, width * height / 1e6, limit)
            now: list[Measurement] = []
            if not note:
                large = enlarged(pixels, width, height)
                last, broken = measure_in_process(name, opened, large, machine, runs, limit, busy)
                last = [replace(row, codec=shown) for row in last]
                note = broken
                now = [row for row in last if row.stage != "load" or not loaded]
                loaded = loaded or bool(now)
            if note:
                have = {row.stage for row in now}
                now += [Measurement(shown, "", "", stage, width, height, width * height / 1e6, None, None, None, 0,
                                    None, None, None, options.device, options.threads, machine, note, busy)
                        for stage in ("encode", "decode") if stage not in have]
            found += now
            on_done(shown, (width, height), now)
    return found


def variants(names: Iterable[str], options: Options) -> Iterator[tuple[str, str, Options]]:
    """What is measured: the name of a codec, what it is called in the rows, and how it is opened. Ours is measured on
    each engine, and on torch in each precision that the processor has in hardware."""
    for name in names:
        if not is_ours(name) or options.device != "cpu":
            yield name, name, options
            continue
        yield name, f"{name} on onnx", replace(options, engine="onnx")
        for precision in ("float32", *(["bfloat16"] if has_fast_bfloat16_cpu() else [])) if has_torch() else ():
            yield name, f"{name} on torch {precision}", replace(options, engine="torch", precision=precision)


def _too_much(last: Sequence[Measurement], megapixels: float, limit: float) -> str:
    """Why the next size should not be tried, judging by the last one; "" if it may be."""
    whole = [row for row in last if row.stage in ("encode", "decode") and row.megapixels and row.seconds]
    if not whole or whole[0].megapixels is None:
        return ""
    growth = megapixels / whole[0].megapixels
    seconds = growth * sum(row.seconds or 0 for row in whole)
    if seconds > limit:
        return f"skipped (about {seconds:.0f} s)"
    base = next((row.peak_mb for row in last if row.stage == "load"), None)
    peak = max((row.peak_mb or 0 for row in whole), default=0)
    free = _available_mb()
    if base is not None and free is not None and whole[0].device == "cpu":
        needed = base + growth * max(0.0, peak - base)
        if needed > free:
            return f"skipped (about {needed / 1024:.0f} GB)"
    return ""


def _available_mb() -> float | None:
    try:
        with open("/proc/meminfo") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None


def write(path: Path, found: Iterable[Measurement]) -> None:
    """Write speed.csv."""
    digits = {"seconds": 6, "low": 6, "high": 6, "mp_per_s": 4, "megapixels": 3, "peak_mb": 1, "bpp": 4, "disk_mb": 1}
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Measurement))
        for row in found:
            writer.writerow("" if value is None else f"{value:.{digits[name]}f}" if name in digits else value
                            for name, value in asdict(row).items())
