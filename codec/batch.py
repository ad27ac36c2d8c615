"""Work on many things in threads, in their order, with no more of them in memory than are worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_threads(work: Callable[[T], R], items: Iterable[T], jobs: int) -> Iterator[R]:
    """The results of `work` for the items, in their order, `jobs` at a time.

    Items are taken as they are needed, so they may come from an iterator without an end. An error is raised where its
    result would have come; what had not begun by then is not begun.

    Raises:
        ValueError: `jobs` is less than 1.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, not {jobs}")
    return _in_threads(work, items, jobs)


def _in_threads(work: Callable[[T], R], items: Iterable[T], jobs: int) -> Iterator[R]:
    pool, waiting = ThreadPoolExecutor(jobs), deque[Future[R]]()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
