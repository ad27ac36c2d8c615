"""Muon on the matrices, Adam on everything else.

Muon (Jordan et al., 2024) orthogonalises the momentum of a matrix before it is applied; on the pilots it beat AdamW
by far. First and last layers, depthwise filters, gains and biases are not mixing matrices and take Adam.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..network.model import TrainableNetwork
from .steps import remember_rates

MUON_RATE = 0.012
ADAM_RATE = 1e-3
WEIGHT_DECAY = 0.02

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


def orthogonalise(matrices: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrices of `[N, rows, columns]`, roughly: singular values within 0.7..1.2."""
    a, b, c = NEWTON_SCHULZ
    x = matrices.mT if matrices.shape[1] > matrices.shape[2] else matrices
    x = (x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)).bfloat16()
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if matrices.shape[1] > matrices.shape[2] else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum that orthogonalises all matrices of one shape in one batch.

    The update rule, its coefficients and its scaling by `sqrt(max(1, rows / columns))` are those of
    `torch.optim.Muon`, which takes the matrices one by one: with this network's hundred small ones that cost a
    quarter of a CPU training step (118 ms of 470), batched it is 25 ms.
    """

    def __init__(self, params: list[nn.Parameter], lr: float, weight_decay: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in by_shape.items():
                grads = [p.grad for p in parameters if p.grad is not None]
                values = [p.data for p in parameters]
                buffers = []
                for parameter in parameters:
                    state = self.state[parameter]
                    if not state:
                        state["momentum_buffer"] = torch.zeros_like(parameter)
                    buffers.append(state["momentum_buffer"])
                torch._foreach_lerp_(buffers, grads, 1 - group["momentum"])
                nesterov = torch.lerp(torch.stack(grads), torch.stack(buffers), group["momentum"])
                update = orthogonalise(nesterov)
                torch._foreach_mul_(values, 1 - group["lr"] * group["weight_decay"])
                scale = math.sqrt(max(1.0, shape[0] / shape[1]))
                torch._foreach_add_(values, list(update.unbind()), alpha=-group["lr"] * scale)


def split_parameters(network: TrainableNetwork) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """`(matrices, others)`: what Muon trains and what Adam trains; what is frozen is in neither."""
    outer = {id(network.analysis.patches.weight), id(network.synthesis.patches.weight)}
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        depthwise = parameter.ndim == 2 and parameter.shape[1] == 9
        mixes = parameter.ndim == 2 and name.endswith("weight") and not depthwise and id(parameter) not in outer
        (matrices if mixes else others).append(parameter)
    return matrices, others


def build_optimisers(network: TrainableNetwork, muon: float = MUON_RATE, adam: float = ADAM_RATE,
                     weight_decay: float = WEIGHT_DECAY) -> list[torch.optim.Optimizer]:
    """The two optimisers with their learning rates, and the weight decay of the matrices."""
    matrices, others = split_parameters(network)
    optimisers = [Muon(matrices, lr=muon, weight_decay=weight_decay),
                  torch.optim.Adam(others, lr=adam, betas=(0.9, 0.98), fused=True)]
    remember_rates(optimisers)
    return optimisers
