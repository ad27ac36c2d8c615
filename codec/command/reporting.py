"""What becomes of many files, told on a terminal or as JSON: results, errors, counts, a progress bar, the exit code."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from .. import files
from ..errors import AecError, CorruptFile, NotAec, UnknownModel, UnsupportedVersion
from ..jobs import local
from ..jobs.compress import Compress
from ..jobs.decompress import Decompress
from ..jobs.local import Outcome, Status, Work
from ..jobs.plan import Plan
from ..jobs.restore import Restore
from .options import Batch

FAILED, DAMAGED, TOO_NEW, INTERRUPTED = 1, 3, 4, 130  # exit codes; 2 is click's, for usage
PATIENCE = 0.5  # seconds that a single file may take before a bar shows that something is going on

HINTS: dict[type[AecError], str] = {
    files.OutputExists: "name another file with -o (or a folder with --output-dir), or overwrite it with --force",
    files.InputIsFolder: "pass --recursive to take the files in it",
    files.OutputIsFolder: "name a file with -o, or pass --output-dir",
    files.OutputShared: "do each by itself and name its output with -o",
    files.NoOutput: "or name a file with -o",
}


def words(error: AecError) -> str:
    """What is wrong, and which flag helps."""
    hint = HINTS.get(type(error))
    return f"{error}; {hint}" if hint else str(error)


def exit_code(error: AecError) -> int:
    """1 failed, 3 damaged or no .aec file, 4 the file needs something this version lacks."""
    if isinstance(error, (CorruptFile, NotAec)):
        return DAMAGED
    if isinstance(error, (UnsupportedVersion, UnknownModel)):
        return TOO_NEW
    return FAILED


def timings_line(timings: dict[str, float]) -> str:
    """Seconds per stage in words."""
    return ", ".join(f"{stage} {1000 * seconds:.1f} ms" for stage, seconds in timings.items())


def work_through(plan: Plan, work: Work, batch: Batch, line: Callable[[Outcome], str], done: str, what: str,
                 writes: bool = True) -> None:
    """Work through a plan and tell what becomes of it; ends the command with the exit code of what went wrong.

    Args:
        plan: the tasks, and what is left out.
        work: does a task.
        batch: how.
        line: says in words what was done.
        done: what is done to files, in the summary: `compressed`.
        what: the files that are looked for in folders: `pictures`.
        writes: whether the tasks have outputs.
    """
    to_standard = writes and any(task.target == files.STANDARD for task in plan.tasks)
    if batch.as_json and to_standard:
        raise click.UsageError("--json and the output file both go to standard output; name a file with -o")
    reporter = Reporter(plan, batch, line, results=not to_standard)
    if isinstance(work, (Compress, Decompress, Restore)) and len(plan.tasks) == 1:
        work = replace(work, progress=reporter.progress)
    began = time.perf_counter()
    with reporter:
        reporter.left_out()
        interrupted = local.run(plan.tasks, work, batch.jobs_for(len(plan.tasks)), batch.goes_on, reporter.report)
    reporter.summary(done, what, time.perf_counter() - began, interrupted)
    if interrupted:
        reporter.message("aecodec: interrupted")
        raise click.exceptions.Exit(INTERRUPTED)
    if reporter.codes:
        raise click.exceptions.Exit(reporter.codes.pop() if len(reporter.codes) == 1 else FAILED)


class Reporter:
    """Tells the user what happens: results on standard output, all else on standard error.

    If standard error is a terminal, a bar shows how far it is: with several files by files, with one that takes its
    time by its share, see `progress`.
    """

    def __init__(self, plan: Plan, batch: Batch, line: Callable[[Outcome], str], results: bool = True) -> None:
        self.plan, self.batch, self.line = plan, batch, line
        self.results = results and not batch.quiet  # standard output takes them
        self.total = len(plan.tasks)
        self.outcomes: list[Outcome] = []
        self.codes: set[int] = set()
        self._bar: Any = None
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._problems: set[str] = set()
        self._noted: dict[str, list[str]] = defaultdict(list)  # what, and of which files

    def __enter__(self) -> Reporter:
        if not self.batch.quiet and self.total and sys.stderr.isatty():
            if self.total > 1:
                self._show()
            else:
                self._timer = threading.Timer(PATIENCE, self._show)
                self._timer.daemon = True
                self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        one = self.total == 1
        counted = [TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn()] if one else [MofNCompleteColumn(),
                                                                                         TimeRemainingColumn()]
        # Standard output is left alone unless it is the terminal, too: then lines go above the bar.
        bar = Progress(TextColumn("{task.description}"), BarColumn(), *counted, console=Console(stderr=True),
                       transient=True, redirect_stdout=sys.stdout.isatty(), redirect_stderr=True)
        name = files.shown(self.plan.tasks[0].source) if one else ""
        with self._lock:
            bar.start()
            self._task = bar.add_task(name, total=None if one else self.total)
            self._bar = bar

    def progress(self, share: float) -> None:
        """How much of a single file is done, 0..1; until the first call its bar only shows that it goes on."""
        with self._lock:
            if self._bar is not None and self.total == 1:
                self._bar.update(self._task, total=1.0, completed=share)

    def result(self, text: str) -> None:
        """A line on standard output."""
        if self.results and not self.batch.as_json:
            print(text, flush=self._bar is None)

    def message(self, text: str) -> None:
        """A line on standard error, whatever --quiet says."""
        print(text, file=sys.stderr)

    def left_out(self) -> None:
        """What was found in folders and is not worked on: what could not be read always, the rest with --verbose."""
        for item in self.plan.left_out:
            if item.failed:
                self.message(f"aecodec: {files.shown(item.path)} {item.reason}")
                self.codes.add(FAILED)
            elif self.batch.verbose and not self.batch.quiet:
                self.message(f"aecodec: left out: {files.shown(item.path)}: {item.reason}")

    def report(self, outcome: Outcome) -> None:
        """What became of one task."""
        self.outcomes.append(outcome)
        name = files.shown(outcome.task.source)
        if outcome.error is not None:
            text = words(outcome.error)
            if text not in self._problems:  # several files may share one
                self.message(f"aecodec: {text}")
            self._problems.add(text)
            self.codes.add(exit_code(outcome.error))
        elif outcome.status is Status.SKIPPED:
            if self.batch.verbose or self.total == 1:
                self.result(f"{files.shown(outcome.task.target)}: there already")
        elif outcome.status is Status.DONE:
            if outcome.notes:
                self._noted["; ".join(outcome.notes)].append(name)
            if self.total == 1 or self.batch.verbose:
                self._tell_notes()
            if self.total == 1 or self.batch.verbose or self.batch.every_line:
                self.result(self.line(outcome))
            if self.batch.verbose and not self.batch.quiet:
                for detail in _details(outcome):
                    self.message(f"  {detail}")
        if self._bar is not None and self.total > 1:
            self._bar.advance(self._task)

    def _tell_notes(self) -> None:
        """A line for each thing that was noted of pictures, however many they are."""
        if not self.batch.quiet:
            for text, (first, *more) in self._noted.items():
                self.message(f"aecodec: {first}{f' and {len(more)} more' if more else ''}: {text}")
        self._noted.clear()

    def summary(self, done: str, what: str, seconds: float, interrupted: bool) -> None:
        """The last line, or the JSON."""
        counts = Counter(outcome.status for outcome in self.outcomes)
        self._tell_notes()
        if self.batch.as_json:
            if self.results:
                print(json.dumps(self._document(counts), indent=2))
        elif self.total > 1 or self.plan.left_out or self.batch.recursive:
            self.result(self._last_line(counts, done, seconds, interrupted))
        if not self.total and not self.codes:
            raise AecError(f"there are no {what} in these folders")

    def _last_line(self, counts: Counter[Status], done: str, seconds: float, interrupted: bool) -> str:
        finished = counts[Status.DONE]
        parts = [f"{finished} file{'' if finished == 1 else 's'} {done}"]
        lossless = sum(outcome.facts.get("quality", 0) is None for outcome in self.outcomes)
        if lossless:
            parts.append(f"{lossless} of them without loss" + ("" if self.batch.verbose else " (see `aecodec info`)"))
        parts += [f"{counts[status]} {status.value}" for status in (Status.SKIPPED, Status.FAILED, Status.BROKEN_OFF,
                                                                     Status.NOT_BEGUN) if counts[status]]
        if counts[Status.NOT_BEGUN] and not interrupted:
            parts[-1] += " (see --keep-going)"
        if self.plan.left_out:
            see = "" if self.batch.verbose else " (see --verbose)"
            parts.append(f"{len(self.plan.left_out)} left out{see}")
        read, written = (sum(getattr(o, name) for o in self.outcomes) for name in ("bytes_read", "bytes_written"))
        if written:
            ratio = f" ({read / written:.1f}:1)" if written < read else ""
            parts.append(f"{read:,} to {written:,} bytes{ratio}")
        return ", ".join([*parts, f"{seconds:.1f} s"])

    def _document(self, counts: Counter[Status]) -> dict[str, Any]:
        return {
            "files": [_as_json(outcome) for outcome in self.outcomes],
            "left_out": [{"path": files.shown(item.path), "reason": item.reason} for item in self.plan.left_out],
            "counts": {**{status.value.replace(" ", "_"): counts[status] for status in Status},
                       "left_out": len(self.plan.left_out)},
        }


def _details(outcome: Outcome) -> list[str]:
    facts = outcome.facts
    details = []
    if facts.get("level") is not None:
        details.append(f"level {facts['level']}, model {facts['model']} on {facts['device']} in {facts['precision']}")
    if outcome.timings:
        details.append(timings_line(outcome.timings))
    return details


def _as_json(outcome: Outcome) -> dict[str, Any]:
    task = outcome.task
    told: dict[str, Any] = {"input": files.shown(task.source), "status": outcome.status.value}
    if task.target != task.source:
        told["output"] = files.shown(task.target)
    if outcome.error is not None:
        return {**told, "error": words(outcome.error)}
    if outcome.status is Status.DONE:
        told |= {"bytes_read": outcome.bytes_read, "bytes_written": outcome.bytes_written, **outcome.facts,
                 "notes": outcome.notes, "timings": {name: round(value, 6) for name, value in outcome.timings.items()}}
    return told
