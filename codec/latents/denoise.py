"""Noise taken out of pictures in their latents: what a clean one would be, the entropy model knows untrained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from ..engine.shrinkage import Shrinkage
from ..format.constants import STRIDE, TABLES
from ..format.container import MAX_PIXELS
from ..picture import reading
from ..picture.reading import Picture, Source
from .noise import Noise, NoiseGains

if TYPE_CHECKING:
    from PIL import Image

    from ..api import Codec
    from ..coder import Coder

Sigma: TypeAlias = float | Literal["auto"]
Progress: TypeAlias = Callable[[float], None]

#: By how many pixels the copies are shifted whose results are averaged: what the grid of latents does to one it does
#: elsewhere in another (Coifman and Donoho, "Translation-invariant de-noising", 1995).
SHIFTS = ((0, 0), (8, 8), (0, 8), (8, 0))
MOST_SIGMA = 128.0
GREY_VARIANCE = 3.0  # the same noise in three planes is three times as strong in what they have in common


def check_sigma(sigma: Sigma) -> None:
    """Raise ValueError or TypeError for what is no standard deviation."""
    if sigma == "auto":
        return
    if isinstance(sigma, (str, bool)) or not isinstance(sigma, (int, float, np.number)):
        raise TypeError(f'sigma is a number or "auto", not {sigma!r}')
    if not 0 <= sigma <= MOST_SIGMA:
        raise ValueError(f'sigma {sigma} is outside 0..{MOST_SIGMA:g}; it is a standard deviation of pixels of 0..255')


def denoise(image: Source, sigma: Sigma = "auto", *, codec: Codec | None = None,
            progress: Progress | None = None) -> Image.Image:
    """A picture without its noise.

    Latents are moved towards what the entropy model expects of them, by how much of them is noise
    (`aecodec.engine.shrinkage`), and the synthesis makes a picture of them. It is made for noise that differs from
    pixel to pixel, as that of a sensor does; noise that was smoothed or enlarged with its picture looks like texture.

    Args:
        image: as `aecodec.encode` takes it.
        sigma: the standard deviation of the noise, of pixels of 0..255; `auto` finds it, by brightness. Where it finds
            none, the picture comes back as it is.
        codec: without it the one that `aecodec.encode` uses.
        progress: told how much of it is done, 0..1.

    Returns:
        A Pillow image of mode RGB, L, RGBA or LA with the metadata of the picture.

    Raises:
        TypeError, ValueError: another kind of image, or a sigma that cannot be.
        UnknownModel: the model does not say what noise does to its latents.
        OSError, LimitExceeded, UnsupportedPicture: as `aecodec.encode`.
    """
    from ..api import default_codec

    check_sigma(sigma)
    read = reading.read(image, MAX_PIXELS)
    return reading.as_image(denoise_picture(codec or default_codec(), read, sigma, progress)[0])


def denoise_picture(codec: Codec, picture: Picture, sigma: Sigma = "auto",
                    progress: Progress | None = None) -> tuple[Picture, Noise]:
    """See `denoise`: the picture, and the noise that was taken out of it."""
    coder, pixels = codec.coder, picture.pixels
    gains = NoiseGains(coder)
    total = np.zeros(pixels.shape, np.uint16)
    noise: Noise | None = None
    if sigma != "auto":
        cells = [-(-side // STRIDE) for side in pixels.shape[:2]]
        noise = Noise(np.full(cells, sigma**2 * (GREY_VARIANCE if picture.grey else 1), np.float32))
    for done, (down, right) in enumerate(SHIFTS):
        shifted = np.pad(pixels, ((down, 0), (right, 0), (0, 0)), mode="edge") if down or right else pixels
        if noise is None:
            made, noise = _first_pass(coder, gains, shifted)
        else:
            made = one_pass(coder, gains, shifted, _fitted(noise.variance, *shifted.shape[:2]))
        if noise.deviation == 0:
            return picture, noise
        total += made[down:, right:]
        if progress is not None:
            progress((done + 1) / len(SHIFTS))
    assert noise is not None
    total += len(SHIFTS) // 2
    total //= len(SHIFTS)
    clean = total.astype(np.uint8)
    if picture.grey:
        clean = np.repeat(reading.to_array(clean, True)[:, :, None], 3, axis=2)
    return replace(picture, pixels=clean), noise


def one_pass(coder: Coder, gains: NoiseGains, pixels: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Pixels `uint8 [H, W, 3]` without the noise whose variance in every cell is known, `float32 [h, w]`."""
    return _rest(coder, gains, pixels, coder.engine.analyse(pixels, gains.point), variance)


def _first_pass(coder: Coder, gains: NoiseGains, pixels: np.ndarray) -> tuple[np.ndarray, Noise]:
    """Pixels without their noise, and the noise."""
    engine = coder.engine
    strips = engine.analyse(pixels, gains.point)
    noise = gains.estimate((engine.to_array([strip]) for strip in strips), _brightness(pixels))
    return pixels if noise.deviation == 0 else _rest(coder, gains, pixels, strips, noise.variance), noise


def _rest(coder: Coder, gains: NoiseGains, pixels: np.ndarray, strips: list[Any], variance: np.ndarray) -> np.ndarray:
    """What comes after the analysis."""
    engine = coder.engine
    height, width = pixels.shape[:2]
    z = engine.hyper_latents(strips, gains.point)
    index = engine.indices(z, gains.point, *variance.shape)
    shrinkage = Shrinkage(gains.gains, variance, coder.tables.variances[:TABLES])
    clean = engine.shrink(strips, z, index, gains.point, shrinkage)
    return engine.synthesise(clean, gains.point, height, width)


def _brightness(pixels: np.ndarray) -> np.ndarray:
    """`[h, w]`: the mean of every cell."""
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).convert("L").reduce(STRIDE), np.float32)


def _fitted(variance: np.ndarray, height: int, width: int) -> np.ndarray:
    """A map for so many pixels: a shifted copy of a picture may have a row or column of cells more."""
    below, right = -(-height // STRIDE) - variance.shape[0], -(-width // STRIDE) - variance.shape[1]
    return np.pad(variance, ((0, below), (0, right)), mode="edge") if below or right else variance
