"""A network that grows computes what it computed, and then learns more."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from aecodec.network.model import ModelConfig, TrainableNetwork
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
