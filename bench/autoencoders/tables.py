"""What a table is made of, its Markdown and CSV, and the page of several."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
PAGE = "README.md"


class MissingData(Exception):
    """A table needs data, pictures or packages that are not there; the message says how to get or name them."""


@dataclass(frozen=True)
class Row:
    """One method on one data set."""

    dataset: str
    method: str
    values: dict[str, float | None]  # by column; None: not measured
    seconds: float | None = None  # CPU seconds of fitting, one thread
    ours: bool = False
    note: str = ""


@dataclass(frozen=True)
class Target:
    """What the table was to show, and whether it does."""

    text: str
    reached: bool


@dataclass
class Table:
    """A table of the results page."""

    name: str
    title: str
    method: str  # how it was measured, in a paragraph
    columns: dict[str, str]  # name: format, such as ".4f"
    rows: list[Row] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)  # file name: caption

    def value(self, method: str, column: str, dataset: str | None = None) -> float:
        """A value by its row and column.

        Raises:
            KeyError: there is none.
        """
        for row in self.rows:
            found = row.values.get(column)
            if row.method == method and dataset in (None, row.dataset) and found is not None:
                return found
        raise KeyError((method, column, dataset))


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """A result, and the CPU seconds of this process that it took: wall time would tell how busy the machine was."""
    began = time.process_time()
    result = work()
    return result, time.process_time() - began


def markdown(table: Table) -> str:
    """A table as a section of the page."""
    lines = [f"## {table.title}", "", table.method, "",
             "| data | method | " + " | ".join(table.columns) + " | CPU s |",
             "|---|---|" + "---:|" * (len(table.columns) + 1)]
    for row in table.rows:
        name = f"**{row.method}**" if row.ours else row.method
        cells = [_text(row.values.get(column), form) for column, form in table.columns.items()]
        note = f" ({row.note})" if row.note else ""
        lines.append(f"| {row.dataset} | {name}{note} | " + " | ".join([*cells, _text(row.seconds, ".1f")]) + " |")
    if table.targets:
        lines += ["", *(f"- {'reached' if target.reached else '**missed**'}: {target.text}"
                        for target in table.targets)]
    for file, caption in table.figures.items():
        lines += ["", f"![{caption}]({file})", "", f"*{caption}*"]
    return "\n".join(lines) + "\n"


def _text(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def write(table: Table, out: Path) -> None:
    """Write NAME.md and NAME.csv into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{table.name}.md").write_text(markdown(table), encoding="utf-8")
    with (out / f"{table.name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["data", "method", "ours", "column", "value", "cpu_seconds", "note"])
        for row in table.rows:
            for column in table.columns:
                writer.writerow([row.dataset, row.method, int(row.ours), column, _plain(row.values.get(column)),
                                 _plain(row.seconds), row.note])


def _plain(value: Any) -> str:
    return "" if value is None else f"{value:.6g}"


def page(out: Path, names: Sequence[str], introduction: str) -> str:
    """One page of all tables written into a folder, in the order of their names given."""
    parts = [introduction + "\n"]
    parts += [(out / f"{name}.md").read_text(encoding="utf-8") for name in names if (out / f"{name}.md").exists()]
    return "\n".join(parts)


def make(names: Sequence[str], table_of: Callable[[str], Table], out: Path, order: Sequence[str], introduction: str,
         say: Callable[[str], None]) -> list[str]:
    """Make tables; give the names of those that could not be made.

    A table is written as soon as it is made, and the page after it, from all tables in the folder.

    Args:
        names: of the tables to make.
        table_of: makes one; it raises MissingData, or ModuleNotFoundError for a package that is not installed.
        out: the folder.
        order: the names of all tables, as the page has them.
        introduction: what the page begins with.
        say: told a line about every table.
    """
    out.mkdir(parents=True, exist_ok=True)
    left: list[str] = []
    for name in names:
        try:
            table = table_of(name)
        except ModuleNotFoundError as error:
            say(f"not measured: {name}: it needs {error.name}; install it with: pip install 'aecodec[bench,ml]'")
            left.append(name)
            continue
        except MissingData as error:
            say(f"not measured: {name}: {error}")
            left.append(name)
            continue
        write(table, out)
        missed = [target.text for target in table.targets if not target.reached]
        say(f"{name}: {len(table.rows)} rows" + (f"; missed: {'; '.join(missed)}" if missed else ""))
        (out / PAGE).write_text(page(out, order, introduction), encoding="utf-8")
    return left
