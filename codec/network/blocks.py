"""The one residual block everything is made of, and the convolutions it is made with.

Channel mixes keep their weights as matrices: that is the form optimisers such as Muon work on.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Without a bound, products of products grow without limit from block to block: rare pictures, and sooner or later the
# training, blew up. Trained gates of the transforms stay within +-8 by themselves.
GATE_MAX = 8.0

STRIP_BYTES = 3 << 19  # of a strip of activations: with what is made of it, about a second-level cache


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
    gated linear unit, Shazeer 2020). The last 1x1 of each residual starts at zero: a new block is the identity, so a
    trained network can be deepened without losing what it knows.
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
        exact. Under `torch.inference_mode` on a CPU the result takes the place of `x`."""
        if torch.is_inference_mode_enabled() and x.device.type == "cpu":
            return self._in_place(x)
        x = x + self.leave(self.depthwise(F.silu(self.enter(x))))
        if x.is_cuda and not torch.is_grad_enabled():
            from aecodec.kernels import gated_activation

            return x + self.mix(gated_activation(self.gate(x), limit=GATE_MAX))
        u, v = self.gate(x).chunk(2, dim=1)
        return x + self.mix(F.silu(u) * v.clamp(-GATE_MAX, GATE_MAX))

    def _in_place(self, x: Tensor) -> Tensor:
        """The same, strip by strip of rows: what lies between two layers stays in the cache, and no large tensor is
        allocated, whose page faults cost as much as the arithmetic."""
        height, width = x.shape[2:]
        rows = max(1, STRIP_BYTES // (x.shape[1] * x.element_size() * width * x.shape[0]))
        above: Tensor | None = None  # the row above the strip, as it was
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            strip = x[:, :, top:bottom]
            parts = [strip, x[:, :, bottom:bottom + 1]] if above is None else [above, strip, x[:, :, bottom:bottom + 1]]
            hidden = F.silu(self.enter(torch.cat(parts, dim=2)), inplace=True)
            # The convolution pads with zeros; what it gives for the rows of the neighbours is dropped.
            first = 0 if above is None else 1
            above = strip[:, :, -1:].clone(memory_format=torch.channels_last)
            strip += self.leave(self.depthwise(hidden)[:, :, first:first + bottom - top])
            u, v = self.gate(strip).chunk(2, dim=1)
            strip += self.mix(F.silu(u).mul_(v.clamp(-GATE_MAX, GATE_MAX)))
        return x
