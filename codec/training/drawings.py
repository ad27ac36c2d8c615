"""Drawings to train on: text, tables, lines and smooth shapes, which photographs hardly ever show.

They are made, not read: what a user compresses is not always a photograph, and a network that never saw flat colours
and thin lines spends bits where there is nothing. `bench/drawings.py` draws those that are measured: other pictures, in
the same typeface, the only one that comes with Pillow.
"""

from __future__ import annotations

import string
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE = (1024, 768)  # width and height before the drawing is scaled
LEAST_SIDE = 512  # after that
LETTERS = list(string.ascii_lowercase)
SIGNS = list(string.ascii_letters + string.digits + ".,:;-+()/%=\"'")


@lru_cache(maxsize=64)
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _colour(rng: np.random.Generator, low: int = 0, high: int = 256) -> tuple[int, int, int]:
    """Half of the time a grey."""
    red, green, blue = (int(value) for value in rng.integers(low, high, 3))
    return (red, green, blue) if rng.random() < 0.5 else (red, red, red)


def _word(rng: np.random.Generator) -> str:
    if rng.random() < 0.2:
        return "".join(rng.choice(SIGNS, int(rng.integers(1, 9))))
    word = "".join(rng.choice(LETTERS, int(rng.integers(1, 11))))
    return word.capitalize() if rng.random() < 0.15 else word


def _inks(rng: np.random.Generator) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """A paper and an ink that can be read on it."""
    if rng.random() < 0.4:
        return (255, 255, 255), (0, 0, 0)
    light, dark = _colour(rng, 190, 256), _colour(rng, 0, 90)
    return (light, dark) if rng.random() < 0.7 else (dark, light)


def _text(draw: Any, rng: np.random.Generator, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    paper, ink = _inks(rng)
    draw.rectangle(box, fill=paper)
    size = int(rng.integers(9, 15)) if rng.random() < 0.6 else int(rng.integers(15, 48))
    colourful = rng.random() < 0.2
    for y in range(top + 4, bottom - size, int(size * rng.uniform(1.2, 1.9))):
        x = left + 6.0
        while x < right - 6:
            word = _word(rng)
            width = draw.textlength(word + " ", font=_font(size))
            if x + width > right:
                break
            draw.text((x, y), word, font=_font(size), fill=_colour(rng) if colourful and rng.random() < 0.4 else ink)
            x += width
        if rng.random() < 0.1:
            draw.line([(left, y - 2), (right, y - 2)], fill=ink)


def _table(draw: Any, rng: np.random.Generator, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    paper, ink = _inks(rng)
    size, rule = int(rng.integers(9, 18)), _colour(rng)
    row, column = int(size * rng.uniform(1.4, 2)), int(size * rng.uniform(4, 9))
    draw.rectangle(box, fill=paper, outline=rule)
    for y in range(top, bottom - row, row):
        draw.line([(left, y), (right, y)], fill=rule)
        for x in range(left, right - column, column):
            number = f"{rng.normal(0, 10.0 ** rng.integers(0, 4)):,.2f}"
            draw.text((x + 4, y + 1), number[:7], font=_font(size), fill=ink)
    for x in range(left, right, column):
        draw.line([(x, top), (x, bottom)], fill=rule)


def _lines(draw: Any, rng: np.random.Generator, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    draw.rectangle(box, fill=_inks(rng)[0], outline=_colour(rng))
    for _ in range(int(rng.integers(1, 6))):
        steps = rng.normal(0, rng.uniform(1, 12), right - left)
        walk = (rng.uniform(top, bottom) + np.cumsum(steps)).clip(top, bottom)
        draw.line([(left + x, float(y)) for x, y in enumerate(walk)], fill=_colour(rng), width=int(rng.integers(1, 4)))


def _shapes(draw: Any, rng: np.random.Generator, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    for _ in range(int(rng.integers(1, 9))):
        x, y = int(rng.integers(left, right)), int(rng.integers(top, bottom))
        w, h = (int(side) for side in rng.integers(6, 220, 2))
        place, fill = [x, y, x + w, y + h], _colour(rng)
        kind = rng.integers(4)
        if kind == 0:
            draw.ellipse(place, fill=fill, outline=_colour(rng) if rng.random() < 0.3 else None)
        elif kind == 1:
            draw.rounded_rectangle(place, int(rng.integers(0, 1 + min(w, h) // 2)), fill=fill)
        elif kind == 2:
            draw.polygon([(x, y), (x + w, y + int(rng.integers(h))), (x + int(rng.integers(w)), y + h)], fill=fill)
        else:
            draw.line([(x, y), (x + w, y + h)], fill=fill, width=int(rng.integers(1, 9)))


def _gradient(rng: np.random.Generator) -> Image.Image:
    width, height = SIZE
    if rng.random() < 0.5:
        return Image.new("RGB", SIZE, _inks(rng)[0])
    y, x = np.mgrid[:height, :width] / max(SIZE)
    along = np.hypot(x - rng.random(), y - rng.random()) if rng.random() < 0.4 else x * rng.normal() + y * rng.normal()
    share = ((along - along.min()) / (np.ptp(along) or 1))[:, :, None]
    pixels = np.array(_colour(rng)) * (1 - share) + np.array(_colour(rng)) * share
    return Image.fromarray(pixels.round().astype(np.uint8))


def drawing(rng: np.random.Generator) -> np.ndarray:
    """A drawing: `uint8 [H, W, 3]`, both sides at least `LEAST_SIDE`."""
    image = _gradient(rng)
    draw = ImageDraw.Draw(image)
    width, height = SIZE
    parts = (_text, _table, _lines, _shapes)
    for _ in range(int(rng.integers(3, 12))):
        left, top = int(rng.integers(0, width - 100)), int(rng.integers(0, height - 80))
        right = int(min(width - 1, left + rng.integers(80, 700)))
        bottom = int(min(height - 1, top + rng.integers(60, 500)))
        parts[rng.choice(4, p=(0.4, 0.15, 0.1, 0.35))](draw, rng, (left, top, right, bottom))
    if rng.random() < 0.4:  # edges between pixels, too: shapes are drawn without antialiasing
        scale = float(rng.uniform(0.67, 1))
        image = image.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
    return np.asarray(image)
