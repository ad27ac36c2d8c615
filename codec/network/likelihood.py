"""What a value costs under the logistic distributions that stand for the probability tables in training."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .quantisation import towards_zero

BITS_PER_NAT = 1.4426950408889634


def _logistic(log2_sigma: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse scale of a logistic and the part of its bits that does not depend on the value, in nats."""
    inverse = torch.exp2(-log2_sigma) * 1.8137993642342178  # 1 / s = pi / (sqrt(3) sigma)
    return inverse, torch.log(-torch.expm1(-inverse))


class _Tails(torch.autograd.Function):
    """`softplus(-(r + 1/2) inverse) + softplus((r - 1/2) inverse)`: autograd's own way keeps six tensors for it."""

    @staticmethod
    def forward(ctx, r: Tensor, inverse: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(r, inverse)
        return F.softplus(-(r + 0.5) * inverse).add_(F.softplus((r - 0.5) * inverse))

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        r, inverse = ctx.saved_tensors
        inside = torch.sigmoid((r + 0.5).mul_(inverse).neg_()).mul_(grad)
        outside = torch.sigmoid((r - 0.5).mul_(inverse)).mul_(grad)
        to_inverse = outside * (r - 0.5) - inside * (r + 0.5)
        return outside.sub_(inside).mul_(inverse), to_inverse.sum_to_size(inverse.shape)


def _tails(residual: Tensor, inverse: Tensor) -> Tensor:
    return _Tails.apply(residual.abs(), inverse)


def logistic_bits(residual: Tensor, log2_sigma: Tensor) -> Tensor:
    """Bits of a value under a logistic of standard deviation `2^log2_sigma`, integrated over a unit interval.

    With s the logistic's scale, a = (r + 1/2) / s and b = (r - 1/2) / s, the probability
    `sigmoid(a) - sigmoid(b)` equals `sigmoid(a) sigmoid(-b) (1 - exp(-1 / s))`: no difference of near-equal numbers,
    and a gradient that does not die in the tails.
    """
    inverse, common = _logistic(log2_sigma)
    return (_tails(residual, inverse) - common) * BITS_PER_NAT


def expected_bits(value: Tensor, dead: Tensor, narrow: Tensor, dither: Tensor, log2_sigma: Tensor) -> Tensor:
    """Bits of values in training: what the symbols of `round_dithered` cost on average where `narrow`, elsewhere with
    uniform noise in place of rounding."""
    moved = towards_zero(value, dead)
    low = torch.floor(moved.detach())
    upper = ((moved - low - 0.5) / (2 * dither) + 0.5).clamp(0, 1) * narrow
    inverse, common = _logistic(log2_sigma)
    tails = _tails(torch.where(narrow, low, value + torch.rand_like(value) - 0.5), inverse)
    tails = tails + upper * (_tails(low + 1, inverse) - tails)
    return (tails - common) * BITS_PER_NAT
