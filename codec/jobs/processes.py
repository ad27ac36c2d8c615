"""A job on objects in processes of this machine: the same work as on a cluster, see `cluster`."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context

from .. import files
from ..errors import AecError
from .listing import ObjectTask
from .manifest import Line
from .objects import ObjectWork, Worker, failed

GROUP = 4  # tasks that a process has at a time: it reads the next one while it codes one
MOST_ATTEMPTS = 2  # of a picture that ends the process that is at it

Report = Callable[[Line], None]
Group = list[ObjectTask]


def run(items: Iterable[ObjectTask | Line], work: ObjectWork, jobs: int, report: Report) -> None:
    """Work through tasks; lines among them are passed on.

    Args:
        items: what is to be done, taken as it is needed.
        work: what is done; pickled for processes.
        jobs: how many processes; 1 for this one.
        report: receives one line or more for every task, in the thread that called.

    Raises:
        KeyboardInterrupt: after what had begun in other processes was finished and told of.
    """
    groups = _groups(items, report)
    if jobs == 1:
        worker = Worker(work)
        for group in groups:
            for lines in worker(group):
                _tell(lines, report)
        return
    pool = _Pool(work, jobs)
    try:
        _run(pool, groups, 2 * jobs, report)
    finally:
        pool.close()


def _groups(items: Iterable[ObjectTask | Line], report: Report) -> Iterator[Group]:
    def tasks() -> Iterator[ObjectTask]:
        for item in items:
            if isinstance(item, Line):
                report(item)
            else:
                yield item

    source = tasks()
    while group := list(islice(source, GROUP)):
        yield group


def _tell(lines: Iterable[Line], report: Report) -> None:
    for line in lines:
        report(line)


class _Pool:
    """Processes; new ones after one of them was killed."""

    def __init__(self, work: ObjectWork, jobs: int) -> None:
        self.work, self.jobs = work, jobs
        self.executor = self._new()

    def _new(self) -> ProcessPoolExecutor:
        # Not forked: a process that has used threads, as fsspec does, must not be.
        return ProcessPoolExecutor(self.jobs, get_context("spawn"), _begin, (self.work,))

    def submit(self, group: Group) -> Future[list[Line]]:
        try:
            return self.executor.submit(_work, group)
        except BrokenProcessPool as error:
            future: Future[list[Line]] = Future()
            future.set_exception(error)
            return future

    def renew(self) -> None:
        self.executor.shutdown(wait=True, cancel_futures=True)
        self.executor = self._new()

    def close(self) -> None:
        self.executor.shutdown(wait=True, cancel_futures=True)


def _run(pool: _Pool, groups: Iterator[Group], ahead: int, report: Report) -> None:
    running: dict[Future[list[Line]], Group] = {}
    try:
        while True:
            for group in islice(groups, ahead - len(running)):
                running[pool.submit(group)] = group
            if not running:
                return
            finished = wait(running, return_when=FIRST_COMPLETED).done
            if any(isinstance(future.exception(), BrokenProcessPool) for future in finished):
                _one_by_one(pool, running, report)
                continue
            for future in finished:
                running.pop(future)
                _tell(future.result(), report)
    except KeyboardInterrupt:
        for future in [future for future in running if not future.cancel()]:
            if future.exception() is None:
                _tell(future.result(), report)
        raise


def _one_by_one(pool: _Pool, running: dict[Future[list[Line]], Group], report: Report) -> None:
    """After a process was killed: nobody knows at which picture, and the others were broken off with it."""
    wait(running)
    broken: Group = []
    for future, group in running.items():
        if future.exception() is None:
            _tell(future.result(), report)
        else:
            broken += group
    running.clear()
    pool.renew()
    for task in broken:
        for attempt in range(MOST_ATTEMPTS):
            try:
                _tell(pool.submit([task]).result(), report)
                break
            except BrokenProcessPool:
                pool.renew()
                if attempt == MOST_ATTEMPTS - 1:
                    report(fatal(task, MOST_ATTEMPTS))


def fatal(task: ObjectTask, attempts: int) -> Line:
    """The line of a task whose worker did not survive it."""
    return failed(task, AecError(f"{files.shown(task.source)}: the worker was killed {attempts} times while it was at "
                                 "this picture; see whether it has enough memory"))


_worker: Worker | None = None


def _begin(work: ObjectWork) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one hears it, too, and decides
    _worker = Worker(work)


def _work(group: Group) -> list[Line]:
    assert _worker is not None
    return [line for lines in _worker(group) for line in lines]
