"""Sheets of crops to look at: the original beside our models and AVIF at equal bytes, a row for each rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from aecodec.metrics import SSIMULACRA2_SIDE, psnr, ssimulacra2

from .codecs import Codec, is_ours, label
from .comparison import nearest
from .metrics import luma
from .pictures import Picture

if TYPE_CHECKING:
    from PIL import Image

CROP = 224  # pixels, shown enlarged
ENLARGED = 2
SMALL_CROP = 200
_EDGE = 24.0  # of luma codes between neighbours: a stronger edge counts no more, so one outline does not win
_STEP = 8  # crops are looked for at every 8th pixel
_GAP = 8  # pixels between cells
_BACKGROUND, _INK = (32, 32, 32), (235, 235, 235)


def detail(pixels: np.ndarray, side: int = CROP) -> tuple[int, int, int, int]:
    """Where most detail is: top, left, height and width of a crop of `uint8 [H, W, 3]`, the first of equals."""
    y = luma(pixels)
    strength = np.zeros(y.shape)
    strength[1:] += np.minimum(np.abs(np.diff(y, axis=0)), _EDGE)
    strength[:, 1:] += np.minimum(np.abs(np.diff(y, axis=1)), _EDGE)
    height, width = min(side, y.shape[0]), min(side, y.shape[1])
    total = np.pad(strength, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    windows = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    top, left = np.unravel_index(windows[::_STEP, ::_STEP].argmax(), windows[::_STEP, ::_STEP].shape)
    return int(top) * _STEP, int(left) * _STEP, height, width


def draw(pixels: np.ndarray, codecs: Sequence[Codec], rates: Sequence[float], title: str) -> Image.Image:
    """The sheet of one picture, a row for each rate.

    The first codec sets the size, as the nearest it comes to each rate in bits per pixel, and the others come as near
    to its bytes as their settings allow.
    """
    crop = detail(pixels)
    made: dict[str, dict[int, bytes]] = {codec.name: {} for codec in codecs}
    rows = []
    for rate in rates:
        first, *others = _row(pixels, codecs, rate, made)
        size = f"{pixels.shape[1]}x{pixels.shape[0]}, crop at {crop[1]},{crop[0]}"
        cells = [(f"{title}: {first.label}", size, first.pixels)]
        cells += [(cell.label, f"{cell.bytes:,} bytes, {8 * cell.bytes / (pixels.shape[0] * pixels.shape[1]):.3f} bpp, "
                   f"{_score(pixels, cell.pixels)}", cell.pixels) for cell in others]
        rows.append([(above, below, _cut(shown, crop)) for above, below, shown in cells])
    return _assembled(rows, ENLARGED, 16)


def draw_together(pictures: Sequence[np.ndarray], codecs: Sequence[Codec], rate: float) -> Image.Image:
    """One sheet of several pictures, a row each, of smaller crops in their own size: to be shown beside text."""
    rows = []
    for pixels in pictures:
        crop = detail(pixels, SMALL_CROP)
        cells = _row(pixels, codecs, rate, {codec.name: {} for codec in codecs})
        rows.append([(cell.label, f"{cell.bytes:,} bytes, {_score(pixels, cell.pixels)}" if cell.bytes else "",
                      _cut(cell.pixels, crop)) for cell in cells])
    return _assembled(rows, 1, 13)


class _Cell(NamedTuple):
    label: str
    bytes: int  # of the whole file; 0 of the original
    pixels: np.ndarray


def _row(pixels: np.ndarray, codecs: Sequence[Codec], rate: float, made: dict[str, dict[int, bytes]]) -> list[_Cell]:
    """The original, and what each codec makes of it at equal bytes."""
    target = round(rate * pixels.shape[0] * pixels.shape[1] / 8)
    row = [_Cell("original", 0, pixels)]
    for n, codec in enumerate(codecs):
        _, data = nearest(codec, pixels, target, made[codec.name])
        if n == 0:
            target = len(data)
        row.append(_Cell(label(codec.name), len(data), codec.decode(data)))
    return row


def _cut(pixels: np.ndarray, crop: tuple[int, int, int, int]) -> np.ndarray:
    top, left, height, width = crop
    return np.ascontiguousarray(np.asarray(pixels)[top:top + height, left:left + width])


def _score(original: np.ndarray, decoded: np.ndarray) -> str:
    return (f"SSIMULACRA2 {ssimulacra2(original, decoded):.1f}" if min(original.shape[:2]) >= SSIMULACRA2_SIDE
            else f"PSNR {psnr(original, decoded):.1f} dB")


def _assembled(rows: Sequence[Sequence[tuple[str, str, np.ndarray]]], enlarged: int, size: int) -> Image.Image:
    """Cells of a line above, a line below it, and a crop. `size` is that of the letters."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = (enlarged * max(cell[2].shape[axis] for row in rows for cell in row) for axis in (0, 1))
    font = ImageFont.load_default(size)
    across = max(width, *(math.ceil(font.getlength(text)) for row in rows for cell in row for text in cell[:2])) + _GAP
    down = height + 2 * (size + 4) + _GAP
    sheet = Image.new("RGB", (across * len(rows[0]) + _GAP, down * len(rows) + _GAP), _BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    for r, row in enumerate(rows):
        for c, (above, below, crop) in enumerate(row):
            x, y = _GAP + c * across, _GAP + r * down
            pen.text((x, y), above, _INK, font)
            pen.text((x, y + size + 2), below, _INK, font)
            own = enlarged * crop.shape[1], enlarged * crop.shape[0]
            sheet.paste(Image.fromarray(crop).resize(own, Image.Resampling.NEAREST), (x, y + 2 * (size + 4)))
    return sheet


def save(picture: Picture, codecs: Sequence[Codec], rates: Sequence[float], out: Path) -> Path:
    """Write the sheet of a picture as `crops_NAME.png` into a folder; our codecs come first."""
    path = out / f"crops_{picture.name}.png"
    draw(picture.pixels(), _ours_first(codecs), rates, picture.name).save(path)
    return path


def save_together(pictures: Sequence[Picture], codecs: Sequence[Codec], rate: float, path: Path) -> None:
    """Write one sheet of all pictures, in the format that the file's name ends in."""
    draw_together([picture.pixels() for picture in pictures], _ours_first(codecs), rate).save(path, quality=95)


def _ours_first(codecs: Sequence[Codec]) -> list[Codec]:
    return sorted(codecs, key=lambda codec: not is_ours(codec.name))
