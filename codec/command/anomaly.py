"""`aecodec anomaly`: what is unlike good pictures, and where."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from .. import files
from ..errors import AecError
from ..format.constants import STRIDE
from ..jobs import loading, sources
from ..jobs.local import Outcome, Task
from ..jobs.plan import Plan
from . import latents
from .options import Batch, Existing, device_options
from .search import ENDING, files_argument, with_flags

CELLS = ("8", "16")
UNUSUAL = 3.0  # standard deviations


@click.group()
def anomaly() -> None:
    """Find what is unlike good pictures: defects and where they are, pictures of another kind.

    \b
    aecodec anomaly fit good/ -o good.npz
    aecodec anomaly score new/ -m good.npz --map maps/
    """


class Visit:
    """Reads the latents of a task's file and hands them on, one file at a time."""

    def __init__(self, codec: loading.LoadedWhenUsed, cell: int,
                 use: Callable[[Task, Any, Any], dict[str, Any]]) -> None:
        self.codec, self.cell, self.use = codec, cell, use
        self._lock = threading.Lock()

    def __call__(self, task: Task) -> Outcome:
        """Raises AecError that names the file."""
        from ..latents.files import latents_of

        content, size = latents.read(task.source, self.codec.limit_pixels)
        try:
            found = latents_of(self.codec(), content, STRIDE // self.cell)
        except AecError as error:
            raise sources.named(task.source, error) from None
        with self._lock:
            facts = self.use(task, content, found)
        return Outcome(task, facts=facts, bytes_read=size)


def _codec(batch: Batch, tasks: int, model: str | None, device: str, engine: str, threads: int | None,
           limit_pixels: int | None) -> loading.LoadedWhenUsed:
    return loading.LoadedWhenUsed(device, model, threads, limit_pixels, batch.jobs_for(tasks), engine, tasks)


@anomaly.command()
@files_argument
@click.option("-o", "--output", type=Existing, required=True, metavar="FILE", help="What was learnt: an .npz file.")
@click.option("--cell", type=click.Choice(CELLS), default="8", show_default=True,
              help="Pixels that are looked at together, each way: 16 is faster, and .aec files are not decoded for it.")
@click.option("-f", "--force", is_flag=True, help="Overwrite the output if it exists.")
@with_flags
@device_options
def fit(inputs: tuple[Path, ...], output: Path, cell: str, force: bool, jobs: int | None, as_json: bool, quiet: bool,
        verbose: bool, **device: Any) -> None:
    """Learn what good pictures are like; folders are searched all the way down.

    A few pictures of one texture will do, if they have half a megapixel together; of varied pictures it takes hundreds.
    They are gone through twice.
    """
    from ..latents.anomaly import Moments, Statistics

    if output != files.STANDARD and output.suffix.lower() != ENDING:
        raise AecError(f"{files.shown(output)} is no name for what is learnt; call it "
                       f"{files.shown(output.with_suffix(ENDING))}")
    if as_json and output == files.STANDARD:
        raise click.UsageError("--json and the output both go to standard output; name a file with -o")
    files.check_output(output, force)
    plan = latents.planned(inputs, True)
    batch = Batch(True, True, jobs, as_json=as_json, quiet=quiet, verbose=verbose)
    codec = _codec(batch, len(plan.tasks), **device)
    moments, folds = Moments(), dict[Path, int]()

    def first(task: Task, _: Any, found: Any) -> dict[str, Any]:
        folds[task.source] = moments.add(found)
        return {"width": found.width, "height": found.height}

    reporter, seconds = latents.go_through(plan, Visit(codec, int(cell), first), batch,
                                           lambda outcome: f"{files.shown(outcome.task.source)}: learnt from",
                                           output != files.STANDARD)
    if folds:
        try:
            statistics = Statistics(moments)

            def second(task: Task, _: Any, found: Any) -> dict[str, Any]:
                statistics.add(found, folds[task.source])
                return {}

            again = replace(batch, as_json=False, quiet=True)
            rest = Plan([task for task in plan.tasks if task.source in folds])
            latents.go_through(rest, Visit(codec, int(cell), second), again, lambda _: "", False)
            learnt = statistics.model(int(cell), codec().coder.bundle_hash.hex())
        except ValueError as error:
            raise AecError(str(error)) from None
        files.write_file(output, lambda file: file.write(learnt.dump()))
    reporter.summary("learnt from", "pictures", seconds, False)
    latents.finish(reporter)


@anomaly.command()
@files_argument
@click.option("-m", "--learnt", type=Existing, required=True, metavar="FILE", help="What `anomaly fit` wrote.")
@click.option("--map", "maps", type=Existing, metavar="DIR",
              help="Folder for pictures that show where; made if need be.")
@click.option("--threshold", type=float, default=UNUSUAL, show_default=True, metavar="S",
              help="Score from which a picture is called unusual.")
@click.option("-f", "--force", is_flag=True, help="Overwrite maps that exist.")
@with_flags
@device_options
def score(inputs: tuple[Path, ...], learnt: Path, maps: Path | None, threshold: float, force: bool, jobs: int | None,
          as_json: bool, quiet: bool, verbose: bool, **device: Any) -> None:
    """Score pictures, the most unusual first; folders are searched all the way down.

    The score is in standard deviations from the good pictures: of the most unusual fiftieth of a picture's places, or
    of the picture as a whole, whichever is more.
    """
    from ..latents.anomaly import AnomalyModel

    data = files.read_bytes(learnt)
    plan = latents.planned(inputs, True)
    batch = Batch(True, True, jobs, as_json=as_json, quiet=quiet, verbose=verbose)
    codec = _codec(batch, len(plan.tasks), **device)
    try:
        good = AnomalyModel.load(data, codec().coder.bundle_hash.hex())
    except AecError as error:
        raise sources.named(learnt, error) from None
    targets = _targets(plan, maps, force)
    rows: list[dict[str, Any]] = []

    def use(task: Task, content: Any, found: Any) -> dict[str, Any]:
        finding = good.find(found)
        facts = {"file": files.shown(task.source), "score": round(finding.score, 3), "local": round(finding.local, 3),
                 "whole": round(finding.whole, 3), "unusual": finding.score >= threshold}
        if maps is not None:
            facts["map"] = files.shown(targets[task.source])
            _write_map(targets[task.source], codec(), content, found, good.shade(finding.map))
        rows.append(facts)
        return {}

    reporter, _ = latents.go_through(plan, Visit(codec, int(good.cell), use), batch, lambda _: "", False)
    rows.sort(key=lambda row: -row["score"])
    if as_json:
        click.echo(json.dumps({"threshold": threshold, "pictures": rows}, indent=2))
    else:
        for row in rows:
            click.echo(f"{row['score']:8.2f}  {row['file']}{'  (unusual)' if row['unusual'] else ''}")
    if not plan.tasks and not reporter.codes:
        raise AecError("there are no pictures in these folders")
    latents.finish(reporter)


def _targets(plan: Plan, folder: Path | None, force: bool) -> dict[Path, Path]:
    """Where each map goes: a name of its own. Raises AecError before anything is done."""
    if folder is None:
        return {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AecError(f"{files.shown(folder)} cannot be made: {error.strerror or error}") from None
    targets: dict[Path, Path] = {}
    for task in plan.tasks:
        target = folder / f"{task.source.name}.png"
        if target in targets.values():
            raise AecError(f"two maps would be called {files.shown(target)}; score one folder at a time")
        files.check_output(target, force)
        targets[task.source] = target
    return targets


def _write_map(target: Path, codec: Any, content: Any, found: Any, shade: Any) -> None:
    """The picture in grey, and in red where it is unusual."""
    import numpy as np
    from PIL import Image

    from ..format.container import AecFile

    pixels = np.asarray(codec.decode_file(content).convert("RGB")) if isinstance(content, AecFile) else content.pixels
    height, width = pixels.shape[:2]
    step = found.width // width  # how far it was enlarged
    reach = shade.shape[1] * STRIDE // step, shade.shape[0] * STRIDE // step
    strength = Image.fromarray(np.rint(255 * shade).astype(np.uint8)).resize(reach, Image.Resampling.BILINEAR)
    share = np.asarray(strength)[:height, :width, None].astype(np.float32) / 255
    grey = np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None].astype(np.float32)
    shown = grey * (1 - 0.7 * share) + np.array([255, 0, 0], np.float32) * (0.7 * share)
    image = Image.fromarray(np.rint(shown).astype(np.uint8))
    files.write_file(target, lambda file: image.save(file, "PNG"))
