"""The one residual block everything is made of, and the convolutions it is made with.

Channel mixes keep their weights as matrices: that is the form optimisers such as Muon work on.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..format.constants import GATE_MAX
from .quality import Condition

M = TypeVar("M", bound=nn.Module)


def replaced(module: M, **parts: Any) -> M:
    """A module that shares all with another but the parts named: parameters (as tensors) or modules."""
    copy = module.__class__.__new__(module.__class__)
    copy.__dict__.update(module.__dict__)
    copy._modules, copy._parameters = dict(module._modules), dict(module._parameters)
    for name, part in parts.items():
        if isinstance(part, Tensor):
            copy._parameters[name] = nn.Parameter(part, requires_grad=False)
        else:
            copy._modules[name] = part
    return copy


def tiling_convolution(x: Tensor, filters: Tensor, bias: Tensor | None) -> Tensor:
    """`F.conv2d` with kernels that tile `x [B, C, H, W]`: their stride is their size.

    For one picture on one thread torch passes oneDNN by and takes its own convolution, which takes twice as long.
    """
    stride = filters.shape[2:]
    if (x.dtype == torch.float32 and x.device.type == "cpu" and x.numel() and not torch.is_grad_enabled()
            and torch.get_num_threads() == 1 and torch.backends.mkldnn.enabled and torch.backends.mkldnn.is_available()
            and not torch.jit.is_tracing()):
        return torch.mkldnn_convolution(x, filters, bias, (0, 0), stride, (1, 1), 1)
    return F.conv2d(x, filters, bias, stride=stride)


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
        return tiling_convolution(x, self.filters(), self.bias)


class Block(nn.Module):
    """A spatial and a channel residual: `[B, C, H, W]` to the same shape.

    `x + 1x1(dw(silu(1x1(x))))`, then `x + 1x1(silu(u) * clamp(v))` where `u, v` are the halves of a 1x1 to 2C (a
    gated linear unit, Shazeer 2020). Without the clamp, products of products grow without limit from block to block;
    trained gates of the transforms stay within it by themselves. The last 1x1 of each residual starts at zero: a new
    block is the identity, so a trained network can be deepened without losing what it knows.

    Args:
        kernel: side of the depthwise convolution.
        tunes: if not zero, the input of the last 1x1 of each residual is scaled and shifted by level and tune.
    """

    spatial: Condition | None
    channel: Condition | None

    def __init__(self, channels: int, kernel: int = 3, tunes: int = 0) -> None:
        super().__init__()
        self.enter = Pointwise(channels, channels)
        self.depthwise = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.leave = Pointwise(channels, channels, zero=True)
        self.gate = Pointwise(channels, 2 * channels)
        self.mix = Pointwise(channels, channels, zero=True)
        self.spatial = Condition(channels, tunes) if tunes else None
        self.channel = Condition(channels, tunes) if tunes else None

    @property
    def radius(self) -> int:
        """How many rows above and below a row its result depends on."""
        return int(self.depthwise.kernel_size[0]) // 2

    def forward(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        """The result has the type of `x`: with bfloat16 weights a float32 `x` keeps what the residuals are added to
        exact. `level`: operating points `[B]`, for a block that is conditioned."""
        spread = self.depthwise(self.hidden(x))
        if self.spatial is not None:
            assert level is not None
            spread = self.spatial(spread, level)
        x = x + self.leave(spread)
        return x + self._channel(x, level)

    def hidden(self, x: Tensor) -> Tensor:
        """What the spatial residual has before its depthwise convolution."""
        return F.silu(self.enter(x), inplace=not torch.is_grad_enabled())

    def _channel(self, x: Tensor, level: Tensor | None) -> Tensor:
        if x.is_cuda and not torch.is_grad_enabled():
            from aecodec.kernels import gated_activation

            gated = gated_activation(self.gate(x), limit=GATE_MAX)
        else:
            u, v = self.gate(x).chunk(2, dim=1)
            gated = F.silu(u) * F.hardtanh(v, -GATE_MAX, GATE_MAX)  # a clamp whose backward is vectorised
        if self.channel is not None:
            assert level is not None
            gated = self.channel(gated, level)
        return self.mix(gated)

    @torch.no_grad()
    def at(self, level: int) -> Block:
        """The block at one operating point, with its conditions folded into the depthwise convolution and the last
        1x1; these two may be in float32, the folded ones have the type of the others."""
        if self.spatial is None or self.channel is None:
            return self
        point = torch.tensor([level], device=self.enter.weight.device)
        dtype = self.enter.weight.dtype
        gain, bias = (vector.flatten() for vector in self.spatial.vectors(point))
        assert self.depthwise.bias is not None
        depthwise = replaced(self.depthwise, weight=(self.depthwise.weight * gain[:, None, None, None]).to(dtype),
                             bias=(self.depthwise.bias * gain + bias).to(dtype))
        gain, bias = (vector.flatten() for vector in self.channel.vectors(point))
        mix = replaced(self.mix, weight=(self.mix.weight * gain).to(dtype),
                       bias=(self.mix.bias + self.mix.weight @ bias).to(dtype))
        return replaced(self, depthwise=depthwise, mix=mix, spatial=None, channel=None)

    def finish(self, x: Tensor, hidden: Tensor, above: Tensor | None, below: Tensor | None) -> Tensor:
        """The result of a block that is not conditioned (see `at`) for a strip of rows, written over `x`.

        Args:
            x: the strip.
            hidden: what `hidden` gave for it.
            above, below: the `radius` rows of `hidden` next to the strip, or as many as there are; None at the edge of
                the picture.
        """
        kernel = self.depthwise
        if above is None and below is None:
            spread = kernel(hidden)
        else:
            rows = [hidden if part is hidden else self._padded(hidden, part, part is above)
                    for part in (above, hidden, below)]
            spread = F.conv2d(torch.cat(rows, dim=2), kernel.weight, kernel.bias, padding=(0, self.radius),
                              groups=kernel.groups)
        x += self.leave(spread)
        x += self._channel(x, None)
        return x

    def _padded(self, hidden: Tensor, rows: Tensor | None, above: bool) -> Tensor:
        """`radius` rows, the outer ones zero where there are fewer."""
        missing = self.radius - (0 if rows is None else rows.shape[2])
        if not missing:
            assert rows is not None
            return rows
        zeros = torch.zeros_like(hidden[:, :, :1]).expand(-1, -1, missing, -1)
        parts = [zeros] if rows is None else [zeros, rows] if above else [rows, zeros]
        return torch.cat(parts, dim=2)


def folded(blocks: nn.ModuleList, level: int) -> nn.ModuleList:
    """Blocks at one operating point: see `Block.at`."""
    return nn.ModuleList(block.at(level) for block in blocks if isinstance(block, Block))
