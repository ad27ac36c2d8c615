"""A network that grows computes what it computed, and then learns more."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from aecodec.network.model import ModelConfig, TrainableNetwork
from aecodec.network.quality import level_lambda
from aecodec.training.growth import grown

SMALL = ModelConfig(latents=64, analysis_blocks=(1, 1), synthesis_blocks=(1, 1), hyper=16, context=32)
LARGE = replace(SMALL, tunes=2, kernel=5, conditioned=True, informed=True)


def networks() -> tuple[TrainableNetwork, TrainableNetwork]:
    torch.manual_seed(3)
    small, large = TrainableNetwork(SMALL), TrainableNetwork(LARGE)
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    large.load_state_dict(grown(small.state_dict(), large.state_dict()))
    return small.eval(), large.eval()


@torch.no_grad()
def test_both_tunes_compute_what_the_small_network_does():
    small, large = networks()
    picture = 0.3 * torch.randn(2, 3, 128, 64)
    expected = small(picture, torch.tensor([10, 50]))
    assert float(expected.picture.std()) > 0.01
    for tune in (0, 64):
        given = large(picture, torch.tensor([10, 50]) + tune)
        for ours, theirs in zip(given, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_what_is_new_learns():
    _, large = networks()
    large.train()
    output = large(0.3 * torch.randn(4, 3, 64, 64), torch.tensor([10, 50, 70, 120]))
    (output.picture.square().mean() + 1e-4 * output.bits_y.mean()).backward()
    for name, parameter in large.named_parameters():
        # Corrections need symbols that are not zero, which so small a network may not have.
        if any(part in name for part in ("spatial", "channel", "side")):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


def test_a_network_does_not_shrink():
    small, large = TrainableNetwork(SMALL), TrainableNetwork(LARGE)
    with pytest.raises(ValueError, match=r"no context\.|conditions|no .* in the larger"):
        grown(large.state_dict(), small.state_dict())
    other = TrainableNetwork(replace(SMALL, hyper=32))
    with pytest.raises(ValueError, match="there and"):
        grown(small.state_dict(), other.state_dict())


@torch.no_grad()
def test_levels_are_read_at_their_lagrangians():
    small = TrainableNetwork(SMALL)
    for parameter in small.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))
    small.gain.knots.copy_(torch.linspace(0, 9, 10)[:, None].expand(-1, SMALL.latents))  # a line goes on as a line
    large = TrainableNetwork(replace(LARGE, lambda_max=1.0))
    large.load_state_dict(grown(small.state_dict(), large.state_dict(), SMALL.lambda_max, 1.0))
    lambdas = level_lambda(torch.arange(64), 1.0)
    torch.testing.assert_close(large.gain.table()[64:, 0], torch.log(lambdas / 6e-4) / math.log(0.3 / 6e-4) * 9)
    before, after = small.z_scale.table(), large.z_scale.table()[:64]
    torch.testing.assert_close(after[0], before[0])
    torch.testing.assert_close(after[63], before[63])  # not trained for beyond it: as it was there
    middle = round(31.5 * math.log(0.3 / 6e-4) / math.log(1 / 6e-4))  # has the Lagrangian of level 31.5 before
    assert (after[middle] - before[31:33].mean(dim=0)).abs().max() < 0.02
