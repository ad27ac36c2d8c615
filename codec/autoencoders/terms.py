"""The terms of the estimators' objectives, each a mean over rows `[N, ...]`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

PROBE = 0.01  # length of a contraction probe, in standard deviations of the features


def squared(output: Tensor, target: Tensor) -> Tensor:
    """Squared errors of features that were divided by their common scale, `[N, features]`."""
    return (output - target).square()


def bernoulli(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropies in nats of features within 0..1, `[N, features]`."""
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


def mean_over(errors: Tensor, counted: Tensor | None) -> Tensor:
    """The mean of `[N, features]` over the entries that count (all, if None)."""
    if counted is None:
        return errors.mean()
    return (errors * counted).sum() / counted.sum().clamp_min(1)


def kl_to_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence in nats of diagonal Gaussians `[N, units]` from the standard normal one, `[N]`."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


def contraction(encode: Callable[[Tensor], Tensor], rows: Tensor, code: Tensor) -> Tensor:
    """The squared Frobenius norm of the encoder's Jacobian per unit (Rifai et al., ICML 2011), from one random probe.

    Units are divided by their standard deviation over the batch, as a small code is not a steady one.

    Args:
        encode: rows to code.
        rows: `[N, features]`.
        code: that of the rows, `[N, units]`.
    """
    moved = encode(rows + PROBE * torch.randn_like(rows))
    deviation = code.std(dim=0, correction=0).clamp_min(1e-6)
    return ((moved - code) / (PROBE * deviation)).square().mean()
