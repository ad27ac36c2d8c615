"""The price of symbols in training."""

from __future__ import annotations

import numpy as np
import torch

from aecodec.network.hyperprior import (
    SIGMA_MAX,
    SIGMA_MIN,
)
from aecodec.network.likelihood import logistic_bits


def test_logistic_bits_are_those_of_the_distribution():
    """-log2 of the difference of the logistic's CDF over a unit interval, in float64."""
    sigma = np.geomspace(SIGMA_MIN, SIGMA_MAX, 40)[:, None]
    value = np.array([0, 0.25, -0.25, 0.5, 1, -1, 2.75, 4])[None, :] * np.maximum(sigma, 0.3)
    scale = sigma * np.sqrt(3) / np.pi
    upper, lower = (1 / (1 + np.exp(-(np.abs(value) + half) / scale)) for half in (0.5, -0.5))
    # In the tail the difference of CDFs near one loses digits; by symmetry it is that of CDFs near zero.
    low, high = (1 / (1 + np.exp((np.abs(value) + half) / scale)) for half in (0.5, -0.5))
    bits = -np.log2(np.where(np.abs(value) > scale, high - low, upper - lower))
    assert bits.max() > 15
    given = logistic_bits(torch.from_numpy(value), torch.from_numpy(np.log2(sigma)))
    np.testing.assert_allclose(given.numpy(), bits, rtol=1e-9, atol=1e-12)
    single = logistic_bits(torch.from_numpy(value).float(), torch.from_numpy(np.log2(sigma)).float())
    np.testing.assert_allclose(single.numpy(), bits, rtol=1e-4, atol=1e-5)


def test_logistic_bits_are_finite_far_out_and_have_a_gradient():
    value = torch.tensor([0.0, 100.0, -32767.0], requires_grad=True)
    bits = logistic_bits(value, torch.full((3,), float(np.log2(SIGMA_MIN))))
    assert torch.isfinite(bits).all()
    bits.sum().backward()
    assert torch.isfinite(value.grad).all()
    assert value.grad[1] > 1
    assert value.grad[2] < -1


def test_the_price_of_a_value_has_the_right_gradient():
    """In the value and in the scale, also where one scale stands for many values; and equal bits to plain softplus."""
    from torch.nn import functional as F

    from aecodec.network.likelihood import _tails

    torch.manual_seed(0)
    value = (4 * torch.randn(2, 3, 2, 2, dtype=torch.double)).requires_grad_(True)
    for shape in ((2, 3, 2, 2), (2, 3, 1, 1)):
        inverse = torch.rand(shape, dtype=torch.double).add(0.3).requires_grad_(True)
        assert torch.autograd.gradcheck(_tails, (value, inverse))
        r = value.abs()
        assert torch.equal(_tails(value, inverse), F.softplus(-(r + 0.5) * inverse) + F.softplus((r - 0.5) * inverse))
