"""What the commands that work on latents share: which files they take, and how they go through them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import files
from ..errors import AecError
from ..format import container
from ..jobs import local, sources
from ..jobs.local import Outcome, Task
from ..jobs.plan import Plan, gather
from .options import Batch
from .reporting import FAILED, INTERRUPTED, Reporter

if TYPE_CHECKING:
    from ..picture.reading import Picture


def read(path: Path, limit_pixels: int | None) -> tuple[container.AecFile | Picture, int]:
    """What a file holds, an .aec file or another picture, and how many bytes it has. Raises AecError that names it."""
    data = files.read_bytes(path)
    if not data.startswith(container.MAGIC) and not sources.is_aec(path):
        return sources.read_picture(path, data, limit_pixels), len(data)
    try:
        return sources.check(data, limit_pixels), len(data)
    except AecError as error:
        raise sources.named(path, error) from None


def refused(path: Path) -> str | None:
    """Why a file in a folder is not taken; None if it is."""
    return None if sources.is_aec(path) else sources.not_a_picture(path)


def planned(inputs: Sequence[Path], recursive: bool) -> Plan:
    """A task for each file, and for each in the folders if `recursive`.

    A file that is named twice, or by a link, is taken once: who lists copies must not list the only one there is.
    """
    found, left_out = gather(inputs, recursive, refused)
    tasks, seen = [], set[object]()
    for source, _ in found:
        identity = _identity(source)
        if identity not in seen:
            seen.add(identity)
            tasks.append(Task(source, source))
    return Plan(tasks, left_out)


def _identity(path: Path) -> object:
    """What is the same for all names of a file."""
    try:
        status = os.stat(path)
    except OSError:  # it is told of when it is read
        return os.path.abspath(path)
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)


def go_through(plan: Plan, work: local.Work, batch: Batch, line: Callable[[Outcome], str],
               results: bool = True) -> tuple[Reporter, float]:
    """Work through a plan; gives who tells of it and the seconds it took. An interrupt ends the command.

    Args:
        line: says in words what was done to a file.
        results: whether such lines go to standard output; errors are told in any case.
    """
    reporter = Reporter(plan, batch, line, results)
    began = time.perf_counter()
    with reporter:
        reporter.left_out()
        interrupted = local.run(plan.tasks, work, batch.jobs_for(len(plan.tasks)), True, reporter.report)
    if interrupted:
        reporter.message("aecodec: interrupted")
        raise click.exceptions.Exit(INTERRUPTED)
    return reporter, time.perf_counter() - began


def finish(reporter: Reporter) -> None:
    """End the command with the exit code of what went wrong with files, if something did."""
    if reporter.codes:
        raise click.exceptions.Exit(reporter.codes.pop() if len(reporter.codes) == 1 else FAILED)
