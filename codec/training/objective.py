"""The rate-distortion objective over all quality levels at once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..network.model import Network, TrainingOutput
from ..network.quality import level_lambda

# A level's loss grows with about the square root of its Lagrangian. What counts is by how much of itself it falls, at
# every level alike: with a power of 0.35, what high levels gained late in a training was paid for by low ones.
BALANCE_LAMBDA = 0.009
BALANCE_POWER = 0.5

#: Weight of the roughness of the feature gains. Every knot sees a tenth of the samples, and one of them went astray: at
#: its level the codec took 40 % more rate. (This pull alone did not cure the lowest levels: LOG.md.)
ROUGHNESS = 1e-3


class Objective(NamedTuple):
    """`loss` to minimise, and what it is made of: means over the batch."""

    loss: Tensor
    bpp: Tensor
    bpp_z: Tensor
    psnr: Tensor


def rate_distortion(output: TrainingOutput, target: Tensor, level: Tensor) -> Objective:
    """`bpp + lambda 255^2 MSE` of centred pictures `target [B, 3, H, W]` at levels `[B]`, balanced over levels."""
    pixels = target.shape[2] * target.shape[3]
    mse = F.mse_loss(output.picture, target, reduction="none").mean(dim=(1, 2, 3))
    weight = level_lambda(level)
    bits_z = output.bits_z.sum(dim=(1, 2, 3))
    bpp = (output.bits_y.sum(dim=(1, 2, 3)) + bits_z) / pixels
    loss = (bpp + weight * 255**2 * mse) / (weight / BALANCE_LAMBDA) ** BALANCE_POWER
    psnr = -10 * torch.log10(mse.detach().clamp_min(1e-10))
    return Objective(loss.mean(), bpp.detach().mean(), bits_z.detach().mean() / pixels, psnr.mean())


def roughness(network: Network) -> Tensor:
    """The penalty that keeps the feature gains of neighbouring levels close to a line."""
    gains = (network.analysis.gain, network.synthesis.gain, network.context.gain)
    return ROUGHNESS * torch.stack([gain.roughness() for gain in gains]).sum()
