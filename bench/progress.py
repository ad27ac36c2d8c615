"""What a person sees at the terminal while the bench is at work."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from .document import Figure, Table


def say(message: str) -> None:
    """A line for the person at the terminal, on stderr."""
    click.echo(message, err=True)


def show(parts: Sequence[str | Table | Figure]) -> None:
    """Paragraphs and tables of a report, on stdout."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as Shown

    console = Console(highlight=False)
    for part in parts:
        if isinstance(part, str):
            console.print(f"\n{part}", markup=False)
        elif isinstance(part, Table):
            shown = Shown(box=box.SIMPLE_HEAD, pad_edge=False)
            for n, name in enumerate(part.head):
                shown.add_column(name, justify="right" if n and part.numbers else "left", overflow="fold")
            for row in part.rows:
                shown.add_row(*map(escape, row))
            console.print(shown)


class Progress:
    """A progress bar on stderr."""

    def __init__(self, unit: str) -> None:
        from rich import progress
        from rich.console import Console

        self.bar = progress.Progress(progress.TextColumn(unit), progress.BarColumn(), progress.MofNCompleteColumn(),
                                     progress.TimeRemainingColumn(), console=Console(file=sys.stderr))

    def __enter__(self) -> Progress:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def start(self, total: int) -> None:
        """Begin to count to `total`."""
        self.task = self.bar.add_task("", total=total)

    def advance(self, count: int) -> None:
        """Count on."""
        self.bar.advance(self.task, count)

    def log(self, text: str) -> None:
        """Print a line above the bar."""
        self.bar.console.print(text, highlight=False, soft_wrap=True)
