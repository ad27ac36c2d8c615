"""Rate-distortion optimised rounding: residuals are moved towards zero before they are rounded.

A symbol that just crossed 1/2 may cost ten bits and save little distortion. How far to move a residual depends on what
a step away from zero costs (which its probability table says) and on what an error does to the picture (which its
channel says). A reader need not know any of it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..format.constants import LEVELS, TABLES
from .hyperprior import (
    log2_sigma,
)

# Before tables and channels are known, in most of the training: 0.006 / sigma^2, at most a quarter of a step. It was
# best on training photos (-1.7 % BD-rate; 0.05 / sigma, which theory suggests for fine quantisation, loses 2 %).
DEAD_ZONE = 0.006
DEAD_ZONE_MAX = 0.25
SHIFT_MAX = 1.0  # a symbol goes down by one at most

# Tables below this index (standard deviation 0.74) are narrow: their values are rounded with dither in training. After
# 300 steps, 16 was better than 8 and 64, and a dither of 0.12 better than 0.25 and 0.5.
NARROW_BELOW = 16
DITHER = 0.12  # half the width of the noise; a smaller one is closer to the codec, and its gradients are rarer


def dead_zones(index: Tensor) -> Tensor:
    """How far residuals of table indices are moved before anything is fitted."""
    return (DEAD_ZONE * torch.exp2(-2 * log2_sigma(index))).clamp_max(DEAD_ZONE_MAX)


def towards_zero(residual: Tensor, dead: Tensor) -> Tensor:
    """Residuals moved towards zero by `dead`, but not beyond."""
    return residual - torch.maximum(torch.minimum(residual, dead), -dead)


class _RoundDithered(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value: Tensor, dead: Tensor, dithered: Tensor, dither: Tensor) -> Tensor:  # type: ignore[override]
        moved = towards_zero(value, dead)
        noise = (torch.rand_like(moved) - 0.5) * dithered
        to_threshold = (moved - torch.floor(moved)).sub_(0.5).abs_()
        ctx.save_for_backward(torch.where(dithered, (to_threshold < dither) / (2 * dither), 1.0))
        return torch.round(torch.addcmul(moved, noise, dither, value=2))

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        (slope,) = ctx.saved_tensors
        return grad * slope, None, None, None


def round_dithered(value: Tensor, dead: Tensor, dithered: Tensor, dither: Tensor) -> Tensor:
    """Symbols of values in training: values are moved by their dead zones and rounded.

    Where `dithered` (boolean), uniform noise within `+-dither` is added before, and the gradient is that of the
    expected symbol: zero but near a threshold. (Agustsson and Theis, "Universally Quantized Neural Compression",
    NeurIPS 2020, have such gradients from soft rounding.) Elsewhere it is that of the identity, straight through.

    Args:
        value, dead, dithered: all of one shape.
        dither: a scalar, at most 1/2.
    """
    return _RoundDithered.apply(value, dead, dithered, dither)


class DeadZones(nn.Module):
    """How far the encoder moves residuals, for every level, channel and table: `channels [LEVELS, M]` times `tables
    [LEVELS, TABLES]`. Until it is fitted (`aecodec.training.rounding`), `dead_zones` for all."""

    channels: Tensor
    tables: Tensor

    def __init__(self, latents: int, persistent: bool = True) -> None:
        super().__init__()
        self.register_buffer("channels", torch.ones(LEVELS, latents), persistent)
        self.register_buffer("tables", torch.empty(LEVELS, TABLES), persistent)
        if not self.tables.is_meta:  # there it would be neither of use nor free of cost
            self.tables.copy_(dead_zones(torch.arange(TABLES, dtype=torch.float32)))

    def forward(self, level: Tensor, index: Tensor) -> Tensor:
        """The dead zones `[B, M, h, w]` of table indices (integer-valued float32) at levels `[B]`."""
        zones = (self.channels[level][:, :, None] * self.tables[level][:, None]).clamp_max(SHIFT_MAX)
        return zones.gather(2, index.flatten(2).long().clamp(0, TABLES - 1)).view(index.shape)

    def at(self, level: int, strength: float = 1.0) -> Tensor:
        """`[M, TABLES]` at a level, scaled by `strength`."""
        return (self.channels[level][:, None] * self.tables[level] * strength).clamp_max(SHIFT_MAX)
