"""The inner loop of every training: one update of the weights, learning rates over time, averaged weights.

It takes any module and any optimisers. It knows neither the codec nor how a training is spread over processes: who
trains on several passes their own `backward`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

WARM_UP_STEPS = 200
DECAY_POWER = 1.2
CLIP_NORM = 1.0
MAX_NORM = 1000.0  # a hundred times the usual: such a gradient is an accident, and would poison Adam's averages


class Update(NamedTuple):
    """What became of one update."""

    loss: float  # summed over the losses
    gradient_norm: float  # before clipping
    usable: bool  # False: the gradient was not finite or far too large, and no weight was changed


def update(network: nn.Module, optimisers: Iterable[torch.optim.Optimizer], losses: Iterable[Tensor],
           backward: Callable[[Tensor], object] = Tensor.backward, clip_norm: float = CLIP_NORM,
           max_norm: float = MAX_NORM) -> Update:
    """One update of a network's weights: gradients, clipping, optimisers.

    Args:
        network: whose gradients are clipped together.
        losses: scalars whose sum is to fall. Each is differentiated before the next is asked for, so a generator that
            yields the losses of parts of a batch needs the memory of one part.
        backward: differentiates one loss; under accelerate, `Accelerator.backward`.
        clip_norm: gradients of a larger L2 norm are scaled down to it.
        max_norm: with a larger norm, or one that is not finite, nothing is changed.
    """
    optimisers = list(optimisers)
    total = 0.0
    for loss in losses:
        backward(loss)
        total += float(loss.detach())
    norm = float(nn.utils.clip_grad_norm_(network.parameters(), clip_norm))
    usable = norm <= max_norm  # False for NaN, too
    for optimiser in optimisers:
        if usable:
            optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return Update(total, norm, usable)


def rate_factor(step: int, decayed: float = 0.0, warm_up: int = WARM_UP_STEPS, power: float = DECAY_POWER) -> float:
    """The factor on all learning rates: a linear warm-up, a plateau, a decay `(1 - decayed)^power` to zero.

    Args:
        step: updates since the first, for the warm-up.
        decayed: how much of the decay is done, 0..1; 0 on the plateau.
    """
    return min(1.0, (step + 1) / max(warm_up, 1)) * max(0.0, 1 - max(decayed, 0.0)) ** power


def remember_rates(optimisers: Iterable[torch.optim.Optimizer]) -> None:
    """Take the learning rates that optimisers have now as those that `set_rates` multiplies."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["base_lr"] = group["lr"]


def set_rates(optimisers: Iterable[torch.optim.Optimizer], factor: float) -> None:
    """Set every learning rate to `factor` times the one that `remember_rates` took."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["base_lr"] * factor


class Average:
    """An exponential moving average of a network's parameters, updated every few steps.

    Args:
        decay: of one step, such as 0.999.
    """

    EVERY = 4

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay ** self.EVERY
        self.values = [p.detach().clone() for p in network.parameters()]
        self.updates = 0

    def after(self, step: int, network: nn.Module) -> None:
        """To be called after every step; updates after every fourth."""
        if step % self.EVERY == 0:
            self.update(network)

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self.updates += 1
        # A young average would remember the start: its horizon grows with its age.
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self.values, [p.detach() for p in network.parameters()], 1 - decay)

    @torch.no_grad()
    def swap(self, network: nn.Module) -> None:
        """Exchange the network's parameters with the averaged ones (twice gives back the first)."""
        for value, parameter in zip(self.values, network.parameters(), strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(kept)
