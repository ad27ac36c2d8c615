"""A smooth continuation of a picture into what is missing of it: NumPy."""

from __future__ import annotations

import numpy as np

ITERATIONS = 60  # of conjugate gradients at every scale
RESIDUAL = 1e-4  # squared, of a missing pixel, from where on no more of them are of use


def smooth_fill(pixels: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """`uint8 [H, W, 3]` with the missing pixels (bool `[H, W]`) as a thin plate through the known ones would have them.

    The plate's energy, the sum of squared Laplacians, is made least by conjugate gradients, which start from the same
    at half the size, and so on (nested iteration, as in Briggs, Henson and McCormick, "A multigrid tutorial", 2000).
    """
    found = _plate(pixels.astype(np.float32), missing)
    return np.where(missing[:, :, None], np.rint(found).clip(0, 255), pixels).astype(np.uint8)


def _plate(pixels: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """`[H, W, 3]` of which only what is not missing counts, filled."""
    if not missing.any():
        return pixels
    hidden = missing[:, :, None]
    found = np.where(hidden, _enlarged(_plate(*_halved(pixels, missing)), *missing.shape), pixels)
    residual = np.where(hidden, -_laplacian(_laplacian(found)), 0)
    direction = residual.copy()
    energy = float(np.vdot(residual, residual))
    for _ in range(ITERATIONS):
        if energy <= RESIDUAL * np.count_nonzero(missing):
            break
        applied = np.where(hidden, _laplacian(_laplacian(direction)), 0)
        length = energy / float(np.vdot(direction, applied))
        found += length * direction
        residual -= length * applied
        before, energy = energy, float(np.vdot(residual, residual))
        direction *= energy / before
        direction += residual
    return found


def _laplacian(x: np.ndarray) -> np.ndarray:
    """Of `[H, W, 3]`, without slope at the edges: symmetric, so that it is its own adjoint."""
    result = np.zeros_like(x)
    down, right = np.diff(x, axis=0), np.diff(x, axis=1)
    result[:-1] += down
    result[1:] -= down
    result[:, :-1] += right
    result[:, 1:] -= right
    return result


def _halved(pixels: np.ndarray, missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At half the size, sides rounded up: means of what is known of 2x2 pixels, missing where nothing is."""
    known = (~missing).astype(np.float32)[:, :, None]
    pads = (0, missing.shape[0] % 2), (0, missing.shape[1] % 2), (0, 0)
    values, weights = (_in_fours(np.pad(x, pads)) for x in (pixels * known, known))
    return values / np.maximum(weights, 1), weights[:, :, 0] == 0


def _in_fours(x: np.ndarray) -> np.ndarray:
    sums: np.ndarray = x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, x.shape[2]).sum(axis=(1, 3))
    return sums


def _enlarged(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """`[h, w, 3]` at twice the size, linearly interpolated, cut to a size."""
    for axis in (0, 1):
        padded = np.concatenate([x.take([0], axis), x, x.take([-1], axis)], axis)
        count = x.shape[axis]
        before, own, after = (padded.take(range(first, first + count), axis) for first in range(3))
        x = np.stack([0.25 * before + 0.75 * own, 0.75 * own + 0.25 * after], axis + 1)
        x = x.reshape(*x.shape[:axis], -1, *x.shape[axis + 2:])
    return x[:height, :width]
