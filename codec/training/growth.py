"""A trained network's weights in a larger network, which then computes what the smaller one did.

What is new starts as the identity: conditions at 1 and 0, corrections and side information at zero. Kernels grow by
zeros around them, and every tune begins as the one there was.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..format.constants import KNOTS


def grown(state: dict[str, Tensor], new: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a larger network.

    Args:
        state: of the trained network.
        new: of the larger one, as it starts.

    Raises:
        ValueError: the trained network has something that the other lacks, or sizes that do not grow into its.
    """
    missing = sorted(set(state) - set(new))
    if missing:
        raise ValueError(f"there is no {missing[0]} in the larger network")
    return {name: _grown(name, state[name], tensor) if name in state else tensor for name, tensor in new.items()}


def _grown(name: str, trained: Tensor, new: Tensor) -> Tensor:
    if trained.shape == new.shape:
        return trained
    knots = trained.ndim == 2 and trained.shape[0] == KNOTS and new.shape[0] % KNOTS == 0
    if knots and trained.shape[1] == new.shape[1]:
        return trained.repeat(new.shape[0] // KNOTS, 1)
    if trained.ndim == 4 and trained.shape[:2] == new.shape[:2] and torch.Size(trained.shape[2:]) < new.shape[2:]:
        margin = (new.shape[2] - trained.shape[2]) // 2
        return F.pad(trained, (margin, margin, margin, margin))
    raise ValueError(f"{name} is {list(trained.shape)} there and {list(new.shape)} here")
