"""The tidy table that everything else is derived from: one row per picture, codec and setting, kept as CSV.

A metric is a column. A table that was written before a metric was added lacks its column, or has it empty: its rows
are read all the same, as rows for which that metric was not measured.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .metrics import METRICS

Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Row:
    """One coded picture. `bytes` is the whole file, `bpp` its bits per pixel; times are of one run.

    `metrics` has those that were measured and are defined at the picture's size: name -> value.
    """

    dataset: str
    image: str
    width: int
    height: int
    codec: str
    version: str
    setting: str
    bytes: int
    bpp: float
    encode_s: float
    decode_s: float
    device: str
    threads: int
    metrics: Mapping[str, float] = field(hash=False)

    @property
    def key(self) -> Key:
        """What a row is found by."""
        return self.dataset, self.image, self.codec, self.setting


_TYPES = {column.name: str(column.type) for column in fields(Row) if column.name != "metrics"}
_DIGITS = {"bpp": 6, "encode_s": 4, "decode_s": 4}
_BEFORE = list(_TYPES).index("bpp") + 1  # where the columns of the metrics stand
COLUMNS = (*list(_TYPES)[:_BEFORE], *(metric.name for metric in METRICS), *list(_TYPES)[_BEFORE:])
_RENAMED = {"aecodec": "aecodec-small"}  # codecs in tables made when there was one model


def setting_text(setting: float) -> str:
    """A setting as it stands in the table: 75, 0.25."""
    return f"{setting:g}"


def _to_text(row: Row) -> list[str]:
    cells = {name: f"{value:.{_DIGITS[name]}f}" if isinstance(value := getattr(row, name), float) else str(value)
             for name in _TYPES}
    for metric in METRICS:
        measured = row.metrics.get(metric.name)
        cells[metric.name] = "" if measured is None else f"{measured:.{metric.digits}f}"
    return [cells[name] for name in COLUMNS]


def _from_text(cells: Mapping[str, str | None]) -> Row:
    values: dict[str, Any] = {}
    for name, kind in _TYPES.items():
        cell = cells[name]
        if cell is None:
            raise ValueError(f"no {name}")
        values[name] = {"str": str, "int": int, "float": float}[kind](cell)
    values["codec"] = _RENAMED.get(values["codec"], values["codec"])
    measured = {metric.name: float(cell) for metric in METRICS if (cell := cells.get(metric.name))}
    return Row(**values, metrics=measured)


def read(path: Path) -> list[Row]:
    """All rows of a table, the last of each key; none if there is no such file. A last line cut short is left out.

    Raises ValueError naming the line if the table is damaged elsewhere.
    """
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text if text.endswith("\n") else text[:text.rfind("\n") + 1]
    rows: dict[Key, Row] = {}
    for number, cells in enumerate(csv.DictReader(io.StringIO(whole)), start=2):
        try:
            row = _from_text(cells)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path}, line {number}: {error}; mend or remove the file") from None
        rows[row.key] = row
    return list(rows.values())


def _lines(rows: Iterable[Row]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(_to_text(row) for row in rows)
    return out.getvalue()


def write(path: Path, rows: Iterable[Row]) -> None:
    """Replace the table, sorted; all of it or nothing."""
    ordered = sorted(rows, key=lambda row: (row.dataset, row.image, row.codec, float(row.setting)))
    temporary = path.with_suffix(".tmp")
    temporary.write_text(",".join(COLUMNS) + "\n" + _lines(ordered), encoding="utf-8")
    os.replace(temporary, path)


def append(path: Path, rows: Iterable[Row]) -> None:
    """Add rows to a table that `write` has made."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(_lines(rows))
