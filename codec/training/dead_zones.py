"""Fit the encoder's dead zones: where a symbol costs more bits than its distortion is worth.

Lowering a symbol from 1 to 0 saves `inc` bits, what the table says, and adds `h / 2` of distortion in the same unit,
where h is the curvature of `lambda D` along the latent. The curvature is measured on photos with random probes (for u
of random signs, the mean of (J^T u)^2 is the squared length of the columns of the synthesis's Jacobian J) and modelled
as a product of what the channel and what the table index say: along edges, where tables are wide, the same latent moves
the picture more. That a symbol is lowered where `inc` exceeds `h (e + 1/2)`, e its rounding error, would be best if
errors were independent; they are not, so only a share of `inc` counts, found on training photos.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..format.constants import LEVELS, TABLES
from ..format.entropy import Tables
from ..network.model import ShippedNetwork
from ..network.quality import (
    level_lambda,
)

SHARE = 0.15
PROBES = 2
ROUNDS = 8  # of fitting channels and tables in turn


def increments(tables: Tables) -> np.ndarray:
    """`[TABLES]`: the bits that a symbol of 1 costs more than one of 0, by table of the latents."""
    result = np.zeros(TABLES)
    for table in range(1, TABLES):
        bits, half = tables.bits(table), int(tables.half[table])
        result[table] = max((bits[half - 1] + bits[half + 1]) / 2 - bits[half], 0.0)
    # Wide tables are seen too rarely for so small a difference: it never grows with their width.
    result[1:] = np.minimum.accumulate(result[1:])
    return result


def squared_columns(network: ShippedNetwork, known: Tensor, level: int, gain: Tensor) -> Tensor:
    """`[M, h, w]`: the squared lengths of the columns of the synthesis's Jacobian, per step of the quantiser."""
    total = torch.zeros_like(known)
    levels = torch.tensor([level])
    for _ in range(PROBES):
        latents = known.clone().requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16):
            picture = network.synthesis(latents, levels).float()
        signs = torch.randint(0, 2, picture.shape).float() * 2 - 1
        (gradient,) = torch.autograd.grad((picture * signs).sum(), latents)
        total += (gradient / gain).square() / PROBES
    return total[0]


class Curvatures:
    """Sums of squared columns by channel and table index at one level."""

    def __init__(self, latents: int) -> None:
        self.total = torch.zeros(latents * TABLES, dtype=torch.float64)
        self.count = torch.zeros(latents * TABLES, dtype=torch.float64)

    def add(self, columns: Tensor, index: Tensor) -> None:
        """Add the squared columns `[M, h, w]` of latents with table indices `[M, h, w]`."""
        cell = (torch.arange(len(index))[:, None, None] * TABLES + index.long()).flatten()
        self.total.index_add_(0, cell, columns.flatten().double())
        self.count.index_add_(0, cell, torch.ones_like(cell, dtype=torch.float64))

    def factors(self) -> tuple[Tensor, Tensor]:
        """`[M]` and `[TABLES]`, whose product fits the means of the cells, weighted by their counts."""
        total, count = self.total.view(-1, TABLES), self.count.view(-1, TABLES)
        tables = torch.ones(TABLES, dtype=torch.float64)
        # Cells that are rarely seen lean on a weak prior: the mean over all.
        prior = total.sum() / count.sum()
        for _ in range(ROUNDS):
            channels = (total.sum(dim=1) + prior) / (count @ tables + 1)
            tables = (total.sum(dim=0) + prior) / (channels @ count + prior)
        return channels, tables


def fit_dead_zones(network: ShippedNetwork, tables: Tables, measured: dict[int, Curvatures]) -> None:
    """Set a network's dead zones from curvatures measured at some operating points of every tune; those between are
    interpolated."""
    points = network.config.points
    factors = {point: curvatures.factors() for point, curvatures in measured.items()}

    def all_points(part: int) -> Tensor:
        tunes = []
        for first in range(0, points, LEVELS):
            known = sorted(point for point in factors if first <= point < first + LEVELS)
            values = torch.stack([factors[point][part] for point in known]).log().numpy()
            columns = [np.interp(np.arange(first, first + LEVELS), known, column) for column in values.T]
            tunes.append(torch.from_numpy(np.exp(np.stack(columns, axis=1))).float())
        return torch.cat(tunes)

    slope = level_lambda(torch.arange(points), network.config.lambda_max)[:, None]
    weight = 2 / 3 * 255**2 * slope  # of a squared error summed over colours
    gains = torch.from_numpy(increments(tables)).float() * SHARE
    network.rounding.channels.copy_(1 / (all_points(0) * weight))
    network.rounding.tables.copy_(gains / all_points(1))
