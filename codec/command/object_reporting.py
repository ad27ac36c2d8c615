"""What becomes of a job on objects, told while it goes on and at its end."""

from __future__ import annotations

import json
import sys
import threading
from datetime import timedelta
from typing import Any

import click

from ..jobs.manifest import DONE, FAILED, LEFT_OUT, SKIPPED, Line
from ..jobs.storage import Location
from ..jobs.totals import Totals
from .options import Batch
from .reporting import HINTS

EVERY = 30.0  # seconds between lines where there is no terminal
FRAME = 0.5  # seconds between frames of the bar

_HINTS = {kind.__name__: hint for kind, hint in HINTS.items()}


class ObjectReporter:
    """Errors on standard error as they come; there, too, how far it is: a bar on a terminal, else a line now and then.

    The summary goes to standard output.
    """

    def __init__(self, totals: Totals, batch: Batch, done: str) -> None:
        self.totals, self.batch, self.done = totals, batch, done
        self._bar: Any = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> ObjectReporter:
        if not self.batch.quiet:
            if sys.stderr.isatty():
                self._show()
            self._thread = threading.Thread(target=self._keep_telling, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._bar is not None:
            self._bar.stop()

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._bar = Progress(BarColumn(), TextColumn("{task.description}"), console=Console(stderr=True),
                             transient=True, redirect_stdout=sys.stdout.isatty(), redirect_stderr=True)
        self._task = self._bar.add_task("", total=None)
        self._bar.start()

    def _keep_telling(self) -> None:
        while not self._stop.wait(EVERY if self._bar is None else FRAME):
            if self._bar is None:
                self.message(f"aecodec: {progress(self.totals)}")
            else:
                self._bar.update(self._task, description=progress(self.totals), completed=self.totals.finished,
                                 total=self.totals.found if self.totals.all_found else None)

    def message(self, text: str) -> None:
        """A line on standard error, whatever --quiet says."""
        print(text, file=sys.stderr, flush=True)

    def report(self, line: Line) -> None:
        """What became of one object."""
        quiet, verbose = self.batch.quiet, self.batch.verbose
        if line.status == FAILED:
            hint = _HINTS.get(line.kind or "")
            told = line.error or ""
            named = told if line.key.rpartition("#")[0] == "" or line.key in told else f"{line.key}: {told}"
            self.message(f"aecodec: {named}{'; ' + hint if hint else ''}")
        elif line.status == LEFT_OUT:
            if verbose and not quiet:
                self.message(f"aecodec: left out: {line.key}: {line.error}")
        else:
            if line.notes and not quiet:
                self.message(f"aecodec: {line.key}: {'; '.join(line.notes)}")
            if verbose and not quiet and not self.batch.as_json:
                click.echo(f"{line.output}: there already" if line.status == SKIPPED else
                           f"{line.output}: {line.bytes_in:,} to {line.bytes_out:,} bytes, {line.seconds:.2f} s")

    def summary(self, manifest: Location | None) -> None:
        """The last line, or the JSON."""
        if self.batch.as_json:
            told = {**self.totals.document(), "manifest": None if manifest is None else str(manifest)}
            click.echo(json.dumps(told, indent=2))
        elif not self.batch.quiet:
            click.echo(_summary(self.totals, self.done, manifest))


def progress(totals: Totals) -> str:
    """How far it is: objects, rate, bytes saved, time left."""
    found = f"{totals.finished:,} of {totals.found:,}{'' if totals.all_found else ' found so far'}"
    left = totals.left()
    parts = [found, f"{totals.rate():.1f} a second", f"{_size(totals.saved)} saved"]
    if totals.counts[FAILED]:
        parts.append(f"{totals.counts[FAILED]:,} failed")
    if left is not None:
        parts.append(f"{timedelta(seconds=round(left))} left")
    return ", ".join(parts)


def _summary(totals: Totals, done: str, manifest: Location | None) -> str:
    told, counts = totals.document(), totals.counts
    finished = counts[DONE]
    parts = [f"{finished:,} object{'' if finished == 1 else 's'} {done}"]
    parts += [f"{counts[status]:,} {words}" for status, words in
              ((SKIPPED, "done already"), (FAILED, "failed"), (LEFT_OUT, "left out")) if counts[status]]
    if totals.bytes_out:
        parts.append(f"{totals.bytes_in:,} to {totals.bytes_out:,} bytes "
                     f"({totals.bytes_in / totals.bytes_out:.1f}:1)")
    parts.append(f"{told['seconds']:.1f} s, {told['objects_per_second']:.1f} a second")
    lines = [", ".join(parts)]
    if finished:
        each = told["seconds_per_object"]
        lines.append(f"seconds of coding: half of them below {each['p50']:g}, 90 % below {each['p90']:g}, "
                     f"99 % below {each['p99']:g}")
    if manifest is not None:
        lines.append(f"manifest: {manifest}")
    return "\n".join(lines)


def _size(size: float) -> str:
    """Bytes in the largest unit that leaves a number above 1."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if abs(size) < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
