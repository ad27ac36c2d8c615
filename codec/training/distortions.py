"""What happens to pictures on their way: crops, mirrors, grey, other sizes, noise, JPEG. Pillow images in and out."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

SIDE = 16  # no picture is made smaller than that


def crop(image: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    """A part anywhere in the picture with so much of each side."""
    width, height = (max(1, round(side * share)) for side in image.size)
    left = int(rng.integers(image.width - width + 1))
    top = int(rng.integers(image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def mirror(image: Image.Image) -> Image.Image:
    """Left and right exchanged."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def grey(image: Image.Image) -> Image.Image:
    """Without colour, still RGB."""
    return image.convert("L").convert("RGB")


def scale(image: Image.Image, share: float) -> Image.Image:
    """The picture with so much of each side."""
    size = (max(SIDE, round(image.width * share)), max(SIDE, round(image.height * share)))
    return image.resize(size, Image.Resampling.LANCZOS)


def noise(image: Image.Image, deviation: float, rng: np.random.Generator) -> Image.Image:
    """Gaussian noise of a standard deviation on the scale of 0..255."""
    noisy = np.asarray(image) + rng.normal(0, deviation, (image.height, image.width, 3))
    return Image.fromarray(np.rint(noisy).clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    """Through a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def gamma(image: Image.Image, exponent: float) -> Image.Image:
    """Brighter (below 1) or darker."""
    return image.point([round(255 * (value / 255) ** exponent) for value in range(256)] * 3)
