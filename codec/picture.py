"""Pillow images and NumPy arrays to 8-bit RGB planes and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import UnsupportedPicture

if TYPE_CHECKING:
    from PIL import Image


def to_pixels(image: Image.Image | np.ndarray) -> tuple[np.ndarray, bool]:
    """The pixels to code and whether they are grey.

    Args:
        image: a Pillow image of mode RGB or L (its EXIF orientation is applied), or a `uint8` array `[H, W, 3]` or
            `[H, W]`.

    Returns:
        `uint8 [H, W, 3]` and True for a grey picture (whose three planes are the same).

    Raises:
        UnsupportedPicture: another mode, type or shape, or no pixels; the message says how to convert it.
    """
    if not isinstance(image, np.ndarray):
        return _from_pillow(image)
    if image.dtype != np.uint8:
        raise UnsupportedPicture(f"the array is {image.dtype}, not uint8; scale it to 0..255 and convert it")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise UnsupportedPicture(f"the array's shape is {image.shape}; pass [H, W, 3] (RGB) or [H, W] (grey)")
    if 0 in image.shape:
        raise UnsupportedPicture(f"the array's shape is {image.shape}; a picture has at least one pixel")
    if image.ndim == 2:
        return np.repeat(image[:, :, None], 3, axis=2), True
    return image, False


def _from_pillow(image: Any) -> tuple[np.ndarray, bool]:
    from PIL import Image, ImageOps

    if not isinstance(image, Image.Image):
        raise UnsupportedPicture(f"expected a Pillow image or a uint8 array, not {type(image).__name__}")
    if image.mode not in ("RGB", "L"):
        raise UnsupportedPicture(f"pictures of mode {image.mode} cannot be coded; convert it to RGB or L first, "
                                 'for example with image.convert("RGB")')
    if 0 in image.size:
        raise UnsupportedPicture(f"the picture is {image.width}x{image.height}; it needs at least one pixel")
    return to_pixels(np.asarray(ImageOps.exif_transpose(image)))


def to_image(pixels: np.ndarray, grey: bool) -> Image.Image:
    """`uint8 [H, W, 3]` as a Pillow image: RGB, or L (the mean of the planes, rounded) for a grey picture."""
    from PIL import Image

    if grey:
        total = pixels.astype(np.uint16).sum(axis=2)
        return Image.fromarray(((total * 2 + 3) // 6).astype(np.uint8))
    return Image.fromarray(pixels)
