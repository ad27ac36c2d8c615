"""Four-part mean context: every step predicts a quarter of the latents from z and the quarters already known.

The latents are split into four channel groups and the four phases of a 2x2 lattice (as the quadtree partition of
DCVC-DC, Li et al., CVPR 2023). In step s, group g is known at phase `ORDER[(s + g) % 4]`: each step touches every
position and every group, so its neighbours in space and in channels inform the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aecodec.kernels import Part, coded_parts

from ..format.constants import GROUPS, STEPS
from .blocks import Block, Pointwise
from .quality import LevelVector
from .strips import Strips, through


def step_of(latents: int, height: int, width: int, device: torch.device | None = None) -> Tensor:
    """`[latents, height, width]` uint8: the step in which each latent becomes known."""
    steps = torch.empty(latents, height, width, dtype=torch.uint8)
    for step, groups in enumerate(GROUPS):
        for part in coded_parts(latents, groups):
            steps[part[1:]] = step
    return steps.to(device)


class Means:
    """The means of one step, computed for as many latents as are asked for."""

    def __init__(self, head: Pointwise, x: Tensor) -> None:
        self._head, self._x = head, x

    def all(self) -> Tensor:
        """`[B, M, h, w]`, of which the step's quarter counts."""
        return self._head(self._x)

    def of(self, part: Part) -> Tensor:
        """The means of one of the step's `coded_parts`: a quarter of the work of all of them."""
        _, channels, rows, columns = part
        x = self._x[:, :, rows, columns]
        if not x.numel():  # a picture of one row or column of latents has no odd phases
            return x.new_zeros(x.shape[0], channels.stop - channels.start, *x.shape[2:])
        return F.conv2d(x, self._head.filters()[channels], self._head.bias[channels])


class MeanContext(nn.Module):
    """Means of the latents, step by step, in the latents' own units (before the quality level's gain)."""

    heads: Any  # a ModuleList of Pointwise

    def __init__(self, latents: int, width: int) -> None:
        super().__init__()
        if latents % STEPS:
            raise ValueError(f"latents must be a multiple of {STEPS}, not {latents}")
        self.known = nn.ModuleList(Pointwise(latents, width) for _ in range(STEPS - 1))
        self.gain = LevelVector(width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(STEPS))
        self.heads = nn.ModuleList(Pointwise(width, latents, zero=True) for _ in range(STEPS))

    def forward(self, features: Tensor, level: Tensor, code: Callable[[int, Means], Tensor]) -> Tensor:
        """Run the four steps.

        Args:
            features: `[B, width, h, w]` from the mean decoder.
            level: `[B]` quality levels.
            code: called as `code(step, means)` with the means on offer; gives the latents `[B, M, h, w]` known after
                the step, zero where still unknown.

        Returns:
            `[B, M, h, w]`: the latents after the last step.
        """
        x = features * self.gain(level).to(features.dtype)
        x = self.blocks[0](x)
        latents = code(0, Means(self.heads[0], x))
        for step in range(1, STEPS):
            x = self.blocks[step](x + self.known[step - 1](latents.to(x.dtype)))
            latents = code(step, Means(self.heads[step], x))
        return latents

    def strips(self, features: Strips, level: Tensor, code: Callable[[int, int, Means], Tensor]) -> Iterator[int]:
        """The same strip by strip, without gradients.

        Args:
            features: strips of even height (but for the last), which are overwritten.
            level: `[B]` quality levels.
            code: called as `code(step, n, means)` for the n-th strip; gives the latents of that strip that are known
                after the step, zero where still unknown.

        Yields:
            The number of every strip whose four steps are done.
        """
        gain = self.gain(level)
        x: Strips = (strip * gain for strip in features)
        for step in range(STEPS):
            x = self._step(step, x, code)
        return (n for n, _ in enumerate(x))

    def _step(self, step: int, strips: Strips, code: Callable[[int, int, Means], Tensor]) -> Strips:
        for n, x in enumerate(through(self.blocks[step:step + 1], strips)):
            latents = code(step, n, Means(self.heads[step], x))
            if step < STEPS - 1:
                x += self.known[step](latents)
            yield x
