"""What a person sees at the terminal while the bench is at work."""

from __future__ import annotations

import sys

import click


def say(message: str) -> None:
    """A line for the person at the terminal, on stderr."""
    click.echo(message, err=True)


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
