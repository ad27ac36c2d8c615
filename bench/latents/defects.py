"""Textures of scikit-image with defects rendered into them: what is good, what is not, and where."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

TILE = 128  # side of a picture
MARGIN = 24  # of defects' centres from the edges
STAIN = 1.5  # brighter or darker by so many standard deviations of the texture
SCRATCH, WIDTH = 3.0, 3  # likewise, and pixels
WEAR = 3.0  # standard deviation of a Gaussian blur, pixels
RADIUS = 14.0  # of stains and worn places, pixels
KINDS = ("stain", "scratch", "wear")
ROUNDS = 3


class Bad(NamedTuple):
    """A picture with a defect."""

    picture: NDArray[np.uint8]  # [TILE, TILE]
    mask: NDArray[np.bool_]  # where it is
    kind: str


class Texture(NamedTuple):
    """Pictures of one texture, `uint8 [TILE, TILE]` each."""

    good: list[NDArray[np.uint8]]  # to learn from: the left half
    held: list[NDArray[np.uint8]]  # good ones of the right half
    bad: list[Bad]  # these with defects


def texture(name: str) -> Texture:
    """`gravel`, `brick` or `grass` (scikit-image's data; 512x512, grey), defects always the same."""
    whole = getattr(skimage.data, name)()
    good, held = ([half[top:top + TILE, left:left + TILE] for top in range(0, 512, TILE) for left in (0, TILE)]
                  for half in (whole[:, :256], whole[:, 256:]))
    rng = np.random.default_rng(0)
    bad = [render(picture, KINDS[(n + turn) % len(KINDS)], rng)
           for turn in range(ROUNDS) for n, picture in enumerate(held)]
    return Texture(good, held, bad)


def render(picture: NDArray[np.uint8], kind: str, rng: np.random.Generator) -> Bad:
    """A defect of a kind somewhere in a picture."""
    pixels = picture.astype(float)
    sign = rng.choice([-1, 1])
    if kind == "scratch":
        share = _scratch(rng)
        made, mask = pixels + sign * SCRATCH * pixels.std() * share, share > 0.3
    else:
        share = _blob(rng)
        mask = share > 0.5
        made = (pixels + sign * STAIN * pixels.std() * share if kind == "stain"
                else pixels + share * (ndimage.gaussian_filter(pixels, WEAR) - pixels))
    return Bad(np.rint(made).clip(0, 255).astype(np.uint8), mask, kind)


def _blob(rng: np.random.Generator) -> NDArray[np.floating]:
    """A soft-edged ellipse, 0..1."""
    row, column = np.mgrid[:TILE, :TILE]
    top, left = rng.uniform(MARGIN, TILE - MARGIN, 2)
    half, other = rng.uniform(0.6, 1.4, 2) * RADIUS
    turn = rng.uniform(0, np.pi)
    along = (column - left) * np.cos(turn) + (row - top) * np.sin(turn)
    across = (row - top) * np.cos(turn) - (column - left) * np.sin(turn)
    return ((1.15 - np.hypot(along / half, across / other)) / 0.3).clip(0, 1)


def _scratch(rng: np.random.Generator) -> NDArray[np.floating]:
    """A bent line of about 48 pixels, 0..1."""
    finer = 4
    image = Image.new("L", (TILE * finer, TILE * finer))
    place, turn = rng.uniform(MARGIN, TILE - MARGIN, 2), rng.uniform(0, 2 * np.pi)
    points = [tuple(place * finer)]
    for _ in range(8):
        turn += rng.normal(0, 0.25)
        place = np.clip(place + 6 * np.array([np.cos(turn), np.sin(turn)]), 4, TILE - 4)
        points.append(tuple(place * finer))
    ImageDraw.Draw(image).line(points, fill=255, width=WIDTH * finer, joint="curve")
    return np.asarray(image.resize((TILE, TILE), Image.Resampling.BOX)) / 255
