"""The one residual block everything is made of, and the convolutions it is made with.

Channel mixes keep their weights as matrices: that is the form optimisers such as Muon work on.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..format.constants import GATE_MAX


class Pointwise(nn.Module):
    """A 1x1 convolution, or one whose kernel tiles the picture: `weight [outputs, inputs * kernel^2]`.

    Args:
        kernel: side of the kernel, which is also the stride.
        zero: start at zero instead of at random.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, zero: bool = False) -> None:
        super().__init__()
        self.inputs, self.outputs, self.kernel = inputs, outputs, kernel
        fan_in = inputs * kernel * kernel
        self.weight = nn.Parameter(torch.zeros(outputs, fan_in))
        self.bias = nn.Parameter(torch.zeros(outputs))
        if not zero:
            nn.init.uniform_(self.weight, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def filters(self) -> Tensor:
        """The weight as `[outputs, inputs, kernel, kernel]`."""
        return self.weight.view(self.outputs, self.inputs, self.kernel, self.kernel)

    def forward(self, x: Tensor) -> Tensor:
        """A layer whose weights were made bfloat16 takes what it is given as bfloat16, and gives bfloat16."""
        if self.weight.dtype == torch.bfloat16:
            x = x.bfloat16()
        return F.conv2d(x, self.filters(), self.bias, stride=self.kernel)


class Block(nn.Module):
    """A spatial and a channel residual: `[B, C, H, W]` to the same shape.

    `x + 1x1(dw3x3(silu(1x1(x))))`, then `x + 1x1(silu(u) * clamp(v))` where `u, v` are the halves of a 1x1 to 2C (a
    gated linear unit, Shazeer 2020). Without the clamp, products of products grow without limit from block to block;
    trained gates of the transforms stay within it by themselves. The last 1x1 of each residual starts at zero: a new
    block is the identity, so a trained network can be deepened without losing what it knows.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = Pointwise(channels, channels)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.leave = Pointwise(channels, channels, zero=True)
        self.gate = Pointwise(channels, 2 * channels)
        self.mix = Pointwise(channels, channels, zero=True)

    def forward(self, x: Tensor) -> Tensor:
        """The result has the type of `x`: with bfloat16 weights a float32 `x` keeps what the residuals are added to
        exact."""
        x = x + self.leave(self.depthwise(self.hidden(x)))
        return x + self._channel(x)

    def hidden(self, x: Tensor) -> Tensor:
        """What the spatial residual has before its 3x3."""
        return F.silu(self.enter(x), inplace=not torch.is_grad_enabled())

    def _channel(self, x: Tensor) -> Tensor:
        if x.is_cuda and not torch.is_grad_enabled():
            from aecodec.kernels import gated_activation

            return self.mix(gated_activation(self.gate(x), limit=GATE_MAX))
        u, v = self.gate(x).chunk(2, dim=1)
        return self.mix(F.silu(u) * F.hardtanh(v, -GATE_MAX, GATE_MAX))  # a clamp whose backward is vectorised

    def finish(self, x: Tensor, hidden: Tensor, above: Tensor | None, below: Tensor | None) -> Tensor:
        """The block's result for a strip of rows, written over `x`.

        Args:
            x: the strip.
            hidden: what `hidden` gave for it.
            above, below: the rows of `hidden` next to the strip, None at the edge of the picture.
        """
        if above is None and below is None:
            spread = self.depthwise(hidden)
        else:
            edge = torch.zeros_like(hidden[:, :, :1])
            rows = [edge if above is None else above, hidden, edge if below is None else below]
            kernel = self.depthwise
            spread = F.conv2d(torch.cat(rows, dim=2), kernel.weight, kernel.bias, padding=(0, 1), groups=kernel.groups)
        x += self.leave(spread)
        x += self._channel(x)
        return x
