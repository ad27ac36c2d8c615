"""What a job on objects works on: the tasks of its inputs, found folder by folder, never all of them in memory."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from .. import files
from ..errors import AecError
from . import shards, storage
from .manifest import FAILED, LEFT_OUT, Line
from .manifest import FOLDER as RESERVED
from .plan import LeftOut, WrongUse, gather
from .storage import Location, Url, Version

MOST_LISTINGS = 256  # prefixes looked at before the rest is listed by the workers


@dataclass(frozen=True)
class ObjectTask:
    """A file or object to read, and the one to write."""

    source: Location
    target: Location
    version: Version
    problem: str | None = None  # why it cannot be done, if that is known before


@dataclass(frozen=True)
class Unit:
    """A part of the inputs that is listed by itself: a file, an object, a folder, or a prefix."""

    place: Location
    root: Location  # the input that it is a part of, which the outputs' folders are counted from
    deep: bool = True  # with the prefixes below it


@dataclass(frozen=True)
class Listing:
    """The tasks of a job. It can be pickled, so that parts of it can be listed elsewhere."""

    inputs: tuple[Location, ...]
    ending: str  # of outputs, in place of the inputs' own
    refused: Callable[[Path | Url], str | None]  # why what is found below a folder or prefix is not worked on
    output: Location | None = None  # of a single input
    folder: Location | None = None  # mirrors the folders of the inputs; without it, outputs lie beside their inputs
    recursive: bool = False

    def check(self) -> None:
        """Raise WrongUse or AecError where nothing can begin."""
        several = len(self.inputs) > 1 or any(self._is_folder(place) for place in self.inputs)
        if self.output is not None and self.folder is not None:
            raise WrongUse("an output file and an output folder exclude each other")
        if self.output is not None and several:
            raise WrongUse("an output file takes the output of one input; name an output folder for several")
        if files.STANDARD in self.inputs or self.output == files.STANDARD:
            raise WrongUse("standard input and output are for files on this machine; name a file")
        for place in self.inputs:
            if isinstance(place, Path) and place.is_dir() and not self.recursive:
                raise files.InputIsFolder(f"{files.shown(place)} is a folder, not a file")
        beside = self.inputs if self.folder is None and self.output is None else ()
        for target in (self.folder, self.output, *beside):
            if target is not None:
                storage.check_writable(target)

    def units(self, wanted: int = 1) -> list[Unit]:
        """All of the inputs in parts, `wanted` or more of them where there are so many prefixes.

        Raises:
            AecError: an input is not there.
        """
        made, waiting = [], deque[Unit]()
        for place in self.inputs:
            if isinstance(place, Url) and self._is_folder(place):
                waiting.append(Unit(place, place))
            else:
                made.append(Unit(place, place))
        looked = 0
        while waiting and len(made) + len(waiting) < wanted and looked < MOST_LISTINGS:
            unit = waiting.popleft()
            assert isinstance(unit.place, Url)
            assert isinstance(unit.root, Url)
            below = storage.listing(unit.root, unit.place)[1]
            looked += 1
            made.append(Unit(unit.place, unit.root, deep=False))
            waiting += (Unit(place, unit.root) for place in below if _hidden(place.name) is None)
        return [*made, *waiting]

    def all_tasks(self) -> Iterator[ObjectTask | Line]:
        """The tasks of all inputs. What cannot be listed is a line.

        Raises:
            AecError: the first thing to list cannot be listed.
        """
        told = False
        for unit in self.units():
            try:
                for item in self.tasks(unit):
                    told = True
                    yield item
            except AecError as error:
                if not told and len(self.inputs) == 1:
                    raise
                told = True
                yield Line(str(unit.place), FAILED, error=str(error))

    def tasks(self, unit: Unit) -> Iterator[ObjectTask | Line]:
        """The tasks of a part, and what it leaves out. Raises AecError if it cannot be listed."""
        if isinstance(unit.place, Url) and self._is_folder(unit.place):
            assert isinstance(unit.root, Url)
            waiting = [unit.place]
            while waiting:
                objects, prefixes = storage.listing(unit.root, waiting.pop())
                yield from self._level([(found.url, found.below, found.version) for found in objects])
                if unit.deep:
                    waiting += (place for place in reversed(prefixes) if _hidden(place.name) is None)
        elif isinstance(unit.place, Path) and unit.place.is_dir():
            yield from self._folder(unit.place)
        else:
            version = storage.version(unit.place)
            yield ObjectTask(unit.place, self._target(unit.place, unit.place.name), version)

    def _folder(self, folder: Path) -> Iterator[ObjectTask | Line]:
        found, left_out = gather([folder], True, self._refused)
        yield from (Line(str(item.path), FAILED if item.failed else LEFT_OUT, error=item.reason) for item in left_out
                    if RESERVED not in PurePath(str(item.path)).parts)
        level: list[tuple[Location, str, Version]] = []
        for path, below in found:
            if level and Path(str(level[0][0])).parent != path.parent:
                yield from self._level(level, listed=True)
                level = []
            try:
                level.append((path, below.as_posix(), storage.version(path)))
            except AecError as error:
                yield Line(str(path), FAILED, error=str(error))
        yield from self._level(level, listed=True)

    def _level(self, found: Sequence[tuple[Location, str, Version]], listed: bool = False,
               ) -> Iterator[ObjectTask | Line]:
        """The tasks of one folder: two of its files never have the same output."""
        tasks = []
        for place, below, version in found:
            reason = None if listed else _hidden(place.name) or self._refused(place)
            if reason is not None:
                yield Line(str(place), LEFT_OUT, error=reason)
            else:
                tasks.append(ObjectTask(place, self._target(place, below), version))
        counts = Counter(task.target for task in tasks)
        for task in tasks:
            if counts[task.target] == 1:
                yield task
            else:
                names = " and ".join(str(other.source) for other in tasks if other.target == task.target)
                yield ObjectTask(task.source, task.target, task.version, f"{names} would both be written to "
                                 f"{task.target}; do each by itself and name its output")

    def _refused(self, place: Location) -> str | None:
        return None if shards.is_shard(place) else self.refused(place)

    def _target(self, source: Location, below: str) -> Location:
        if self.output is not None:
            return self.output
        beside = source if self.folder is None else self.folder / below
        return beside if shards.is_shard(source) else beside.with_name(PurePosixPath(beside.name).stem + self.ending)

    def _is_folder(self, place: Location) -> bool:
        if isinstance(place, Url):
            return place.is_prefix
        return place.is_dir()


def find(inputs: Sequence[Location], recursive: bool, refused: Callable[[Location], str | None],
         ) -> tuple[list[Location], list[LeftOut]]:
    """All files and objects, and what is left out: see `plan.gather`. Raises AecError if a prefix cannot be listed."""
    found: list[Location] = []
    left_out: list[LeftOut] = []
    for place in inputs:
        if isinstance(place, Path):
            paths, others = gather([place], recursive, refused)
            found += (path for path, _ in paths)
            left_out += others
        elif place.is_prefix:
            for listed in storage.walk(place):
                parts = PurePosixPath(listed.below).parts
                reason = next(filter(None, map(_hidden, parts)), None) or refused(listed.url)
                if RESERVED in parts:
                    continue
                if reason is None:
                    found.append(listed.url)
                else:
                    left_out.append(LeftOut(listed.url, reason))
        else:
            found.append(place)
    return found, left_out


def _hidden(name: str) -> str | None:
    return "hidden" if name.startswith(".") or name == RESERVED else None
