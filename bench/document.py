"""What a report is made of, paragraphs, tables and figures, and how it is written as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Cells of text; the first column is left-aligned, and unless the others are `numbers`, so are they."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: bool = True


@dataclass(frozen=True)
class Figure:
    """A plot by the stem of its files."""

    stem: str
    caption: str


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, in order: paragraphs, tables, figures."""

    title: str
    parts: tuple[str | Table | Figure, ...]


def markdown_table(table: Table) -> str:
    """A table as GitHub's Markdown."""
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = "|---" + ("|---:" if table.numbers else "|---") * (len(table.head) - 1) + "|"
    return "\n".join([line(table.head), rule, *map(line, table.rows)])


def markdown(found: Sequence[Section]) -> str:
    """The report as Markdown, beside its figures."""
    blocks = ["# aecodec against other codecs"]
    for section in found:
        blocks.append(f"## {section.title}")
        for part in section.parts:
            if isinstance(part, Table):
                blocks.append(markdown_table(part))
            elif isinstance(part, Figure):
                blocks.append(f"![{part.caption}]({part.stem}.svg)")
            else:
                blocks.append(part)
    return "\n\n".join(blocks) + "\n"
