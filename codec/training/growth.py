"""A trained network's weights in a larger network, which then computes what the smaller one did.

What is new starts as the identity: conditions at 1 and 0, corrections and side information at zero. Kernels grow by
zeros around them, and every tune begins as the one there was. Where the highest level's Lagrangian rises, level vectors
are read at the levels whose Lagrangians they were trained for; beyond them the latents' gains go on as they rose.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..format.constants import KNOTS
from ..network.quality import LAMBDA_MAX, LAMBDA_MIN

_KNOTS = ("knots", "gain", "bias")  # ends of the names of what has a value for every knot


def grown(state: dict[str, Tensor], new: dict[str, Tensor], lambda_max: float = LAMBDA_MAX,
          new_lambda_max: float = LAMBDA_MAX) -> dict[str, Tensor]:
    """The state dict of a larger network.

    Args:
        state: of the trained network.
        new: of the larger one, as it starts.
        lambda_max, new_lambda_max: the Lagrangians of their highest levels.

    Raises:
        ValueError: the trained network has something that the other lacks, or sizes that do not grow into its.
    """
    missing = sorted(set(state) - set(new))
    if missing:
        raise ValueError(f"there is no {missing[0]} in the larger network")
    stretch = math.log(new_lambda_max / LAMBDA_MIN) / math.log(lambda_max / LAMBDA_MIN)
    result = {}
    for name, tensor in new.items():
        trained = state.get(name)
        if trained is not None and trained.ndim == 2 and trained.shape[0] % KNOTS == 0 and name.endswith(_KNOTS):
            trained = _stretched(trained, stretch, onward=name == "gain.knots")
        result[name] = tensor if trained is None else _grown(name, trained, tensor)
    return result


def _stretched(knots: Tensor, stretch: float, onward: bool) -> Tensor:
    """Knots `[tunes * KNOTS, C]` read at `stretch` times their positions: beyond the last one its value, or, `onward`,
    along the line of the last two."""
    position = torch.arange(KNOTS, dtype=torch.float32) * stretch
    if not onward:
        position = position.clamp_max(KNOTS - 1)
    below = position.floor().clamp_max(KNOTS - 2).long()
    share = (position - below)[:, None]
    tunes = knots.view(-1, KNOTS, knots.shape[1])
    return torch.lerp(tunes[:, below], tunes[:, below + 1], share).flatten(0, 1)


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
