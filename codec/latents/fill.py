"""A smooth continuation of a picture into what is missing of it: NumPy."""

from __future__ import annotations

import numpy as np

ITERATIONS = 120  # of conjugate gradients


def smooth_fill(pixels: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """`uint8 [H, W, 3]` with the missing pixels (bool `[H, W]`) as a thin plate through the known ones would have them.

    The plate's energy, the sum of squared Laplacians, is made least by conjugate gradients, which start from means of
    what is known at ever coarser scales (the "pull-push" of Gortler et al., "The lumigraph", SIGGRAPH 1996).
    """
    start = _pull_push(pixels.astype(np.float32), missing)
    hidden = missing[:, :, None]
    residual = np.where(hidden, -_laplacian(_laplacian(start)), 0)
    direction, found = residual.copy(), start
    energy = float(np.vdot(residual, residual))
    for _ in range(ITERATIONS):
        if energy <= 1e-3 * np.count_nonzero(missing):
            break
        applied = np.where(hidden, _laplacian(_laplacian(direction)), 0)
        length = energy / float(np.vdot(direction, applied))
        found = found + length * direction
        residual -= length * applied
        before, energy = energy, float(np.vdot(residual, residual))
        direction = residual + energy / before * direction
    return np.where(hidden, np.rint(found).clip(0, 255), pixels).astype(np.uint8)


def _laplacian(x: np.ndarray) -> np.ndarray:
    """Of `[H, W, 3]`, without slope at the edges: symmetric, so that it is its own adjoint."""
    result = np.zeros_like(x)
    for axis in (0, 1):
        step = np.diff(x, axis=axis)
        into, out = [slice(None)] * 3, [slice(None)] * 3
        into[axis], out[axis] = slice(None, -1), slice(1, None)
        result[tuple(into)] += step
        result[tuple(out)] -= step
    return result


def _pull_push(pixels: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Missing pixels from means over 2x2, 4x4, ... of the known ones, the finest that there are."""
    if not missing.any():
        return pixels
    known = (~missing).astype(np.float32)[:, :, None]
    height, width = missing.shape
    pads = (0, height % 2), (0, width % 2), (0, 0)
    values, weights = (np.pad(x, pads).reshape(-(-height // 2), 2, -(-width // 2), 2, x.shape[2]).sum(axis=(1, 3))
                       for x in (pixels * known, known))
    coarse = _pull_push(values / np.maximum(weights, 1), weights[:, :, 0] == 0)
    spread = coarse.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return np.where(missing[:, :, None], spread, pixels)
