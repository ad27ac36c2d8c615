"""The 64 quality levels of one model: per-channel gain vectors indexed by level.

A gain unit (Cui et al., "Asymmetric Gained Deep Image Compression", CVPR 2021) gives every level its own scale per
channel. Neighbouring levels differ little, so the trained values are a few knots that are interpolated linearly in
the log domain: each knot then sees several times more training samples than a single level would.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from ..format.constants import GAIN_BITS, KNOTS, LEVELS

#: Lagrangian of the lowest and of the highest level, for a rate in bits per pixel and an MSE on the 0..255 scale.
LAMBDA_MIN = 0.0006
LAMBDA_MAX = 0.3


def level_lambda(level: Tensor) -> Tensor:
    """The rate-distortion Lagrangian of each level: `level [B]` (integers 0..63) to `[B]`, spaced log-uniformly."""
    share = level.to(torch.float32) / (LEVELS - 1)
    return LAMBDA_MIN * torch.exp(share * math.log(LAMBDA_MAX / LAMBDA_MIN))


def _interpolation() -> Tensor:
    """`[LEVELS, KNOTS]`: the weights of the knots at every level."""
    # In NumPy, so that it is real where a module is built on the meta device. (Arithmetic there would import
    # TorchDynamo, which takes as long as all else that coding a picture from a shell does.)
    position = np.linspace(0, KNOTS - 1, LEVELS, dtype=np.float32)
    weights = 1 - np.abs(position[:, None] - np.arange(KNOTS, dtype=np.float32))
    return torch.from_numpy(np.maximum(weights, 0))


class LevelVector(nn.Module):
    """A vector of `channels` log2 values for every quality level.

    Args:
        channels: length of the vector.
        start: `[LEVELS, channels]` values to start from (they are sampled at the knots); zeros without it.
    """

    interpolation: Tensor

    def __init__(self, channels: int, start: Tensor | None = None) -> None:
        super().__init__()
        knots = torch.zeros(KNOTS, channels)
        if start is not None:
            knots = start[torch.linspace(0, LEVELS - 1, KNOTS).round().long()].clone()
        self.knots = nn.Parameter(knots)
        self.register_buffer("interpolation", _interpolation(), persistent=False)

    def roughness(self) -> Tensor:
        """The sum of squared second differences of the knots: zero where the levels lie on a line."""
        return self.knots.diff(n=2, dim=0).square().sum()

    def table(self) -> Tensor:
        """All levels at once: `[LEVELS, channels]` log2 values, kept within 2^-14 .. 2^14."""
        return self.interpolation @ self.knots.clamp(-GAIN_BITS, GAIN_BITS)

    def log2(self, level: Tensor) -> Tensor:
        """`level [B]` to log2 values `[B, channels, 1, 1]`, in float32."""
        return (self.interpolation[level] @ self.knots.clamp(-GAIN_BITS, GAIN_BITS))[:, :, None, None]

    def forward(self, level: Tensor) -> Tensor:
        """`level [B]` to gains `[B, channels, 1, 1]`, in float32."""
        return torch.exp2(self.log2(level))
