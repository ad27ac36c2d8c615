"""Training on rows in memory: batches, the shared inner loop, averaged weights, the best on rows held back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..training import steps

AVERAGED = 0.02  # horizon of the averaged weights, as a share of the training
CHECKS = 40  # how often the rows held back are looked at


class Plan(NamedTuple):
    """How long and in what steps to train."""

    updates: int
    batch_size: int
    learning_rate: float
    weight_decay: float


class Course(NamedTuple):
    """What became of a training."""

    losses: list[float]  # of every update
    validation: list[float]  # on the rows held back, after every fortieth of the training


def batches(rows: int, size: int, count: int) -> Iterator[Tensor]:
    """Row numbers of `count` batches: shuffled passes over all rows, of which a short rest is left out."""
    size = min(size, rows)
    order, position = torch.randperm(rows), 0
    for _ in range(count):
        if position + size > rows:
            order, position = torch.randperm(rows), 0
        yield order[position:position + size]
        position += size


def train(network: nn.Module, loss: Callable[[Tensor], Tensor], rows: int, plan: Plan,
          validate: Callable[[], float] | None = None) -> Course:
    """Train a network; it is left with its averaged weights.

    Args:
        loss: a scalar, of the row numbers of a batch.
        rows: how many there are to train on.
        validate: what is to be small on rows held back. With it the network is left with the weights at which that was
            least, those it started with included.

    Raises:
        ValueError: no update could be used: gradients were not finite or far too large.
    """
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, betas=(0.9, 0.99),
                                  weight_decay=plan.weight_decay, fused=True)
    steps.remember_rates([optimiser])
    average = steps.Average(network, 1 - 1 / max(AVERAGED * plan.updates, 1))
    warm_up = min(steps.WARM_UP_STEPS, plan.updates // 10)
    losses: list[float] = []
    validation: list[float] = []
    best, kept = float("inf"), None
    if validate is not None:
        best, kept = validate(), _copy(network)
    used = 0
    for step, numbers in enumerate(batches(rows, plan.batch_size, plan.updates)):
        steps.set_rates([optimiser], steps.rate_factor(step, step / plan.updates, warm_up))
        outcome = steps.update(network, [optimiser], [loss(numbers)])
        used += outcome.usable
        losses.append(outcome.loss)
        average.after(step, network)
        if validate is not None and ((step + 1) * CHECKS // plan.updates > step * CHECKS // plan.updates):
            average.swap(network)
            validation.append(validate())
            if validation[-1] < best:
                best, kept = validation[-1], _copy(network)
            average.swap(network)
    if not used:
        raise ValueError("no update of the training could be used: its gradients are not finite or far too large; "
                         "lower learning_rate or the weights of penalties")
    if kept is not None:
        network.load_state_dict(kept)
    else:
        average.swap(network)
    return Course(losses, validation)


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
