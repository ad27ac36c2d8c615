"""`aecodec embed`, `search` and `dedupe`: which pictures are copies or crops of each other."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import files
from ..errors import AecError
from ..jobs import loading, sources
from ..jobs.local import Outcome, Task
from . import latents, reporting
from .options import COUNT, Batch, Existing, Within, device_options

if TYPE_CHECKING:
    import numpy as np

    from ..latents.embedding import Metric
    from ..latents.index import Index, Match

ENDING = ".npz"
batch_flags = (
    click.option("--jobs", type=COUNT, metavar="N", help="Files worked on at a time.  [default: 2]"),
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    click.option("--quiet", is_flag=True, help="Print nothing but results and errors."),
    click.option("-v", "--verbose", is_flag=True, help="Print what is left out, too."),
)
files_argument = click.argument("inputs", metavar="FILE...", type=Existing, nargs=-1, required=True)
similarity = Within(click.FloatRange(-1, 1))


def with_flags(command: Any) -> Any:
    """Add the flags of going through many files."""
    for option in reversed(batch_flags):
        command = option(command)
    return command


class Embed:
    """Computes the vectors of a task's file and keeps them."""

    def __init__(self, codec: loading.LoadedWhenUsed) -> None:
        self.codec = codec
        self.found: dict[Path, np.ndarray] = {}
        self._lock = threading.Lock()

    def metric(self) -> Metric:
        """What pictures are compared by. Raises UnknownModel."""
        from ..latents import embedding

        return embedding.load(self.codec().model)

    def __call__(self, task: Task) -> Outcome:
        """Raises AecError that names the file."""
        from ..latents.files import latents_of

        content, size = latents.read(task.source, self.codec.limit_pixels)
        try:
            vectors = self.metric().embed(latents_of(self.codec(), content))
        except AecError as error:
            raise sources.named(task.source, error) from None
        with self._lock:
            self.found[task.source] = vectors
        return Outcome(task, bytes_read=size)

    def index(self, paths: Sequence[Path]) -> Index:
        """Of the files that had no errors, in the order given."""
        import numpy as np

        from ..latents.embedding import PARTS
        from ..latents.index import Index

        metric = self.metric()
        rows = [self.found[path] for path in paths if path in self.found]
        vectors = np.stack(rows) if rows else np.empty((0, len(PARTS), metric.size))
        return Index(metric, [str(path) for path in paths if path in self.found], vectors)


def _worker(batch: Batch, tasks: int, model: str | None, device: str, engine: str, threads: int | None,
            limit_pixels: int | None) -> Embed:
    return Embed(loading.LoadedWhenUsed(device, model, threads, limit_pixels, batch.jobs_for(tasks), engine, tasks))


@click.command()
@files_argument
@click.option("-o", "--output", type=Existing, required=True, metavar="FILE", help="The index: an .npz file.")
@click.option("-r", "--recursive", is_flag=True, help="Take the files in folders.")
@click.option("-f", "--force", is_flag=True, help="Overwrite an index that exists.")
@with_flags
@device_options
def embed(inputs: tuple[Path, ...], output: Path, recursive: bool, force: bool, jobs: int | None, as_json: bool,
          quiet: bool, verbose: bool, **device: Any) -> None:
    """Write an index of pictures to search in. .aec files are not decoded for it.

    A file that cannot be read is named and left out. The index has about 6 kilobytes for each picture.
    """
    if output != files.STANDARD and output.suffix.lower() != ENDING:
        raise AecError(f"{files.shown(output)} is no name for an index; call it "
                       f"{files.shown(output.with_suffix(ENDING))}")
    if as_json and output == files.STANDARD:
        raise click.UsageError("--json and the index both go to standard output; name a file with -o")
    files.check_output(output, force)
    plan = latents.planned(inputs, recursive)
    batch = Batch(recursive, True, jobs, as_json=as_json, quiet=quiet, verbose=verbose)
    work = _worker(batch, len(plan.tasks), **device)
    reporter, seconds = latents.go_through(plan, work, batch,
                                           lambda outcome: f"{files.shown(outcome.task.source)}: embedded",
                                           output != files.STANDARD)
    if work.found:
        index = work.index([task.source for task in plan.tasks])
        files.write_file(output, lambda file: file.write(index.dump()))
    reporter.summary("embedded", "pictures", seconds, False)
    latents.finish(reporter)


