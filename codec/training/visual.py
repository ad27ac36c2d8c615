"""A distortion that follows what is seen: SSIMULACRA2's weighted sum of error norms, with gradients.

SSIMULACRA2 2.1 (Jon Sneyers, Cloudinary, https://github.com/cloudinary/ssimulacra2) compares two pictures in XYB at six
scales by three maps: lost structure (after SSIM), added detail, lost detail. Mean and 4-norm of each are summed with
weights that were fitted to opinion scores; a polynomial then makes a score of the sum T. Here T itself is the
distortion. It departs from the metric at borders, which are mirrored, and near zero, where a fourth root has no
gradient.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

from ..metrics.ssimulacra2_constants import C2, LEAST_SIDE, OPSIN, OPSIN_BIAS, SCALES, SUM_FACTOR, WEIGHTS

RADIUS, SIGMA = 5, 1.5  # of the window


@functools.lru_cache(maxsize=64)
def _blur_matrix(size: int, device: torch.device) -> Tensor:
    """`[size, size]`: a Gaussian window along one side, mirrored at the ends."""
    taps = torch.exp(-torch.arange(-RADIUS, RADIUS + 1).float().square() / (2 * SIGMA**2))
    taps /= taps.sum()
    matrix = torch.zeros(size, size)
    for row in range(size):
        for tap, column in enumerate(range(row - RADIUS, row + RADIUS + 1)):
            while column < 0 or column >= size:
                column = -column - 1 if column < 0 else 2 * size - 1 - column
            matrix[row, column] += taps[tap]
    return matrix.to(device)


def blur(x: Tensor) -> Tensor:
    """Means of `[..., H, W]` in a Gaussian window of 11 taps and a standard deviation of 1.5."""
    return _blur_matrix(x.shape[-2], x.device) @ x @ _blur_matrix(x.shape[-1], x.device).T


def to_linear(rgb: Tensor) -> Tensor:
    """sRGB within 0..1 to linear light."""
    return torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp_min(1e-4) + 0.055) / 1.055) ** 2.4)


def _to_xyb(linear: Tensor) -> Tensor:
    matrix = torch.tensor(OPSIN, dtype=linear.dtype, device=linear.device)
    cones = torch.einsum("oc,bchw->bohw", matrix, linear) + OPSIN_BIAS
    cones = cones.clamp_min(1e-5) ** (1 / 3) - OPSIN_BIAS ** (1 / 3)
    x, y, b = 0.5 * (cones[:, 0] - cones[:, 1]), 0.5 * (cones[:, 0] + cones[:, 1]), cones[:, 2]
    return torch.stack([x * 14 + 0.42, y + 0.01, b - y + 0.55], dim=1)


def _norms(error: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and the 4-norm of `[B, 3, H, W]` without negative values, `[B, 3]` each."""
    return error.mean((2, 3)), (error.square().square().mean((2, 3)) + 1e-12) ** 0.25


def _scale_sum(original: Tensor, distorted: Tensor, scale: int) -> Tensor:
    """The weighted sum `[B]` over the maps of one scale of linear `[B, 3, H, W]`."""
    with torch.no_grad():
        a = _to_xyb(original)
        mean_a = blur(a)
        variance_a = blur(a * a) - mean_a * mean_a
        edge_a = (a - mean_a).abs()
    b = _to_xyb(distorted)
    mean_b = blur(b)
    variance_b = blur(b * b) - mean_b * mean_b
    covariance = blur(a * b) - mean_a * mean_b
    similarity = (1 - (mean_a - mean_b).square()) * (2 * covariance + C2) / (variance_a + variance_b + C2)
    detail = (1 + (b - mean_b).abs()) / (1 + edge_a) - 1
    weights = torch.tensor([channel[scale] for channel in WEIGHTS], dtype=b.dtype, device=b.device)  # [3, 2, 3]
    total = torch.zeros((), device=b.device)
    for number, error in enumerate((1 - similarity, detail, -detail)):
        mean, fourth = _norms(error.clamp_min(0))
        total = total + (weights[:, 0, number] * mean + weights[:, 1, number] * fourth).sum(1)
    return total


def visual_distortion(distorted: Tensor, original: Tensor) -> Tensor:
    """T of pictures `[B, 3, H, W]` in sRGB (0..1, clamped to it): `[B]`, about 0.4 for equal ones, 15 for poor ones.

    Gradients flow to `distorted` alone. Sides below 256 see fewer than six scales.
    """
    with torch.no_grad():
        reference = to_linear(original.contiguous().clamp(0, 1))
    seen = to_linear(distorted.contiguous().clamp(0, 1))
    total = torch.zeros(len(original), device=original.device)
    for scale in range(SCALES):
        if min(seen.shape[2:]) < LEAST_SIDE:
            break
        total = total + _scale_sum(reference, seen, scale)
        reference, seen = F.avg_pool2d(reference, 2), F.avg_pool2d(seen, 2)
    return total * SUM_FACTOR
