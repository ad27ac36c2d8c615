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

from aecodec.kernels import Part, coded_parts

from ..format.constants import GROUPS, STEPS, TABLES
from .blocks import Block, Pointwise, folded, replaced, tiling_convolution
from .quality import GainVector
from .strips import Strips, through


def step_of(latents: int, height: int, width: int, device: torch.device | None = None) -> Tensor:
    """`[latents, height, width]` uint8: the step in which each latent becomes known."""
    steps = torch.empty(latents, height, width, dtype=torch.uint8)
    for step, groups in enumerate(GROUPS):
        for part in coded_parts(latents, groups):
            steps[part[1:]] = step
    return steps.to(device)


class Means:
    """The means of one step, computed for as many latents as are asked for, and the corrections that go with them.

    A symbol says in which step of the quantiser a latent lies, not where in it: near zero, on the side of zero as a
    rule. A correction is by how much of a step a latent lies above the middle, for a symbol of 1: within +-1/2, the
    same for larger symbols, the other way for negative ones, none for 0. (As latent residual prediction, Minnen and
    Singh, "Channel-wise Autoregressive Entropy Models for Learned Image Compression", ICIP 2020.)
    """

    def __init__(self, head: Pointwise, x: Tensor, corrector: Pointwise | None = None) -> None:
        self._head, self._x, self._corrector = head, x, corrector

    def all(self) -> Tensor:
        """`[B, M, h, w]`, of which the step's quarter counts."""
        return self._head(self._x)

    def of(self, part: Part) -> Tensor:
        """The means of one of the step's `coded_parts`: a quarter of the work of all of them."""
        return self._of(self._head, part)

    def corrections(self) -> Tensor | None:
        """`[B, M, h, w]`, of which the step's quarter counts; None of a model without them."""
        return None if self._corrector is None else 0.5 * torch.tanh(self._corrector(self._x))

    def corrections_of(self, part: Part) -> Tensor | None:
        """The corrections of one of the step's `coded_parts`."""
        return None if self._corrector is None else self._of(self._corrector, part).tanh_().mul_(0.5)

    def _of(self, head: Pointwise, part: Part) -> Tensor:
        _, channels, rows, columns = part
        x = self._x[:, :, rows, columns]
        if not x.numel():  # a picture of one row or column of latents has no odd phases
            return x.new_zeros(x.shape[0], channels.stop - channels.start, *x.shape[2:])
        return tiling_convolution(x, head.filters()[channels], head.bias[channels])


#: Codes a step: `code(step, n, means)` for the n-th strip, with the means on offer, gives the latents `[B, M, rows, w]`
#: of that strip that are known after the step, zero where still unknown.
Code = Callable[[int, int, Means], Tensor]


class MeanContext(nn.Module):
    """Means of the latents, step by step, in the latents' own units (before the quality level's gain).

    Args:
        informed: correct latents within their steps, and tell the synthesis what the entropy model knows.
    """

    heads: Any  # ModuleLists of Pointwise
    correctors: Any

    def __init__(self, latents: int, width: int, kernel: int = 3, tunes: int = 1, conditioned: bool = False,
                 informed: bool = False) -> None:
        super().__init__()
        if latents % STEPS:
            raise ValueError(f"latents must be a multiple of {STEPS}, not {latents}")
        self.known = nn.ModuleList(Pointwise(latents, width) for _ in range(STEPS - 1))
        self.gain = GainVector(width, tunes=tunes)
        self.blocks = nn.ModuleList(Block(width, kernel, tunes if conditioned else 0) for _ in range(STEPS))
        self.heads = nn.ModuleList(Pointwise(width, latents, zero=True) for _ in range(STEPS))
        self.correctors = nn.ModuleList(Pointwise(width, latents, zero=True) for _ in range(STEPS if informed else 0))
        self.side = Pointwise(width + latents, latents, zero=True) if informed else None

    def _means(self, step: int, x: Tensor) -> Means:
        return Means(self.heads[step], x, self.correctors[step] if len(self.correctors) else None)

    def forward(self, features: Tensor, level: Tensor, code: Code) -> tuple[Tensor, Tensor]:
        """Run the four steps.

        Args:
            features: `[B, width, h, w]` from the mean decoder.
            level: `[B]` operating points.
            code: called for the one strip there is, number 0.

        Returns:
            `[B, M, h, w]`: the latents after the last step; `[B, width, h, w]`: the features they came from.
        """
        x = features * self.gain(level).to(features.dtype)
        x = self.blocks[0](x, level)
        latents = code(0, 0, self._means(0, x))
        for step in range(1, STEPS):
            x = self.blocks[step](x + self.known[step - 1](latents.to(x.dtype)), level)
            latents = code(step, 0, self._means(step, x))
        return latents, x

    def inform(self, latents: Tensor, features: Tensor, index: Tensor) -> Tensor:
        """What the synthesis gets: latents, and beside them what the entropy model knows.

        Args:
            latents: `[B, M, h, w]` after the last step.
            features: `[B, width, h, w]` after the last step.
            index: tables `[B, M, h, w]`.
        """
        if self.side is None:
            return latents
        known = torch.cat([features, index.to(features.dtype) / TABLES], dim=1)
        return latents + self.side(known).to(latents.dtype)

    def at(self, level: int) -> MeanContext:
        """The same at one operating point, as `strips` needs it."""
        return replaced(self, blocks=folded(self.blocks, level))

    def strips(self, features: Strips, level: Tensor, code: Code) -> Iterator[tuple[int, Tensor]]:
        """The same strip by strip, without gradients.

        Args:
            features: strips of even height (but for the last), which are overwritten.
            level: `[B]` operating points.
            code: called for every strip.

        Yields:
            The number of every strip whose four steps are done, and its features after the last step.
        """
        gain = self.gain(level)
        x: Strips = (strip * gain for strip in features)
        for step in range(STEPS):
            x = self._step(step, x, code)
        return enumerate(x)

    def _step(self, step: int, strips: Strips, code: Code) -> Strips:
        for n, x in enumerate(through(self.blocks[step:step + 1], strips)):
            latents = code(step, n, self._means(step, x))
            if step < STEPS - 1:
                x += self.known[step](latents)
            yield x
