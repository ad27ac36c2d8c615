"""The rate-distortion objective over all quality levels at once: a weighted sum of named terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..format.constants import LEVELS
from ..network.model import TrainableNetwork, TrainingOutput
from ..network.quality import LAMBDA_MAX, Condition, LevelVector, level_lambda
from .terms import TERMS

# A level's loss grows with about the square root of its Lagrangian. What counts is by how much of itself it falls, at
# every level alike: with a power of 0.35, what high levels gained late in a training was paid for by low ones.
BALANCE_LAMBDA = 0.009
BALANCE_POWER = 0.5


class Objective(NamedTuple):
    """`loss` to minimise, and what it is made of: means over the batch."""

    loss: Tensor
    bpp: Tensor
    bpp_z: Tensor
    psnr: Tensor
    terms: dict[str, Tensor]  # each before its weight


def rate_distortion(output: TrainingOutput, target: Tensor, level: Tensor,
                    objectives: Sequence[dict[str, float]], lambda_max: float = LAMBDA_MAX) -> Objective:
    """`bpp + lambda D` at operating points `[B]`, balanced over levels.

    Args:
        output: of the network.
        target: centred pictures `[B, 3, H, W]` that it should have given.
        objectives: for every tune, the weights of the terms of its D by name (`terms.TERMS`); those of weight 0 are
            not computed.
        lambda_max: the Lagrangian of the highest level (`ModelConfig.lambda_max`).
    """
    pixels = target.shape[2] * target.shape[3]
    distortion = torch.zeros(len(target), device=target.device)
    seen: dict[str, list[Tensor]] = {name: [] for weights in objectives for name, weight in weights.items() if weight}
    for tune, weights in enumerate(objectives):
        own = (level // LEVELS == tune).nonzero().flatten()
        if not len(own):
            continue
        part = TrainingOutput(*(tensor[own] for tensor in output)) if len(own) < len(target) else output
        for name, weight in weights.items():
            if weight:
                value = TERMS[name](part, target[own])
                distortion = distortion.index_add(0, own, weight * value)
                seen[name].append(value.detach())
    slope = level_lambda(level, lambda_max)
    bits_z = output.bits_z.sum(dim=(1, 2, 3))
    bpp = (output.bits_y.sum(dim=(1, 2, 3)) + bits_z) / pixels
    loss = (bpp + slope * distortion) / (slope / BALANCE_LAMBDA) ** BALANCE_POWER
    squared = (output.picture.detach() - target).square().mean(dim=(1, 2, 3))
    psnr = -10 * torch.log10(squared.clamp_min(1e-10))
    return Objective(loss.mean(), bpp.detach().mean(), bits_z.detach().mean() / pixels, psnr.mean(),
                     {name: torch.cat(values).mean() for name, values in seen.items() if values})


def roughness(network: TrainableNetwork) -> Tensor:
    """The sum of squared second differences of the feature gains, and of what residuals are told, along the levels.

    Every knot sees a tenth of the samples, and one of them went astray: at its level the codec took 40 % more rate.
    """
    vectors: list[LevelVector | Condition] = [network.analysis.gain, network.synthesis.gain, network.context.gain]
    vectors += [module for module in network.modules() if isinstance(module, Condition)]
    return torch.stack([vector.roughness() for vector in vectors]).sum()


#: What a recipe may give a weight besides the terms: functions of the network alone.
REGULARISERS: dict[str, Callable[[TrainableNetwork], Tensor]] = {"roughness": roughness}


def regularisation(network: TrainableNetwork, weights: dict[str, float]) -> Tensor:
    """The weighted sum of the regularisers, a scalar."""
    total = torch.zeros((), device=next(network.parameters()).device)
    for name, weight in weights.items():
        if weight:
            total = total + weight * REGULARISERS[name](network)
    return total
