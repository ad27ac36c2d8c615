"""Peak signal-to-noise ratio."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def psnr(first: ArrayLike, second: ArrayLike) -> float:
    """Peak signal-to-noise ratio in dB over all samples of two pictures of one shape, 0..255; infinity if equal."""
    first, second = np.asarray(first), np.asarray(second)
    error = 0.0
    for a, b in zip(first, second, strict=True):  # by rows: a large picture must not be copied in 64 bits
        error += float(np.square(np.subtract(a, b, dtype=np.float32)).sum(dtype=np.float64))
    return float(10 * np.log10(255**2 * first.size / error)) if error else float("inf")
