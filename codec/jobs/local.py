"""Many files in one command: which files, what becomes of them, several at a time, and how it is reported."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import click

from .. import files
from ..errors import AecError


@dataclass(frozen=True)
class Task:
    """A file to read, and the file to write."""

    source: Path
    target: Path
    problem: str | None = None  # why it cannot be done, if that is known before


@dataclass
class Outcome:
    """What became of a task."""

    task: Task
    error: AecError | None = None
    line: str = ""  # what was done, for the user
    details: list[str] = field(default_factory=list)  # for --verbose
    notes: list[str] = field(default_factory=list)  # what was changed or left out
    bytes_read: int = 0
    bytes_written: int = 0


def gather(inputs: Sequence[Path], recursive: bool, wanted: Callable[[Path], bool]) -> list[tuple[Path, Path]]:
    """The files to work on, each with its path below the folder it was found in (or its name).

    Folders are searched, with `recursive`, for the files that are `wanted`; hidden ones are passed over.
    """
    found: list[tuple[Path, Path]] = []
    for path in inputs:
        if path == files.STANDARD or not (recursive and os.path.isdir(path)):
            found.append((path, Path(path.name)))
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            inside = (Path(folder, name) for name in sorted(names) if not name.startswith("."))
            found += [(file, file.relative_to(path)) for file in inside if wanted(file)]
    return found


def plan(inputs: Sequence[Path], recursive: bool, wanted: Callable[[Path], bool], ending: str, output: Path | None,
         output_dir: Path | None, force: bool) -> list[Task]:
    """A task per file.

    Outputs go to `output` (a single input), below `output_dir`, to standard output (from standard input), or beside
    their inputs; named by their input with another ending. Raises click.UsageError.
    """
    found = gather(inputs, recursive, wanted)
    if output is not None and output_dir is not None:
        raise click.UsageError("-o and --output-dir exclude each other")
    if output is not None and (len(found) != 1 or found[0][0] != inputs[0]):
        raise click.UsageError("-o takes the output of one input; use --output-dir for several")
    if output_dir is not None and any(source == files.STANDARD for source, _ in found):
        raise click.UsageError("standard input has no name for --output-dir; use -o")
    tasks, taken = [], dict[Path, Path]()
    for source, below in found:
        if source != files.STANDARD and os.path.isdir(source):
            tasks.append(Task(source, source, files.folder_message(source)))
            continue
        if output is not None or source == files.STANDARD:
            target = output or files.STANDARD
        else:
            target = output_dir / below.with_suffix(ending) if output_dir else source.with_suffix(ending)
        tasks.append(Task(source, target, _problem(source, target, taken, output_dir is not None, force)))
        taken.setdefault(target, source)
    return tasks


def _problem(source: Path, target: Path, taken: dict[Path, Path], make_folder: bool, force: bool) -> str | None:
    if target in taken:
        return (f"{target} is the output of {files.shown(taken[target])} already; "
                f"do {files.shown(source)} by itself, with -o")
    if target == source:
        return None  # if the input can be used at all, `check_not_itself` comes into force
    if make_folder:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return f"the folder {target.parent} cannot be made: {error.strerror or error}"
    try:
        files.check_output(target, force)
    except AecError as error:
        return str(error)
    return None


def check_not_itself(task: Task, force: bool) -> None:
    """Raise AecError if the output would overwrite the input (without `force`)."""
    if task.target == task.source:
        files.check_output(task.target, force)


def run(tasks: Sequence[Task], work: Callable[[Task], Outcome], jobs: int) -> Generator[Outcome, None, None]:
    """The outcomes, in the order of the tasks. `jobs` tasks are worked on at a time.

    Closing the iterator, as an interrupt does, finishes the tasks that have begun and drops the others.
    """
    stop = threading.Event()

    def attempt(task: Task) -> Outcome:
        if stop.is_set():
            return Outcome(task, AecError("not done"))
        try:
            if task.problem is not None:
                raise AecError(task.problem)
            return work(task)
        except AecError as error:
            return Outcome(task, error)
        except MemoryError:
            return Outcome(task, AecError(f"{files.shown(task.source)}: not enough memory for this picture"))
        except RuntimeError as error:
            # torch raises nothing more exact on the CPU, and a child of this on a GPU
            if "out of memory" not in str(error) and "can't allocate memory" not in str(error):
                raise
            return Outcome(task, AecError(f"{files.shown(task.source)}: not enough memory for this picture; "
                                          "try --jobs 1" + (" or --device cpu" if "CUDA" in str(error) else "")))

    if jobs == 1 or len(tasks) == 1:
        yield from map(attempt, tasks)
        return
    pool = ThreadPoolExecutor(jobs)
    futures = [pool.submit(attempt, task) for task in tasks]
    try:
        for future in futures:
            yield future.result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
