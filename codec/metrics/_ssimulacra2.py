"""SSIMULACRA2, version 2.1: Jon Sneyers (Cloudinary), https://github.com/cloudinary/ssimulacra2.

The window is that of the Python package `ssimulacra2`
(https://github.com/Pacidus/py-ssimulacra2), which most published Python figures come from and the tests compare with: a
Gaussian of 11 taps where the reference has a recursive filter that approximates one, with zeros left and right of the
picture and its mirror image above and below.
"""

from __future__ import annotations

import numpy as np

from ._gaussian import RADIUS, STRIP, blur
from .ssimulacra2_constants import C2, LEAST_SIDE, OPSIN, OPSIN_BIAS, SCALES, SUM_FACTOR, WEIGHTS

SSIMULACRA2_SIDE = LEAST_SIDE
# cube roots of the responses -> X, Y, B - Y, scaled and shifted to positive numbers
_XYB = np.array([[7, -7, 0], [0.5, 0.5, 0], [-0.5, -0.5, 1]], np.float32)
_XYB_OFFSET = np.array([[0.42], [0.01 - np.cbrt(OPSIN_BIAS)], [0.55]], np.float32)
_OPSIN = np.array(OPSIN, np.float32)
_WEIGHTS = np.array(WEIGHTS)
_CODES = np.arange(256) / 255
_LINEAR = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4).astype(np.float32)  # of sRGB


def ssimulacra2(original: np.ndarray, distorted: np.ndarray) -> float:
    """SSIMULACRA2 of `uint8 [H, W, 3]` in sRGB: 100 is equal, 90 visually lossless, 70 good, 30 poor, below 0 very bad.

    Raises:
        ValueError: the sizes differ, or a side is shorter than `SSIMULACRA2_SIDE`.
    """
    height, width = original.shape[:2]
    if original.shape != distorted.shape:
        raise ValueError(f"the pictures have different sizes: {width}x{height}, "
                         f"{distorted.shape[1]}x{distorted.shape[0]}")
    if min(height, width) < SSIMULACRA2_SIDE:
        raise ValueError(f"SSIMULACRA2 needs {SSIMULACRA2_SIDE} pixels each way; the picture is {width}x{height}")
    if np.array_equal(original, distorted):
        return 100.0  # rounding would cost a tenth of a point
    norms = []
    planes = [original.transpose(2, 0, 1), distorted.transpose(2, 0, 1)]
    for _ in range(SCALES):
        if min(planes[0].shape[1:]) < SSIMULACRA2_SIDE:
            break
        scale_norms, planes = _scale(*planes)
        norms.append(scale_norms)
    weighed = np.stack(norms, axis=1)  # [channel, scale, norm, error map]
    # a picture with fewer scales takes the first of the weights, as the reference does
    error = SUM_FACTOR * float(_WEIGHTS.ravel()[:weighed.size] @ weighed.ravel())
    error = 2.326765642916932 * error - 0.020884521182843837 * error**2 + 6.248496625763138e-05 * error**3
    return 100 - 10 * error**0.6276336467831387 if error > 0 else 100.0


def _scale(original: np.ndarray, distorted: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The norms of one scale, `[3, 2, 3]` (channel; mean, 4-norm; error map), and both pictures at half the size.

    A picture is `[3, H, W]`: uint8 of sRGB at the first scale, float32 of linear RGB at the others.
    """
    _, height, width = original.shape
    sums = np.zeros((2, 3, 3))  # of the first and fourth powers; error map, channel
    halves = [np.empty((3, -(-height // 2), -(-width // 2)), np.float32) for _ in range(2)]
    for top in range(0, height, STRIP):
        bottom = min(top + STRIP, height)
        rows = _mirrored(np.arange(top - RADIUS, bottom + RADIUS), height)
        padded = np.zeros((4, 3, len(rows), width + 2 * RADIUS), np.float32)
        inside = padded[..., RADIUS:-RADIUS]
        for n, picture in enumerate((original, distorted)):
            strip = picture[:, rows]
            linear = _LINEAR[strip] if strip.dtype == np.uint8 else strip
            halves[n][:, top // 2:-(-bottom // 2)] = _halved(linear[:, RADIUS:-RADIUS])
            inside[n] = _positive_xyb(linear)
        a, b = inside[:2]
        inside[2] = a * a + b * b
        inside[3] = a * b
        blurred = blur(padded.reshape(12, *padded.shape[2:])).reshape(4, 3, -1, width)
        sums += _errors(a[:, RADIUS:-RADIUS], b[:, RADIUS:-RADIUS], *blurred)
    means, fourth = sums / (height * width)
    return np.stack([means, fourth**0.25]).transpose(2, 0, 1), halves


def _mirrored(rows: np.ndarray, height: int) -> np.ndarray:
    """Rows beyond the edges as those they are the image of: -1 -> 0, `height` -> `height - 1`; `height` from 8 on."""
    return np.where(rows < 0, -1 - rows, np.where(rows >= height, 2 * height - 1 - rows, rows))


def _positive_xyb(linear: np.ndarray) -> np.ndarray:
    """Linear RGB `float32 [3, h, w]` in XYB, moved to positive numbers as the reference has it."""
    responses = _OPSIN @ linear.reshape(3, -1)
    responses += np.float32(OPSIN_BIAS)
    return (_XYB @ np.cbrt(responses) + _XYB_OFFSET).reshape(linear.shape)


def _errors(a: np.ndarray, b: np.ndarray, mean_a: np.ndarray, mean_b: np.ndarray, squares: np.ndarray,
            products: np.ndarray) -> np.ndarray:
    """Sums over a strip: `[2, 3, 3]` (first power, fourth power; error map; channel). All arguments `[3, h, w]`.

    Args:
        squares: blurred a^2 + b^2.
        products: blurred ab.
    """
    covariance = products - mean_a * mean_b
    variances = squares - (mean_a * mean_a + mean_b * mean_b)
    difference = mean_a - mean_b
    structure = 1 - (1 - difference * difference) * (2 * covariance + C2) / (variances + C2)
    edges = (1 + np.abs(b - mean_b)) / (1 + np.abs(a - mean_a)) - 1
    sums = np.empty((2, 3, 3))
    for n, error in enumerate((structure, edges, -edges)):
        error = np.maximum(error, 0).reshape(3, -1)
        sums[0, n] = error.sum(axis=1)
        error *= error
        sums[1, n] = np.einsum("cn,cn->c", error, error)
    return sums


def _halved(planes: np.ndarray) -> np.ndarray:
    """Means of 2 x 2, `[3, h, w]` -> `[3, ceil(h / 2), ceil(w / 2)]`; the last line of an odd side stands for two."""
    _, height, width = planes.shape
    if height % 2 or width % 2:
        planes = np.pad(planes, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    rows = planes[:, ::2] + planes[:, 1::2]
    return (rows[:, :, ::2] + rows[:, :, 1::2]) * np.float32(0.25)
