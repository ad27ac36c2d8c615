"""Missing parts of pictures, filled in so that the entropy model believes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..format.constants import STRIDE
from ..format.container import MAX_PIXELS
from ..picture import reading
from ..picture.reading import Picture, Source
from .denoise import one_pass
from .fill import smooth_fill
from .noise import NoiseGains

if TYPE_CHECKING:
    from PIL import Image

    from ..api import Codec

Progress = Callable[[float], None]

PASSES = 24
FIRST, LAST = 50.0, 6.0  # standard deviations that are taken out, falling from pass to pass
AVERAGED = 4  # of the last passes
MARGIN = 64  # pixels around what is missing that are looked at
#: By how many pixels the grid of latents is moved in each pass: an order in which each is far from the one before.
SHIFTS = ((0, 0), (8, 8), (4, 12), (12, 4), (2, 6), (10, 14), (6, 2), (14, 10))


def inpaint(image: Source, mask: Source, *, codec: Codec | None = None,
            progress: Progress | None = None) -> Image.Image:
    """A picture with what is missing of it filled in.

    What is missing is first continued smoothly from around it (`fill.smooth_fill`). Then noise is taken out of the
    picture as in `denoise`, again and again, from strong to weak, and all that is known is put back in between: what
    stays is what the entropy model believes of a picture with these surroundings. (Iterated thresholding with a falling
    threshold, as Elad, Starck, Querre and Donoho, "Simultaneous cartoon and texture image inpainting using
    morphological component analysis", 2005; with a denoiser in the place of a transform it is "plug and play".)

    It continues edges and gradients; it invents no objects.

    Args:
        image: as `aecodec.encode` takes it.
        mask: likewise, of the size of the upright picture: what is not black is missing.
        codec: without it the one that `aecodec.encode` uses.
        progress: told how much of it is done, 0..1.

    Returns:
        A Pillow image of mode RGB, L, RGBA or LA with the metadata of the picture.

    Raises:
        ValueError: the mask has another size, or nothing is known of the picture.
        TypeError, UnknownModel, OSError, LimitExceeded, UnsupportedPicture: as `denoise`.
    """
    from ..api import default_codec

    read, missing = reading.read(image, MAX_PIXELS), read_mask(mask)
    return reading.as_image(inpaint_picture(codec or default_codec(), read, missing, progress))


def read_mask(mask: Source) -> np.ndarray:
    """What is missing by a mask: bool `[H, W]`."""
    return reading.read(mask, MAX_PIXELS).pixels.any(axis=2)


def inpaint_picture(codec: Codec, picture: Picture, missing: np.ndarray, progress: Progress | None = None) -> Picture:
    """See `inpaint`.

    Args:
        missing: bool `[H, W]`.
    """
    height, width = picture.pixels.shape[:2]
    if missing.shape != (height, width):
        raise ValueError(f"the mask has {missing.shape[1]}x{missing.shape[0]} pixels, the picture {width}x{height}; "
                         "make them of one size")
    if missing.all():
        raise ValueError("the mask hides the whole picture; leave some of it to go on from")
    if not missing.any():
        return picture
    window = tuple(slice(max(int(found[0]) - MARGIN, 0), int(found[-1]) + 1 + MARGIN)
                   for found in (np.flatnonzero(missing.any(axis=axis)) for axis in (1, 0)))
    filled = _filled(codec, picture.pixels[window], missing[window], progress)
    if picture.grey:
        filled = np.repeat(reading.to_array(filled, True)[:, :, None], 3, axis=2)
    pixels = picture.pixels.copy()
    pixels[window][missing[window]] = filled[missing[window]]
    return replace(picture, pixels=pixels)


def _filled(codec: Codec, pixels: np.ndarray, missing: np.ndarray, progress: Progress | None) -> np.ndarray:
    gains = NoiseGains(codec.coder)
    current = smooth_fill(pixels, missing)
    total = np.zeros((np.count_nonzero(missing), 3), np.uint16)
    for number in range(PASSES):
        sigma = FIRST * (LAST / FIRST) ** (number / (PASSES - 1))
        down, right = SHIFTS[number % len(SHIFTS)]
        shifted = np.pad(current, ((down, 0), (right, 0), (0, 0)), mode="edge")
        cells = [-(-side // STRIDE) for side in shifted.shape[:2]]
        made = one_pass(codec.coder, gains, shifted, np.full(cells, sigma**2, np.float32))[down:, right:]
        current[missing] = made[missing]
        if number >= PASSES - AVERAGED:
            total += current[missing]
        if progress is not None:
            progress((number + 1) / PASSES)
    current[missing] = (total + AVERAGED // 2) // AVERAGED
    return current
