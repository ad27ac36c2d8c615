"""Tasks, and the work on them in this process: several at a time, counted to the last one."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import files
from ..errors import AecError


@dataclass(frozen=True)
class Task:
    """A file to read, and the file to write."""

    source: Path
    target: Path
    problem: AecError | None = None  # why it cannot be done, if that is known before


class Status(enum.Enum):
    """What became of a task."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    NOT_BEGUN = "not begun"
    BROKEN_OFF = "broken off"


@dataclass
class Outcome:
    """What became of a task, in facts."""

    task: Task
    status: Status = Status.DONE
    error: AecError | None = None
    facts: dict[str, Any] = field(default_factory=dict)  # names and plain values, as JSON takes them
    timings: dict[str, float] = field(default_factory=dict)  # in seconds
    notes: list[str] = field(default_factory=list)  # what was changed or left out
    bytes_read: int = 0
    bytes_written: int = 0


Work = Callable[[Task], Outcome]


def run(tasks: Sequence[Task], work: Work, jobs: int, keep_going: bool, report: Callable[[Outcome], None]) -> bool:
    """Work through the tasks, `jobs` at a time.

    Args:
        tasks: what is to be done. Problems that are known before are reported before any work begins.
        work: does a task. It runs in threads of this process.
        jobs: how many at a time. A single job runs in the calling thread, where an interrupt ends it at once.
        keep_going: go on after a failure. Without it, the tasks that have begun are finished and no other one begins.
        report: receives one outcome for every task, in the thread that called.

    Returns:
        Whether it was interrupted (Ctrl-C). The tasks that had begun are finished then, too.
    """
    impossible = [task for task in tasks if task.problem is not None]
    for task in impossible:
        report(Outcome(task, Status.FAILED, task.problem))
    stop = threading.Event()
    if impossible and not keep_going:
        stop.set()
    rest = [task for task in tasks if task.problem is None]
    attempt = _Attempt(work, stop, keep_going)
    if jobs == 1 or len(rest) == 1:
        return _run_here(rest, attempt, report)
    return _run_in_threads(rest, attempt, jobs, report)


def told(name: str, error: Exception) -> AecError | None:
    """What is wrong with a file, in words; None if the error is a defect of this program."""
    if isinstance(error, AecError):
        return error
    if isinstance(error, MemoryError):
        return AecError(f"{name}: not enough memory for this picture")
    # torch raises nothing more exact on the CPU, and a child of this on a GPU
    if isinstance(error, RuntimeError) and ("out of memory" in str(error) or "can't allocate memory" in str(error)):
        return AecError(f"{name}: not enough memory for this picture; work on one at a time"
                        + (", or on the CPU" if "CUDA" in str(error) else ""))
    return None


class _Attempt:
    """A task done, or why it was not. It raises what is a defect of this program, and an interrupt."""

    def __init__(self, work: Work, stop: threading.Event, keep_going: bool) -> None:
        self.work, self.stop, self.keep_going = work, stop, keep_going

    def __call__(self, task: Task) -> Outcome:
        if self.stop.is_set():
            return Outcome(task, Status.NOT_BEGUN)
        try:
            return self.work(task)
        except Exception as error:
            known = told(files.shown(task.source), error)
            if known is None:
                raise
            failure = known
        if not self.keep_going:
            self.stop.set()
        return Outcome(task, Status.FAILED, failure)


def _run_here(tasks: Sequence[Task], attempt: _Attempt, report: Callable[[Outcome], None]) -> bool:
    interrupted = False
    for task in tasks:
        try:
            outcome = attempt(task)
        except KeyboardInterrupt:
            interrupted = True
            attempt.stop.set()
            outcome = Outcome(task, Status.BROKEN_OFF)
        report(outcome)
    return interrupted


def _run_in_threads(tasks: Sequence[Task], attempt: _Attempt, jobs: int, report: Callable[[Outcome], None]) -> bool:
    told = 0

    def tell(futures: Sequence[Future[Outcome]]) -> None:
        nonlocal told
        for future in futures[told:]:
            outcome = future.result()
            told += 1  # before it is told of: an interrupt in between must not tell twice
            report(outcome)

    with ThreadPoolExecutor(jobs) as pool:
        futures: list[Future[Outcome]] = []
        try:
            futures += [pool.submit(attempt, task) for task in tasks]
            tell(futures)
        except KeyboardInterrupt:
            attempt.stop.set()
            tell(futures)
            for task in tasks[len(futures):]:
                report(Outcome(task, Status.NOT_BEGUN))
            return True
        except BaseException:
            attempt.stop.set()
            raise
    return False
