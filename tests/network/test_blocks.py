"""The residual block."""

from __future__ import annotations

import torch

from aecodec.format.constants import (
    GATE_MAX,
)
from aecodec.network.blocks import (
    Block,
)
from aecodec.network.strips import split, through


def test_a_new_block_is_the_identity():
    torch.manual_seed(3)
    x = torch.randn(2, 24, 5, 7)
    block = Block(24)
    with torch.no_grad():
        assert torch.equal(block(x.clone()), x)
        for rows in (1, 2, 5):
            assert torch.equal(torch.cat(list(through([block], split(x.clone(), rows))), dim=2), x)


def test_the_gate_of_a_block_is_bounded():
    torch.manual_seed(4)
    block = Block(8)
    with torch.no_grad():
        block.mix.weight.copy_(torch.eye(8))
        block.gate.weight.mul_(1e4)
        x = torch.randn(1, 8, 4, 4)
        u, v = block.gate(x).chunk(2, dim=1)
        assert float(v.abs().max()) > GATE_MAX
        wanted = x + torch.nn.functional.silu(u) * v.clamp(-GATE_MAX, GATE_MAX)
        torch.testing.assert_close(block(x.clone()), wanted)
