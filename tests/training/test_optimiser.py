"""Which parameter takes which optimiser, and that ours is Muon."""

from __future__ import annotations

import pytest
import torch
from training_helpers import SIZES

from aecodec.network.model import ModelConfig, TrainableNetwork
from aecodec.training import optimiser

CONFIG = ModelConfig.from_dict(SIZES)


def test_every_parameter_has_one_optimiser():
    network = TrainableNetwork(CONFIG)
    matrices, others = optimiser.split_parameters(network)
    assert len(matrices) + len(others) == len(list(network.parameters()))
    assert {id(p) for p in matrices} | {id(p) for p in others} == {id(p) for p in network.parameters()}
    assert all(p.ndim == 2 for p in matrices)
    names = {id(p): name for name, p in network.named_parameters()}
    for name in ("analysis.patches.weight", "synthesis.patches.weight", "gain.knots", "scale_decoder.layers.1.weight"):
        assert name in {names[id(p)] for p in others}
    assert "context.blocks.0.gate.weight" in {names[id(p)] for p in matrices}



@pytest.mark.parametrize("shape", [(3, 20, 20), (2, 10, 40), (2, 40, 10)])
def test_matrices_are_orthogonalised(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(optimiser.orthogonalise(torch.randn(shape)))
    assert float(values.min()) > 0.3
    assert float(values.max()) < 1.35



def test_muon_is_that_of_torch():
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon to compare with")
    torch.manual_seed(1)
    start = [torch.randn(12, 30), torch.randn(12, 30), torch.randn(16, 8)]
    mine, theirs = ([torch.nn.Parameter(w.clone()) for w in start] for _ in range(2))
    optimisers = [optimiser.Muon(mine, lr=0.02, weight_decay=0.1),
                  torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, momentum=0.95, nesterov=True)]
    for _ in range(5):
        for a, b in zip(mine, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        for one in optimisers:
            one.step()
    for a, b, w in zip(mine, theirs, start, strict=True):
        assert float((a - w).detach().abs().max()) > 0.01
        torch.testing.assert_close(a, b, rtol=0, atol=0.002)  # orthogonalised in bfloat16, batched and one by one
