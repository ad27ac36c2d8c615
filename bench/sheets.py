"""Sheets of crops to look at: the original beside our models and AVIF at equal bytes, a row for each rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
_EDGE = 24.0  # of luma codes between neighbours: a stronger edge counts no more, so one outline does not win
_STEP = 8  # crops are looked for at every 8th pixel
_GAP, _TEXT = 8, 44  # pixels between cells, and above each for its label
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
    """The sheet of one picture.

    The first codec sets the size, as the nearest it comes to each rate in bits per pixel, and the others come as near
    to its bytes as their settings allow.
    """
    top, left, height, width = detail(pixels)
    cells: list[list[tuple[str, str, np.ndarray]]] = []
    made: dict[str, dict[int, bytes]] = {codec.name: {} for codec in codecs}
    size = f"{pixels.shape[1]}x{pixels.shape[0]}, crop at {left},{top}"
    for rate in rates:
        target = round(rate * pixels.shape[0] * pixels.shape[1] / 8)
        row = [(f"{title}: original", size, pixels)]
        for n, codec in enumerate(codecs):
            _, data = nearest(codec, pixels, target, made[codec.name])
            if n == 0:
                target = len(data)
            decoded = codec.decode(data)
            row.append((label(codec.name), _caption(pixels, decoded, len(data)), decoded))
        cells.append(row)
    return _assembled([[(above, below, np.asarray(shown)[top:top + height, left:left + width])
                        for above, below, shown in row] for row in cells])


def _caption(original: np.ndarray, decoded: np.ndarray, size: int) -> str:
    height, width = original.shape[:2]
    judged = (f"SSIMULACRA2 {ssimulacra2(original, decoded):.1f}" if min(height, width) >= SSIMULACRA2_SIDE
              else f"PSNR {psnr(original, decoded):.1f} dB")
    return f"{size:,} bytes, {8 * size / (width * height):.3f} bpp, {judged}"


def _assembled(rows: Sequence[Sequence[tuple[str, str, np.ndarray]]]) -> Image.Image:
    """Cells of two lines of text and a crop, enlarged without smoothing."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = (ENLARGED * side for side in rows[0][0][2].shape[:2])
    across = max(width, 2 * CROP) + _GAP
    sheet = Image.new("RGB", (across * len(rows[0]) + _GAP, (height + _TEXT + _GAP) * len(rows) + _GAP), _BACKGROUND)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for r, row in enumerate(rows):
        for c, (above, below, crop) in enumerate(row):
            x, y = _GAP + c * across, _GAP + r * (height + _TEXT + _GAP)
            pen.text((x, y), above, _INK, font)
            pen.text((x, y + 20), below, _INK, font)
            shown = Image.fromarray(np.ascontiguousarray(crop)).resize((width, height), Image.Resampling.NEAREST)
            sheet.paste(shown, (x, y + _TEXT))
    return sheet


def save(picture: Picture, codecs: Sequence[Codec], rates: Sequence[float], out: Path) -> Path:
    """Write the sheet of a picture as `crops_NAME.png` into a folder; our codecs come first."""
    ours_first = sorted(codecs, key=lambda codec: not is_ours(codec.name))
    path = out / f"crops_{picture.name}.png"
    draw(picture.pixels(), ours_first, rates, picture.name).save(path)
    return path
