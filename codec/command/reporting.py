"""What becomes of many files, told on a terminal: results, errors, a progress bar, and the exit code."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import click

from .. import files
from ..errors import AecError, CorruptFile, NotAec, UnknownModel, UnsupportedVersion
from ..jobs import local
from ..jobs.local import Outcome, Task

FAILED, DAMAGED, TOO_NEW, INTERRUPTED = 1, 3, 4, 130  # exit codes; 2 is click's, for usage


def exit_code(error: AecError) -> int:
    """1 failed, 3 damaged or no .aec file, 4 the file needs something this version lacks."""
    if isinstance(error, (CorruptFile, NotAec)):
        return DAMAGED
    if isinstance(error, (UnsupportedVersion, UnknownModel)):
        return TOO_NEW
    return FAILED


def run(tasks: Sequence[Task], work: Callable[[Task], Outcome], reporter: Reporter, jobs: int, keep_going: bool,
         done: str) -> None:
    """Work through the tasks; ends the command with the exit code of what went wrong."""
    began = time.perf_counter()
    outcomes: list[Outcome] = []
    with reporter, contextlib.closing(local.run(tasks, work, jobs)) as running:
        for outcome in running:
            outcomes.append(outcome)
            reporter.report(outcome)
            if outcome.error is not None and not keep_going:
                break
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if len(tasks) > 1:
        read, written = sum(o.bytes_read for o in outcomes), sum(o.bytes_written for o in outcomes)
        sizes = f", {read:,} to {written:,} bytes ({read / written:.1f}:1)" if written else ""
        failed = f", {len(errors)} failed" if errors else ""
        left = f", {len(tasks) - len(outcomes)} not begun (see --keep-going)" if len(outcomes) < len(tasks) else ""
        reporter.result(f"{len(outcomes) - len(errors)} files {done}{failed}{left}{sizes}, "
                        f"{time.perf_counter() - began:.1f} s")
    if errors:
        codes = {exit_code(error) for error in errors}
        raise click.exceptions.Exit(codes.pop() if len(codes) == 1 and (len(tasks) == 1 or not keep_going) else FAILED)


def found(tasks: Sequence[Task], what: str) -> None:
    if not tasks:
        raise AecError(f"there are no {what} in these folders")


def timings_line(timings: dict[str, float]) -> str:
    return ", ".join(f"{stage} {1000 * seconds:.1f} ms" for stage, seconds in timings.items())


def reporter(tasks: Sequence[Task], quiet: bool, verbose: bool) -> Reporter:
    return Reporter(len(tasks), quiet, verbose, all(task.target != files.STANDARD for task in tasks))


class Reporter:
    """Tells the user what happens: results on standard output, all else on standard error.

    With more than one task a progress bar is shown, if standard error is a terminal.
    """

    def __init__(self, total: int, quiet: bool, verbose: bool, results: bool = True) -> None:
        self.total, self.quiet, self.verbose = total, quiet, verbose
        self.results = results and not quiet  # standard output takes them
        self._bar: Any = None

    def __enter__(self) -> Reporter:
        if self.total > 1 and not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            # Standard output is left alone unless it is the terminal, too: then lines go above the bar.
            self._bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                                 TimeRemainingColumn(), console=Console(stderr=True), transient=True,
                                 redirect_stdout=sys.stdout.isatty(), redirect_stderr=True)
            self._bar.start()
            self._task = self._bar.add_task("", total=self.total)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def result(self, text: str) -> None:
        """A line on standard output."""
        if self.results:
            print(text, flush=self._bar is None)

    def message(self, text: str) -> None:
        """A line on standard error, whatever --quiet says."""
        print(text, file=sys.stderr)

    def report(self, outcome: Outcome) -> None:
        """What became of one task."""
        if outcome.error is not None:
            self.message(f"aecodec: {outcome.error}")
        else:
            if outcome.notes and not self.quiet:
                self.message(f"aecodec: {files.shown(outcome.task.source)}: {'; '.join(outcome.notes)}")
            if outcome.line and (self.total == 1 or self.verbose):
                self.result(outcome.line)
            if self.verbose and not self.quiet:
                for detail in outcome.details:
                    self.message(f"  {detail}")
        if self._bar is not None:
            self._bar.advance(self._task)