def _index(paths: Sequence[Path], work: Embed, batch: Batch) -> tuple[Index, reporting.Reporter | None]:
    """The index in a file, or one made of files and folders; and who told of their errors."""
    from ..latents.index import Index

    if len(paths) == 1 and paths[0].suffix.lower() == ENDING and not paths[0].is_dir():
        data = files.read_bytes(paths[0])
        try:
            return Index.load(data, work.metric()), None
        except AecError as error:
            raise sources.named(paths[0], error) from None
    plan = latents.planned(paths, True)
    if not plan.tasks:
        raise AecError(f"there are no pictures in {', '.join(map(files.shown, paths))}")
    reporter, _ = latents.go_through(plan, work, batch, lambda _: "", results=False)
    return work.index([task.source for task in plan.tasks]), reporter


@click.command()
@click.argument("picture", type=Existing)
@click.argument("index", metavar="INDEX|FOLDER", type=Existing)
@click.option("-n", "--count", type=COUNT, default=10, show_default=True, metavar="N", help="Most pictures to name.")
@click.option("--least", type=similarity, metavar="S", help="Only those at least so similar, -1..1.")
@with_flags
@device_options
def search(picture: Path, index: Path, count: int, least: float | None, jobs: int | None, as_json: bool, quiet: bool,
           verbose: bool, **device: Any) -> None:
    """Name the pictures most like PICTURE in an index that `aecodec embed` wrote, or in a folder.

    It finds copies: other sizes, qualities and colours, mirrored ones, crops of more than half of each side. It does
    not know what a picture shows. The most a similarity can be is 1; `same` marks what is taken for a copy.
    """
    from ..latents.index import describe

    batch = Batch(True, True, jobs, as_json=as_json, quiet=quiet, verbose=verbose)
    work = _worker(batch, 2, **device)
    work(Task(picture, picture))
    wanted = work.found[picture]
    found, reporter = _index([index], work, batch)
    matches = [match for match in found.search(wanted, count) if least is None or match.similarity >= least]
    if as_json:
        click.echo(json.dumps({"picture": files.shown(picture), "same": round(found.metric.same, 4),
                               "matches": [{**describe(match), "name": files.shown(Path(match.name))}
                                           for match in matches]}, indent=2))
    else:
        for match in matches:
            click.echo(_line(match, found.metric.same))
        if not matches:
            click.echo("nothing is like it", err=True)
    if reporter is not None:
        latents.finish(reporter)


def _line(match: Match, same: float) -> str:
    facts = ["same"] if match.similarity >= same else []
    if match.mirrored:
        facts.append("mirrored")
    if match.of != "whole":
        left, top, right, bottom = (round(100 * edge) for edge in match.box)
        what = "a crop of it" if match.of == "crop" else "it is a crop"
        facts.append(f"{what}: {left}..{right} % across, {top}..{bottom} % down")
    note = f"  ({', '.join(facts)})" if facts else ""
    return f"{match.similarity:.3f}  {files.shown(Path(match.name))}{note}"


@click.command()
@click.argument("inputs", metavar="INDEX|FOLDER|FILE...", type=Existing, nargs=-1, required=True)
@click.option("--threshold", type=similarity, metavar="S",
              help="Similarity from which two are the same, -1..1; the model says which is safe.")
@with_flags
@device_options
def dedupe(inputs: tuple[Path, ...], threshold: float | None, jobs: int | None, as_json: bool, quiet: bool,
           verbose: bool, **device: Any) -> None:
    """List the groups of pictures that are copies or crops of each other. Nothing is ever deleted.

    Folders are searched all the way down. In a group each picture is like another one, not like all others.
    """
    batch = Batch(True, True, jobs, as_json=as_json, quiet=quiet, verbose=verbose)
    plan = latents.planned(inputs, True)
    work = _worker(batch, len(plan.tasks), **device)
    index, reporter = _index(inputs, work, batch)
    least = index.metric.same if threshold is None else threshold
    groups = [[files.shown(Path(index.names[n])) for n in group] for group in index.groups(least)]
    if as_json:
        click.echo(json.dumps({"pictures": len(index), "threshold": round(least, 4), "groups": groups}, indent=2))
    else:
        for group in groups:
            click.echo("\n".join([*group, ""]))
        if not quiet:
            copies = sum(len(group) - 1 for group in groups)
            click.echo(f"{len(index)} pictures, {len(groups)} groups of copies, {copies} more than needed")
    if reporter is not None:
        latents.finish(reporter)
