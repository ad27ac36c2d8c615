"""Multi-scale structural similarity."""

from __future__ import annotations

import numpy as np

from ._gaussian import RADIUS, STRIP, blur

MS_SSIM_SIDE = 161  # the shortest side that five scales of an 11-tap window need
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ms_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Multi-scale structural similarity, 0..1, the mean over the channels of `uint8 [H, W, 3]`.

    After Wang, Simoncelli and Bovik, "Multi-scale structural similarity for image quality assessment", 2003: five
    scales, a Gaussian window of 11 taps, no padding.

    Raises:
        ValueError: the sizes differ, or a side is shorter than `MS_SSIM_SIDE`.
    """
    height, width = first.shape[:2]
    if first.shape != second.shape:
        raise ValueError(f"the pictures have different sizes: {width}x{height}, {second.shape[1]}x{second.shape[0]}")
    if min(height, width) < MS_SSIM_SIDE:
        raise ValueError(f"MS-SSIM needs {MS_SSIM_SIDE} pixels each way; the picture is {width}x{height}")
    x, y = first.transpose(2, 0, 1), second.transpose(2, 0, 1)
    product = np.ones(3)
    for scale, weight in enumerate(_SCALE_WEIGHTS):
        last = scale == len(_SCALE_WEIGHTS) - 1
        product *= np.maximum(_similarity(x, y, with_luminance=last), 0) ** weight
        if not last:
            x, y = _halved(x), _halved(y)
    return float(product.mean())


def _similarity(x: np.ndarray, y: np.ndarray, with_luminance: bool) -> np.ndarray:
    """Contrast and structure of `[3, H, W]`, mean over the picture, by channel; luminance counts at one scale alone."""
    height, width = (side - 2 * RADIUS for side in x.shape[1:])
    total = np.zeros(3)
    for top in range(0, height, STRIP):
        a, b = (np.ascontiguousarray(planes[:, top:top + STRIP + 2 * RADIUS], np.float32) for planes in (x, y))
        mean_a, mean_b, squares, products = np.split(blur(np.concatenate([a, b, a * a + b * b, a * b])), 4)
        mean_product, mean_squares = mean_a * mean_b, mean_a * mean_a + mean_b * mean_b
        similarity = (2 * (products - mean_product) + _C2) / (squares - mean_squares + _C2)
        if with_luminance:
            similarity *= (2 * mean_product + _C1) / (mean_squares + _C1)
        total += similarity.sum(axis=(1, 2), dtype=np.float64)
    return total / (height * width)


def _halved(planes: np.ndarray) -> np.ndarray:
    """`[3, H, W]` -> `float32 [3, ceil(H / 2), ceil(W / 2)]`: means of 2 x 2, an odd side led by a line of zeros."""
    _, height, width = planes.shape
    halved = np.zeros((3, -(-height // 2), -(-width // 2)), np.float32)
    for dy in range(2):
        for dx in range(2):
            part = planes[:, (dy + height) % 2::2, (dx + width) % 2::2]
            halved[:, (1 - dy) * (height % 2):, (1 - dx) * (width % 2):][:, :part.shape[1], :part.shape[2]] += part
    halved *= 0.25
    return halved
