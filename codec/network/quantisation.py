"""The quantise step and its inverse, and rate-distortion optimised rounding: residuals are moved towards zero first.

A symbol that just crossed 1/2 may cost ten bits and save little distortion. How far to move a residual depends on what
a step away from zero costs (which its probability table says) and on what an error does to the picture (which its
channel says). A reader need not know any of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from aecodec.kernels import coded_parts, dequantise_, dequantise_part, quantise_, quantise_part

from ..format.constants import GROUPS, LEVELS, SHIFT_MAX, TABLES
from .context import Means
from .hyperprior import (
    log2_sigma,
)

# Before tables and channels are known, in most of the training: 0.006 / sigma^2, at most a quarter of a step. It was
# best on training photos (-1.7 % BD-rate; 0.05 / sigma, which theory suggests for fine quantisation, loses 2 %).
DEAD_ZONE = 0.006
DEAD_ZONE_MAX = 0.25

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
    """How far the encoder moves residuals, for every operating point, channel and table: `channels [points, M]` times
    `tables [points, TABLES]`. Until it is fitted (`aecodec.training.dead_zones`), `dead_zones` for all."""

    channels: Tensor
    tables: Tensor

    def __init__(self, latents: int, persistent: bool = True, tunes: int = 1) -> None:
        super().__init__()
        self.register_buffer("channels", torch.ones(tunes * LEVELS, latents), persistent)
        self.register_buffer("tables", torch.empty(tunes * LEVELS, TABLES), persistent)
        if not self.tables.is_meta:  # there it would be neither of use nor free of cost
            self.tables.copy_(dead_zones(torch.arange(TABLES, dtype=torch.float32)))

    def forward(self, level: Tensor, index: Tensor) -> Tensor:
        """The dead zones `[B, M, h, w]` of table indices (integer-valued float32) at levels `[B]`."""
        zones = (self.channels[level][:, :, None] * self.tables[level][:, None]).clamp_max(SHIFT_MAX)
        return zones.gather(2, index.flatten(2).long().clamp(0, TABLES - 1)).view(index.shape)

    def at(self, level: int, strength: float = 1.0) -> Tensor:
        """`[M, TABLES]` at a level, scaled by `strength`."""
        return (self.channels[level][:, None] * self.tables[level] * strength).clamp_max(SHIFT_MAX)


# -- a step of the context ----------------------------------------------------------------------------------------


def quantise_step(step: int, latents: Tensor, means: Means, gain: Tensor, inverse_gain: Tensor, index: Tensor,
                  dead_zone: Tensor, y_hat: Tensor, symbols: Tensor, fused: bool) -> None:
    """Quantise the latents that become known in a step; `aecodec.kernels.quantise_` has the arithmetic.

    Args:
        latents: `[B, M, h, w]` float32, before the gain.
        means: of the step.
        gain, inverse_gain: `[M]` of the quality level.
        index: tables `[B, M, h, w]` uint8.
        dead_zone: `[M, TABLES]` of the level: `DeadZones.at`.
        y_hat, symbols: `[B, M, h, w]` float32 and int16, whose latents of this step are filled in.
        fused: one kernel for all means, as suits a GPU; else phase by phase, each with the means it needs. Both give
            the same symbols where the means are the same.
    """
    groups = GROUPS[step]
    if fused:
        quantise_(latents, means.all(), gain, inverse_gain, index, groups, y_hat, symbols, dead_zone)
        _correct_all(groups, y_hat, symbols, means, inverse_gain)
        return
    for part in coded_parts(latents.shape[1], groups):
        own = part[1]
        symbol, y_hat[part] = quantise_part(latents[part], means.of(part), gain[own], inverse_gain[own],
                                            index[part], dead_zone[own])
        symbols[part] = symbol
        _correct(y_hat[part], symbol, means.corrections_of(part), inverse_gain[own])


def dequantise_step(step: int, symbols: Tensor, means: Means, inverse_gain: Tensor, y_hat: Tensor,
                    fused: bool) -> None:
    """The inverse: the latents of a step from their symbols `[B, M, h, w]` int16, into `y_hat`."""
    groups = GROUPS[step]
    if fused:
        dequantise_(symbols, means.all(), inverse_gain, groups, y_hat)
        _correct_all(groups, y_hat, symbols, means, inverse_gain)
        return
    for part in coded_parts(symbols.shape[1], groups):
        y_hat[part] = dequantise_part(symbols[part], means.of(part), inverse_gain[part[1]])
        _correct(y_hat[part], symbols[part], means.corrections_of(part), inverse_gain[part[1]])


def _correct(y_hat: Tensor, symbols: Tensor, corrections: Tensor | None, inverse_gain: Tensor) -> None:
    """Add corrections (see `Means`) to latents `[B, k, h, w]`, in place."""
    if corrections is not None:
        y_hat += corrections.mul_(symbols.clamp(-1, 1)).mul_(inverse_gain[:, None, None])


def _correct_all(groups: Sequence[int], y_hat: Tensor, symbols: Tensor, means: Means, inverse_gain: Tensor) -> None:
    corrections = means.corrections()
    if corrections is not None:
        for part in coded_parts(y_hat.shape[1], groups):
            _correct(y_hat[part], symbols[part], corrections[part], inverse_gain[part[1]])
