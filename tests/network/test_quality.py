"""Level vectors and Lagrangians."""

from __future__ import annotations

import torch

from aecodec.format.constants import (
    KNOTS,
    LEVELS,
)
from aecodec.network.quality import (
    GainVector,
    level_lambda,
)


def test_level_vectors_interpolate_between_knots():
    vector = GainVector(3)
    with torch.no_grad():
        vector.knots.copy_(torch.arange(KNOTS)[:, None] * torch.tensor([1.0, -1.0, 0.5]))
    table = vector.table()
    assert table.shape == (LEVELS, 3)
    torch.testing.assert_close(table[:, 0], torch.arange(LEVELS) / 7)
    level = torch.tensor([0, 7, 10, 63])
    torch.testing.assert_close(vector.log2(level)[:, :, 0, 0], table[level])
    torch.testing.assert_close(vector(level)[:, 1, 0, 0], torch.exp2(-level / 7))
    with torch.no_grad():
        vector.knots.fill_(100.0)
    assert float(vector(level).detach().max()) == 2**14


def test_the_trade_off_rises_with_the_level():
    weights = level_lambda(torch.arange(LEVELS))
    assert (weights[1:] > weights[:-1]).all()
    ratios = weights[1:] / weights[:-1]
    torch.testing.assert_close(ratios, torch.full_like(ratios, float(ratios[0])))
