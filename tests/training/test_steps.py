"""The inner loop on networks of a few weights: what an update changes and what it leaves, rates, averages."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from aecodec.training import steps


def network_and_optimiser(rate: float = 0.1) -> tuple[nn.Linear, torch.optim.SGD]:
    network = nn.Linear(3, 1, bias=False)
    nn.init.zeros_(network.weight)
    return network, torch.optim.SGD(network.parameters(), lr=rate)


def test_an_update_is_a_clipped_step():
    network, optimiser = network_and_optimiser()
    x = torch.tensor([[3.0, 0.0, 4.0]])
    result = steps.update(network, [optimiser], [network(x).sum() + 2])
    assert result == (2.0, pytest.approx(5.0), True)
    torch.testing.assert_close(network.weight.detach(), -0.1 * x / 5, rtol=1e-5, atol=0)
    assert network.weight.grad is None
    result = steps.update(network, [optimiser], [0.1 * network(x).sum()])  # within the limit: as it is
    torch.testing.assert_close(network.weight.detach(), -0.1 * x / 5 - 0.1 * 0.1 * x, rtol=1e-5, atol=0)


def test_parts_of_a_batch_give_the_gradient_of_the_whole():
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    weights = []
    for parts in (1, 3):
        network, optimiser = network_and_optimiser()
        losses = (0.1 * network(part).square().add(network(part)).sum() for part in x.chunk(parts))
        steps.update(network, [optimiser], losses)
        weights.append(network.weight.detach())
    assert float(weights[0].abs().max()) > 0
    torch.testing.assert_close(*weights)


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), 1e4])
def test_an_unusable_gradient_changes_nothing(factor):
    network, optimiser = network_and_optimiser()
    result = steps.update(network, [optimiser], [network(torch.full((1, 3), factor)).sum()])
    assert not result.usable
    assert not network.weight.detach().any()
    assert network.weight.grad is None


def test_rates_warm_up_stay_and_decay():
    assert steps.rate_factor(0) == pytest.approx(1 / steps.WARM_UP_STEPS)
    assert steps.rate_factor(steps.WARM_UP_STEPS // 2 - 1) == pytest.approx(0.5)
    assert [steps.rate_factor(step) for step in (200, 10_000, 10**7)] == [1.0] * 3
    decayed = [steps.rate_factor(10_000, share) for share in (-0.1, 0, 0.5, 1, 1.2)]
    assert decayed == pytest.approx([1, 1, 0.5**1.2, 0, 0])
    assert steps.rate_factor(0, warm_up=0) == 1


def test_rates_are_set_from_those_remembered():
    _, optimiser = network_and_optimiser(0.3)
    steps.remember_rates([optimiser])
    for factor in (0.5, 0.1):
        steps.set_rates([optimiser], factor)
        assert optimiser.param_groups[0]["lr"] == pytest.approx(0.3 * factor)


def test_the_average_follows_the_network():
    network, _ = network_and_optimiser()
    average = steps.Average(network, 0.9)
    nn.init.ones_(network.weight)
    expected = 0.0
    for step in range(1, 240):
        average.after(step, network)
        if step % steps.Average.EVERY == 0:
            decay = min(0.9**steps.Average.EVERY, (1 + average.updates) / (10 + average.updates))
            expected = decay * expected + 1 - decay
        assert average.values[0].mean().item() == pytest.approx(expected, rel=1e-4)
    assert average.updates == 59
    average.swap(network)
    assert network.weight.mean().item() == pytest.approx(expected, rel=1e-4)
    assert float(average.values[0].mean()) == 1
    average.swap(network)
    assert network.weight.mean().item() == 1
