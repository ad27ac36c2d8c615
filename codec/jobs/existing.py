"""Whether an output that is there already is what the work would make."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from .. import files
from ..errors import AecError
from .local import Task

# Nanoseconds in which file systems count times: FAT 2 s, older ones 1 s, exFAT 10 ms, NTFS 100 ns.
_RESOLUTIONS = (2_000_000_000, 1_000_000_000, 10_000_000, 1_000, 100, 1)


def up_to_date(task: Task, force: bool, check: Callable[[bytes], object]) -> bool:
    """Whether a task's output is there, is not older than its input, and is whole.

    Outputs have the times of their inputs, so that the same time is new enough.

    Args:
        force: outputs that are older or damaged are to be made anew.
        check: raises AecError if the bytes of an output are not whole.

    Raises:
        files.OutputExists: the output is older than its input, or damaged, and is not to be overwritten.
    """
    if files.STANDARD in (task.source, task.target) or not os.path.isfile(task.target):
        return False
    if _older(task.target, task.source):
        problem = f"is older than {files.shown(task.source)}"
    else:
        try:
            check(files.read_bytes(task.target))
            return True
        except AecError:
            problem = "is not whole"
    if not force:
        raise files.OutputExists(f"{files.shown(task.target)} exists, but {problem}")
    return False


def _older(target: Path, source: Path) -> bool:
    try:
        after, before = os.stat(target).st_mtime_ns, os.stat(source).st_mtime_ns
    except OSError:
        return False  # whatever is wrong is told when it is read
    return after < before and all(after != before - before % unit for unit in _RESOLUTIONS)
