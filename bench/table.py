"""The tidy table that everything else is derived from: one row per picture, codec and setting, kept as CSV."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Row:
    """One coded picture. `bytes` is the whole file, `bpp` its bits per pixel; times are of one run."""

    dataset: str
    image: str
    width: int
    height: int
    codec: str
    version: str
    setting: str
    bytes: int
    bpp: float
    psnr_rgb: float
    psnr_y: float
    ms_ssim: float | None
    ssimulacra2: float | None
    lpips: float | None
    encode_s: float
    decode_s: float
    device: str
    threads: int

    @property
    def key(self) -> Key:
        """What a row is found by."""
        return self.dataset, self.image, self.codec, self.setting


COLUMNS = tuple(column.name for column in fields(Row))
_TYPES = {column.name: str(column.type) for column in fields(Row)}
_DIGITS = {"bpp": 6, "psnr_rgb": 4, "psnr_y": 4, "ms_ssim": 6, "ssimulacra2": 3, "lpips": 5, "encode_s": 4,
           "decode_s": 4}


def setting_text(setting: float) -> str:
    """A setting as it stands in the table: 75, 0.25."""
    return f"{setting:g}"


def _to_text(row: Row) -> list[str]:
    cells = []
    for name in COLUMNS:
        value = getattr(row, name)
        if value is None:
            cells.append("")
        elif isinstance(value, float):
            cells.append(f"{value:.{_DIGITS[name]}f}")
        else:
            cells.append(str(value))
    return cells


def _from_text(cells: dict[str, Any]) -> Row:
    values: dict[str, Any] = {}
    for name, kind in _TYPES.items():
        cell = cells[name]
        if cell is None:
            raise ValueError(f"no {name}")
        if kind == "str":
            values[name] = cell
        elif kind == "int":
            values[name] = int(cell)
        else:
            values[name] = None if cell == "" and "None" in kind else float(cell)
    return Row(**values)


def read(path: Path) -> list[Row]:
    """All rows of a table; none if there is no such file. A last line that was cut short is left out.

    Raises ValueError naming the line if the table is damaged elsewhere.
    """
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text if text.endswith("\n") else text[:text.rfind("\n") + 1]
    rows = []
    for number, cells in enumerate(csv.DictReader(io.StringIO(whole)), start=2):
        try:
            rows.append(_from_text(cells))
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path}, line {number}: {error}; mend or remove the file") from None
    return rows


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


def finite(value: float | None) -> bool:
    """Whether a cell holds a number that can be averaged."""
    return value is not None and math.isfinite(value)
