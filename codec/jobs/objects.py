"""The work on one object, wherever it runs: look whether it is done, read, code, write once. It can be pickled.

What an object was made from stands in its mark: the source with its version, the weights and the settings. An object
whose mark is what it would be now is done. The README of this folder says what follows from that.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from itertools import zip_longest
from pathlib import Path

from .. import files
from ..errors import AecError
from . import local, shards, storage
from .coding import Coding, Made
from .listing import ObjectTask
from .manifest import DONE, FAILED, SKIPPED, Line
from .storage import Existing

LONGEST_SOURCE = 600  # characters of a source's name in a mark: a store may hold no more than 2 kB of metadata


@dataclass(frozen=True)
class ObjectWork:
    """Makes the output of a task, unless it is there."""

    coding: Coding
    ending: str  # of pictures' names in shards
    weights: str | None = None  # the bundle hash that is coded with; None where the input names it
    force: bool = False  # overwrite what was not made from the same source
    again: bool = False  # make also what is done
    preserve: bool = True  # a local file has the permissions and times of a local source
    column: str | None = None  # of Parquet shards
    #: The marks of outputs by their addresses, for stores that keep none.
    known: dict[str, str] = field(default_factory=dict)

    def mark(self, task: ObjectTask) -> str:
        """What the output is made from, as JSON in ASCII."""
        source = str(task.source)
        if len(source) > LONGEST_SOURCE:
            source = "sha256:" + hashlib.sha256(source.encode(errors="surrogateescape")).hexdigest()
        settings = self.coding.settings() | ({"column": self.column} if self.column else {})
        told = {"source": source, **asdict(task.version), "weights": self.weights, "settings": settings}
        return json.dumps({name: value for name, value in told.items() if value not in (None, "")}, sort_keys=True)

    def fetch(self, task: ObjectTask) -> _Fetched:
        """Look at the output, and read the input if there is something to do. Raises AecError."""
        if task.problem is not None:
            raise AecError(task.problem)
        if task.source == task.target:
            raise AecError(f"{files.shown(task.target)} is the input itself, which is never overwritten; name another "
                           "output")
        there, mark = storage.existing(task.target), self.mark(task)
        recorded = None if there is None else self._recorded(task, there)
        if recorded == mark and not self.again:
            return _Fetched(task, mark, there, None)
        if recorded is not None and not self.force and _source(recorded) != _source(mark):
            raise files.OutputExists(f"{files.shown(task.target)} exists, made from {_source(recorded)}")
        return _Fetched(task, mark, there, storage.read(task.source), compare=recorded is None and not self.force)

    def finish(self, fetched: _Fetched) -> list[Line]:
        """Code and write what was fetched. Raises AecError."""
        task, data = fetched.task, fetched.data
        line = Line(str(task.source), DONE, str(task.target), mark=fetched.mark)
        if data is None:
            return [replace(line, status=SKIPPED, bytes_in=task.version.size)]
        began = time.perf_counter()
        if shards.is_shard(task.source):
            made, inside = shards.code(self.coding, task.source, data, self.column, self.ending)
        else:
            made, inside = self.coding.code(task.source, data), []
        seconds = made.facts.get("seconds", time.perf_counter() - began)
        self._write(fetched, made)
        pixels = made.facts.get("pixels", made.facts.get("width", 0) * made.facts.get("height", 0))
        failed = [Line(f"{task.source}#{name}", FAILED, error=error) for name, error in inside]
        return [replace(line, bytes_in=len(data), bytes_out=len(made.data), pixels=pixels, seconds=round(seconds, 4),
                        notes=made.notes), *failed]

    def _recorded(self, task: ObjectTask, there: Existing) -> str | None:
        return there.mark if storage.keeps_marks(task.target) else self.known.get(str(task.target))

    def _write(self, fetched: _Fetched, made: Made) -> None:
        task = fetched.task
        if isinstance(task.source, Path) and isinstance(task.target, Path):
            files.check_not_same(task.source, task.target)
        if fetched.there is not None and fetched.compare:
            # Somebody else's, or ours from before a record of it was kept.
            if storage.read(task.target) != made.data:
                raise files.OutputExists(f"{files.shown(task.target)} exists, and holds something else")
            if not storage.keeps_marks(task.target):
                return
        try:
            storage.write(task.target, made.data, fetched.mark, fetched.there is None,
                          task.source if self.preserve else None, made.check)
        except FileExistsError:  # since it was looked for: by another worker, or by a request whose answer was lost
            there = storage.existing(task.target)
            same = there is not None and (self._recorded(task, there) == fetched.mark
                                          or storage.read(task.target) == made.data)
            if not same:
                raise files.OutputExists(f"{files.shown(task.target)} exists since a moment ago") from None


@dataclass(frozen=True)
class _Fetched:
    task: ObjectTask
    mark: str
    there: Existing | None
    data: bytes | None  # None: there is nothing to do
    compare: bool = False  # what is there may stay if it is the same


def _source(mark: str) -> str | None:
    try:
        return str(json.loads(mark)["source"])
    except (ValueError, KeyError, TypeError):
        return None


class Worker:
    """Works through tasks one after another, and reads the next one meanwhile. Every task has a line."""

    def __init__(self, work: ObjectWork) -> None:
        self.work = work
        self._ahead = ThreadPoolExecutor(1)

    def __call__(self, tasks: Sequence[ObjectTask]) -> Iterator[list[Line]]:
        """The lines of each task."""
        pending: Future[_Fetched] | None = None
        for task, following in zip_longest(tasks, tasks[1:]):
            fetching = pending or self._ahead.submit(self.work.fetch, task)
            pending = self._ahead.submit(self.work.fetch, following) if following is not None else None
            try:
                lines = self.work.finish(fetching.result())
            except Exception as error:  # whatever is wrong with one picture leaves the others be
                name = files.shown(task.source)
                lines = [failed(task, local.told(name, error) or AecError(
                    f"{name}: {type(error).__name__}: {error}; please report it with `aecodec --version`"))]
            yield lines


def failed(task: ObjectTask, error: AecError) -> Line:
    """The line of a task that failed."""
    return Line(str(task.source), FAILED, str(task.target), task.version.size, error=str(error),
                kind=type(error).__name__)
