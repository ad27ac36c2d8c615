"""Which files a command works on, where each output goes, and what is left out."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .. import files
from ..errors import AecError
from .local import Task
from .storage import Location


class WrongUse(AecError):
    """What was asked for contradicts itself."""


@dataclass(frozen=True)
class LeftOut:
    """What was found below a folder or prefix and is not worked on."""

    path: Location
    reason: str
    failed: bool = False  # it should have been, and could not


@dataclass
class Plan:
    """What a command is to do."""

    tasks: list[Task] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


@dataclass(frozen=True)
class Outputs:
    """Where outputs go, and how they are named: the input's name with `ending` in place of its own."""

    ending: str
    output: Path | None = None  # of a single input
    folder: Path | None = None  # mirrors the folders of the inputs; without it, outputs lie beside their inputs
    force: bool = False  # overwrite
    skip_existing: bool = False  # an output that is there is looked at by the work


def gather(inputs: Sequence[Path], recursive: bool, refused: Callable[[Path], str | None],
           ) -> tuple[list[tuple[Path, Path]], list[LeftOut]]:
    """The files to work on, each with its path below the folder it was found in (or its name), and what is left out.

    Args:
        inputs: files, and folders.
        recursive: search folders, all the way down. Links to folders are not followed.
        refused: tells why a file in a folder is not worked on; None if it is.
    """
    found: list[tuple[Path, Path]] = []
    left_out: list[LeftOut] = []

    def unreadable(error: OSError) -> None:
        left_out.append(LeftOut(Path(error.filename), f"cannot be read: {error.strerror or error}", failed=True))

    for path in inputs:
        if path == files.STANDARD or not (recursive and os.path.isdir(path)):
            found.append((path, Path(path.name)))
            continue
        for folder, folders, names in os.walk(path, onerror=unreadable):
            for name in sorted(folders):
                reason = "hidden" if name.startswith(".") else _refused_folder(Path(folder, name))
                if reason is not None:
                    left_out.append(LeftOut(Path(folder, name), reason))
                    folders.remove(name)
            folders.sort()
            for name in sorted(names):
                file = Path(folder, name)
                reason = "hidden" if name.startswith(".") else refused(file) or _refused_file(file)
                if reason is None:
                    found.append((file, file.relative_to(path)))
                else:
                    left_out.append(LeftOut(file, reason))
    return found, left_out


def _refused_folder(path: Path) -> str | None:
    return "a link to a folder" if os.path.islink(path) else None


def _refused_file(path: Path) -> str | None:
    """A pipe or a device would be waited for; that a link leads nowhere is told when it is read."""
    try:
        return None if stat.S_ISREG(os.stat(path).st_mode) else "neither a file nor a folder"
    except OSError:
        return None


def plan(inputs: Sequence[Path], recursive: bool, refused: Callable[[Path], str | None], outputs: Outputs,
         readable: Callable[[Path], bool]) -> Plan:
    """A task per file; what cannot be done is a task with a problem.

    Args:
        inputs, recursive, refused: see `gather`.
        outputs: where outputs go.
        readable: whether a file can be read as what it should be; asked where several inputs have one output, or an
            output is there: a file that cannot be read does not hold its output's name, and is told of when it is read.

    Raises:
        WrongUse: the outputs contradict the inputs.
    """
    found, left_out = gather(inputs, recursive, refused)
    if outputs.output is not None and outputs.folder is not None:
        raise WrongUse("an output file and an output folder exclude each other")
    if outputs.output is not None and (len(found) != 1 or found[0][0] != inputs[0]):
        raise WrongUse("an output file takes the output of one input; name an output folder for several")
    if outputs.folder is not None and any(source == files.STANDARD for source, _ in found):
        raise WrongUse("standard input has no name for an output folder; name an output file")
    tasks = [_task(source, below, outputs, readable) for source, below in found]
    return Plan(_without_conflicts(tasks, readable), left_out)


def _task(source: Path, below: Path, outputs: Outputs, readable: Callable[[Path], bool]) -> Task:
    if source != files.STANDARD and os.path.isdir(source):
        return Task(source, source, files.InputIsFolder(f"{files.shown(source)} is a folder, not a file"))
    if outputs.output is not None or source == files.STANDARD:
        target = outputs.output or files.STANDARD
    else:
        beside = outputs.folder / below if outputs.folder else source
        target = beside.with_name(beside.stem + outputs.ending)
    problem = _problem(source, target, outputs)
    if isinstance(problem, files.OutputExists) and source != files.STANDARD and not readable(source):
        problem = None
    return Task(source, target, problem)


def _problem(source: Path, target: Path, outputs: Outputs) -> AecError | None:
    if target == source:
        return None  # told by `files.check_not_same`, if the input turns out to be one that can be worked on
    if outputs.folder is not None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return AecError(f"the folder {files.shown(target.parent)} cannot be made: {error.strerror or error}")
    try:
        files.check_output(target, outputs.force or outputs.skip_existing)
    except AecError as error:
        return error
    return None


def _without_conflicts(tasks: list[Task], readable: Callable[[Path], bool]) -> list[Task]:
    """The tasks, of which those have a problem whose output another one needs, or reads."""
    sharing: dict[Path, list[Task]] = defaultdict(list)
    for task in tasks:
        if task.target != files.STANDARD and task.problem is None:
            sharing[Path(os.path.realpath(task.target))].append(task)
    sources = {os.path.realpath(task.source): task.source for task in tasks if task.source != files.STANDARD}
    problems: dict[Path, AecError] = {}
    for target, several in sharing.items():
        if len(several) > 1:
            wanted = [task for task in several if readable(task.source)]
            if len(wanted) > 1:
                names = " and ".join(files.shown(task.source) for task in wanted)
                how = "both" if len(wanted) == 2 else "all"
                for task in wanted:
                    problems[task.source] = files.OutputShared(f"{names} would {how} be written to "
                                                               f"{files.shown(task.target)}")
        for task in several:
            other = sources.get(str(target))
            if other is not None and other != task.source:
                problems.setdefault(task.source, AecError(
                    f"the output of {files.shown(task.source)} would overwrite {files.shown(other)}, which is "
                    "another input; name another output"))
    return [replace(task, problem=problems.get(task.source, task.problem)) for task in tasks]
