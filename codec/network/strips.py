"""Layers that work on a picture strip by strip of rows, from top to bottom, each strip going through all of them.

What lies between two layers then stays in the cache, no large tensor is allocated (whose page faults would cost as much
as the arithmetic), and the memory that is needed does not grow with the height. Every row is computed once, from the
same values as in the whole picture.

A picture in strips is an iterator of tensors `[B, C, rows, W]`, of which all but the last have as many rows as the
widest layer looks up or down, or more. Layers are generators: they take one and are one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from .blocks import Block

Strips = Iterator[Tensor]


def through(blocks: Iterable[nn.Module], strips: Iterable[Tensor]) -> Strips:
    """Strips after some blocks. The strips that go in are overwritten."""
    for block in blocks:
        assert isinstance(block, Block)
        strips = _through(block, strips)
    return iter(strips)


def _through(block: Block, strips: Iterable[Tensor]) -> Strips:
    above: Tensor | None = None
    held: tuple[Tensor, Tensor] | None = None  # a strip waits for the row below it
    for x in strips:
        hidden = block.hidden(x)
        if held is not None:
            yield block.finish(*held, above, hidden[:, :, :block.radius])
            above = held[1][:, :, -block.radius:]
        held = x, hidden
    if held is not None:
        yield block.finish(*held, above, None)


def split(x: Tensor, rows: int) -> Strips:
    """Views of `rows` rows each; the last may have fewer."""
    return iter(torch.split(x, rows, dim=2))
