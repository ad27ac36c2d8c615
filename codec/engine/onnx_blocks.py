"""Residual blocks for a part of a picture's rows, in torch, as `onnx_parts` makes graphs of them.

- `StripBlock` takes strips in their order. Rows whose result waits for those below go out of the graph as a state, and
  come back in with the next strip: every row is computed once.
- `WindowBlock` takes a strip with the rows next to it: for the context, where what is next depends on the result.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..network.blocks import Block, replaced


class _Given(nn.Module):
    """A convolution whose weight and bias are given, not its own."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.tensors = weight, bias

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, *self.tensors)


def _finish(block: Block, x: Tensor, hidden: Tensor, folded: Sequence[Tensor]) -> Tensor:
    """A block's result for rows `x`.

    Args:
        hidden: what the block's `hidden` gave for them and for the rows next to them.
        folded: of a block that is conditioned: see `FOLDED`.
    """
    kernel = block.depthwise
    weight, bias = folded[:2] or (kernel.weight, kernel.bias)
    x = x + block.leave(F.conv2d(hidden, weight, bias, padding=(0, block.radius), groups=kernel.groups))
    if folded:
        block = replaced(block, mix=_Given(*folded[2:]), channel=None)
    return x + block._channel(x, None)


class StripBlock:
    """A block for one strip after another.

    Args:
        columns: of its input, for each column of the coarsest layer in the graph.
        hold: how many rows wait for the next strip: the block's halo, or more where a layer behind it takes rows in
            twos or fours.
    """

    def __init__(self, block: nn.Module, columns: int, hold: int | None = None) -> None:
        assert isinstance(block, Block)
        self.block, self.columns = block, columns
        self.hold = block.radius if hold is None else hold

    def __call__(self, x: Tensor, hidden_state: Tensor, state: Tensor, last: Tensor,
                 folded: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """
        Args:
            x: a strip `[1, C, rows, w]`.
            hidden_state, state: what the last call gave; `[1, C, halo, w]` zeros and `[1, C, 0, w]` at first.
            last: 1 for the last strip, else 0: a scalar integer.
            folded: see `_finish`.

        Returns:
            The rows that are ready, and both states.
        """
        halo = self.block.radius
        hidden = self.block.hidden(x)
        hidden = torch.cat([hidden_state, hidden, *[hidden[:, :, :last] * 0] * halo], dim=2)
        x = torch.cat([state, x], dim=2)
        ready = x.shape[2] - self.hold * (1 - last)
        used = hidden if self.hold == halo else hidden[:, :, :ready + 2 * halo]
        return _finish(self.block, x[:, :, :ready], used, folded), hidden[:, :, ready:], x[:, :, ready:]


class WindowBlock:
    """A block for a strip that has `above` and `below` rows of others next to it: its halo, or 0 at the edge of the
    picture."""

    def __init__(self, block: nn.Module) -> None:
        assert isinstance(block, Block)
        self.block = block

    def __call__(self, x: Tensor, above: Tensor, below: Tensor, folded: Sequence[Tensor]) -> Tensor:
        hidden = self.block.hidden(x)
        edge = (hidden[:, :, :1] * 0).expand(-1, -1, self.block.radius, -1)
        hidden = torch.cat([edge[:, :, above:], hidden, edge[:, :, below:]], dim=2)
        return _finish(self.block, x[:, :, above:x.shape[2] - below], hidden, folded)
