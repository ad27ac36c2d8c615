"""Quality levels and tunes of one model: vectors indexed by operating point.

A model has one or more tunes, each with 64 quality levels. An **operating point** is `64 * tune + level`, and where the
network takes a `level`, it takes operating points. A gain unit (Cui et al., "Asymmetric Gained Deep Image Compression",
CVPR 2021) gives every point its own scale per channel. Neighbouring levels differ little, so the trained values are a
few knots per tune that are interpolated linearly: each knot then sees several times more training samples than a single
level would.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from ..format.constants import GAIN_BITS, KNOTS, LEVELS

#: Lagrangian of the lowest and of the highest level, for a rate in bits per pixel and an MSE on the 0..255 scale. A
#: model may have another for its highest (`ModelConfig.lambda_max`).
LAMBDA_MIN = 0.0006
LAMBDA_MAX = 0.3


def level_lambda(level: Tensor, highest: float = LAMBDA_MAX) -> Tensor:
    """The rate-distortion Lagrangian of operating points `[B]`: `[B]`, spaced log-uniformly over a tune's levels up to
    `highest`."""
    share = (level % LEVELS).to(torch.float32) / (LEVELS - 1)
    return LAMBDA_MIN * torch.exp(share * math.log(highest / LAMBDA_MIN))


def _interpolation(tunes: int) -> Tensor:
    """`[tunes * LEVELS, tunes * KNOTS]`: the weights of the knots at every operating point."""
    # In NumPy, so that it is real where a module is built on the meta device. (Arithmetic there would import
    # TorchDynamo, which takes as long as all else that coding a picture from a shell does.)
    position = np.linspace(0, KNOTS - 1, LEVELS, dtype=np.float32)
    weights = np.maximum(1 - np.abs(position[:, None] - np.arange(KNOTS, dtype=np.float32)), 0)
    return torch.from_numpy(np.kron(np.eye(tunes, dtype=np.float32), weights))


def _roughness(knots: Tensor) -> Tensor:
    """The sum of squared second differences along each tune's knots `[tunes * KNOTS, C]`."""
    return knots.view(-1, KNOTS, knots.shape[1]).diff(n=2, dim=1).square().sum()


class LevelVector(nn.Module):
    """A vector of `channels` log2 values for every operating point.

    Args:
        channels: length of the vector.
        start: the value of every knot at first.
        tunes: how many tunes there are.
    """

    interpolation: Tensor

    def __init__(self, channels: int, start: float = 0.0, tunes: int = 1) -> None:
        super().__init__()
        self.knots = nn.Parameter(torch.full((tunes * KNOTS, channels), start))
        self.register_buffer("interpolation", _interpolation(tunes), persistent=False)

    def roughness(self) -> Tensor:
        """The sum of squared second differences of the knots: zero where the levels of each tune lie on a line."""
        return _roughness(self.knots)

    def table(self) -> Tensor:
        """All operating points at once: `[points, channels]` log2 values, kept within 2^-14 .. 2^14."""
        return self.interpolation @ self.knots.clamp(-GAIN_BITS, GAIN_BITS)

    def log2(self, level: Tensor) -> Tensor:
        """Operating points `[B]` to log2 values `[B, channels, 1, 1]`, in float32."""
        return (self.interpolation[level] @ self.knots.clamp(-GAIN_BITS, GAIN_BITS))[:, :, None, None]


class GainVector(LevelVector):
    """A level vector that scales: its values are log2 of gains."""

    def forward(self, level: Tensor) -> Tensor:
        """Operating points `[B]` to gains `[B, channels, 1, 1]`, in float32."""
        return torch.exp2(self.log2(level))


class Condition(nn.Module):
    """A gain and a bias per channel for every operating point, 1 and 0 at first: what a residual branch is told of
    level and tune. They are folded into the convolutions beside them where a picture is coded, and cost nothing there.
    """

    interpolation: Tensor

    def __init__(self, channels: int, tunes: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(tunes * KNOTS, channels))  # what is added to 1
        self.bias = nn.Parameter(torch.zeros(tunes * KNOTS, channels))
        self.register_buffer("interpolation", _interpolation(tunes), persistent=False)

    def roughness(self) -> Tensor:
        """The sum of squared second differences of the knots."""
        return _roughness(self.gain) + _roughness(self.bias)

    def vectors(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """Operating points `[B]` to gains and biases, `[B, channels, 1, 1]` each, in float32."""
        weights = self.interpolation[level]
        return (1 + weights @ self.gain)[:, :, None, None], (weights @ self.bias)[:, :, None, None]

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """`x [B, channels, H, W]` times the gain plus the bias, in the type of `x`."""
        gain, bias = self.vectors(level)
        return torch.addcmul(bias.to(x.dtype), x, gain.to(x.dtype))
