"""The report as one HTML page that needs nothing else: tables, curves, and pictures under a slider."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from .document import Figure, Section, Table
from .plots import Line

PAGE = "report.html"


def render(found: Sequence[Section], figures: Mapping[str, str], lines: Mapping[str, Sequence[Line]],
           comparison: Sequence[dict[str, Any]]) -> str:
    """The whole page.

    Args:
        found: the report's sections.
        figures: stem -> SVG.
        lines: stem -> the lines in that figure, which get a switch each.
        comparison: what `comparison.compare` gave; without it the page says how to get it.
    """
    template = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    first, *rest = found
    parts = {
        "summary": _section(first, figures, lines),
        "sections": "\n".join(_section(section, figures, lines) for section in rest),
        # "</" would end the script element
        "data": json.dumps(list(comparison)).replace("</", "<\\/"),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match.group(1)], template)


def _section(section: Section, figures: Mapping[str, str], lines: Mapping[str, Sequence[Line]]) -> str:
    blocks = [f"<h2>{html.escape(section.title)}</h2>"]
    for part in section.parts:
        if isinstance(part, Table):
            blocks.append(_table(part))
        elif isinstance(part, Figure):
            blocks.append(_figure(part, figures, lines))
        else:
            blocks.append(f"<p>{_inline(part)}</p>")
    return "<section>" + "\n".join(blocks) + "</section>"


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.head)
    body = "\n".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
                     for row in table.rows)
    kind = "" if table.numbers else ' class="text"'
    return f'<div class="scroll"><table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _figure(figure: Figure, figures: Mapping[str, str], lines: Mapping[str, Sequence[Line]]) -> str:
    svg = figures[figure.stem]
    svg = svg[svg.index("<svg"):]  # without the XML prologue, which HTML does not have
    # ids must be unique in a page that holds several figures
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{figure.stem}-", svg)
    switches = "".join(
        f'<label><input type="checkbox" checked data-line="{figure.stem}-line:{html.escape(line.name)}">'
        f'{html.escape(line.label)}{" (published)" if line.published else ""}</label>'
        for line in lines[figure.stem])
    return (f'<figure>{svg}<figcaption>{html.escape(figure.caption)}</figcaption>'
            f'<div class="switches">{switches}</div></figure>')
