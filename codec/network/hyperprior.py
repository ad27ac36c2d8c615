"""Hyper-latents z, the mean decoder, and the integer scale decoder that alone decides how a symbol is coded.

The scale decoder turns z into the index of one of 64 probability tables for every latent (after Balle et al.,
"Integer Networks for Data Compression with Latent-Variable Models", ICLR 2019). Its activations are 0..255 and its
weights -127..127, integers held in float32. Such factors are exact even where a float32 convolution is done in TF32 or
bfloat16 (`torch.set_float32_matmul_precision("medium")` does that to all convolutions of a process), and sums are exact
in any order while they stay below 2^24. So every machine computes the same index. `ScaleDecoder` is the trainable form,
which computes the very same numbers with straight-through gradients; `IntegerScaleDecoder` is what is shipped.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..format.constants import (
    ACTIVATION_BITS,
    ACTIVATION_MAX,
    BIAS_MAX,
    LEVELS,
    MAX_FAN_IN,
    OFFSET_BITS,
    TABLES,
    WEIGHT_MAX,
    Z_CLAMP,
    Z_STEP,
    scale_layers,
)
from .blocks import Block, Pointwise, tiling_convolution
from .quality import GainVector, LevelVector
from .strips import Strips, through

SIGMA_MIN = 0.12  # standard deviation of table 1; table 0 means "always zero"
SIGMA_MAX = 220.0
INDEX_STEP = math.log2(SIGMA_MAX / SIGMA_MIN) / (TABLES - 2)  # log2 of the ratio of neighbouring tables

Z_STEP_MAX = 255
OFFSET_STEPS = 1 << OFFSET_BITS


def log2_sigma(index: Tensor) -> Tensor:
    """The log2 standard deviation of (fractional) table indices."""
    return (index - 1) * INDEX_STEP + math.log2(SIGMA_MIN)


def signed_log(x: Tensor) -> Tensor:
    """`asinh(x)`, from vectorised functions and in float32: `torch.asinh` takes three times as long on a CPU."""
    magnitude = x.float().abs()
    return torch.log(magnitude + torch.sqrt(magnitude * magnitude + 1)).copysign(x).to(x.dtype)


class HyperAnalysis(nn.Module):
    """Gained latents `[B, M, h, w]` (h, w multiples of 4) to unrounded hyper-latents `[B, Z, h/4, w/4]`."""

    def __init__(self, latents: int, width: int, hyper: int) -> None:
        super().__init__()
        self.enter = Pointwise(latents, width)
        self.blocks = nn.ModuleList([Block(width), Block(width)])
        self.down = Pointwise(width, width, 2)
        self.leave = Pointwise(width, hyper, 2)

    def forward(self, latents: Tensor) -> Tensor:
        # Latents span four decades; what matters to their scale is the order of magnitude.
        x = self.blocks[0](self.enter(signed_log(latents)))
        x = self.blocks[1](self.down(x))
        return 4.0 * self.leave(x)  # the start must span several integers, or rounding leaves nothing to learn from

    def strips(self, latents: Strips) -> Strips:
        """The same strip by strip (of multiples of 4 rows), without gradients."""
        x = through(self.blocks[:1], (self.enter(signed_log(strip)) for strip in latents))
        x = through(self.blocks[1:], (self.down(strip) for strip in x))
        return (4.0 * self.leave(strip) for strip in x)


class MeanDecoder(nn.Module):
    """Dequantised hyper-latents `[B, Z, h/4, w/4]` (multiples of their steps) to the features `[B, width, h, w]` from
    which the context model starts."""

    def __init__(self, hyper: int, width: int) -> None:
        super().__init__()
        self.enter = Pointwise(hyper, width)
        self.up = nn.ModuleList([Pointwise(width, 4 * width), Pointwise(width, 4 * width)])
        self.blocks = nn.ModuleList([Block(width), Block(width)])

    def forward(self, z: Tensor) -> Tensor:
        x = self.blocks[0](self.enter(z / 2**ACTIVATION_BITS))
        x = self.blocks[1](F.pixel_shuffle(self.up[0](F.silu(x)), 2))
        return F.pixel_shuffle(self.up[1](F.silu(x)), 2)

    def strips(self, z: Strips) -> Strips:
        """The same strip by strip, without gradients."""
        x = through(self.blocks[:1], (self.enter(strip / 2**ACTIVATION_BITS) for strip in z))
        x = through(self.blocks[1:], (F.pixel_shuffle(self.up[0](F.silu(strip)), 2) for strip in x))
        return (F.pixel_shuffle(self.up[1](F.silu(strip)), 2) for strip in x)


class _RoundStraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[override]
        return torch.floor(x + 0.5)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad


def round_half_up(x: Tensor) -> Tensor:
    """`floor(x + 0.5)` with the gradient of the identity: the rounding an arithmetic shift does."""
    return _RoundStraightThrough.apply(x)


class ScaleLayer(nn.Module):
    """One convolution of the scale decoder: per-channel int8 weights, a power-of-two rescale, an optional ReLU.

    With shift `k` of an output channel chosen so that `|w| 2^k <= 127` and the bias fits, the layer computes
    `floor((sum w_int a_int + b_int) / 2^k + 1/2)`: an integer activation again.
    """

    def __init__(self, inputs: int, outputs: int, depthwise: bool = False, relu: bool = True) -> None:
        super().__init__()
        if not depthwise and inputs > MAX_FAN_IN:
            raise ValueError(f"fan-in {inputs} above {MAX_FAN_IN} would not be exact in float32")
        self.depthwise = depthwise
        self.relu = relu
        self.weight = nn.Parameter(torch.zeros(outputs, 9 if depthwise else inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        if depthwise:
            self.weight.data[:, 4] = 1.0  # the identity
        else:
            nn.init.uniform_(self.weight, -1 / math.sqrt(inputs), 1 / math.sqrt(inputs))

    def shift(self) -> Tensor:
        """`[outputs]`: the largest k within 0..16 for which weights and bias fit their integers."""
        peak = self.weight.detach().abs().amax(dim=1).clamp_min(1e-6)
        bias = self.bias.detach().abs().clamp_min(1e-6) * 2**ACTIVATION_BITS
        return torch.floor(torch.log2(torch.minimum(WEIGHT_MAX / peak, BIAS_MAX / bias))).clamp(0, 16)

    def integers(self) -> tuple[Tensor, Tensor, Tensor]:
        """`(weight, bias, shift)` of the shipped layer, integer-valued float32 that carry gradients."""
        shift = self.shift()
        unit = torch.exp2(shift)
        weight = round_half_up(self.weight * unit[:, None]).clamp(-WEIGHT_MAX, WEIGHT_MAX)
        bias = round_half_up(self.bias * unit * 2**ACTIVATION_BITS).clamp(-BIAS_MAX, BIAS_MAX)
        return weight, bias, shift

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The layer's convolution with the given `weight` matrix and `bias`."""
        if self.depthwise:
            return F.conv2d(x, weight.view(-1, 1, 3, 3), bias, padding=1, groups=weight.shape[0])
        return F.conv2d(x, weight[:, :, None, None], bias)

    def forward(self, x: Tensor, quantised: bool = True) -> Tensor:
        """Integer-valued activations to integer-valued activations (or, not quantised, to their real-valued kin)."""
        if quantised:
            weight, bias, shift = self.integers()
            x = round_half_up(self.convolve(x, weight, bias) * torch.exp2(-shift)[:, None, None])
        else:
            x = self.convolve(x, self.weight, self.bias * 2**ACTIVATION_BITS)
        return x.clamp(0, ACTIVATION_MAX) if self.relu else x


class ScaleDecoder(nn.Module):
    """Rounded hyper-latents `[B, Z, h/4, w/4]` to fractional-free table indices `[B, M, h, w]`, trainable."""

    layers: Any  # a ModuleList of ScaleLayer

    def __init__(self, hyper: int, latents: int, tunes: int = 1) -> None:
        super().__init__()
        shapes = scale_layers(hyper, latents)
        self.layers = nn.ModuleList(
            ScaleLayer(inputs, outputs, depthwise, relu=i < len(shapes) - 1)
            for i, (inputs, outputs, depthwise, _) in enumerate(shapes))
        self.shuffles = [shuffle for *_, shuffle in shapes]
        self.offset = LevelVector(latents, tunes=tunes)
        self.finer = LevelVector(hyper, tunes=tunes)  # log2 of how much finer than `Z_STEP` a level quantises z

    def steps(self, level: Tensor) -> Tensor:
        """`level [B]` to the steps `[B, Z, 1, 1]` of z, integers with a gradient."""
        return round_half_up(Z_STEP * torch.exp2(-self.finer.log2(level))).clamp(1, Z_STEP_MAX)

    def offsets(self, gain: GainVector) -> Tensor:
        """`[points, M]`: by how many quarters of an index each operating point shifts a latent's table."""
        return (gain.table() + self.offset.table()) * (OFFSET_STEPS / INDEX_STEP)

    def forward(self, z: Tensor, level: Tensor, gain: GainVector, quantised: bool = True) -> Tensor:
        """Table indices within 0..63. With `quantised=False`, what the network gives before any rounding."""
        x = (z * self.steps(level)).clamp(-Z_CLAMP, Z_CLAMP)
        for layer, shuffle in zip(self.layers, self.shuffles, strict=True):
            x = layer(x, quantised)
            if shuffle:
                x = F.pixel_shuffle(x, 2)
        offset = (gain.log2(level) + self.offset.log2(level)) * (OFFSET_STEPS / INDEX_STEP)
        if not quantised:
            return ((x + offset) / OFFSET_STEPS).clamp(0, TABLES - 1)
        x = round_half_up((x + round_half_up(offset)) / OFFSET_STEPS)
        # Clamp the value but let the gradient through where it leads back inside the range.
        return x + (x.clamp(0, TABLES - 1) - x).detach() if self.training else x.clamp(0, TABLES - 1)

    @torch.no_grad()
    def freeze(self, gain: GainVector) -> IntegerScaleDecoder:
        """The shipped form of this network."""
        points = len(self.offset.interpolation)
        frozen = IntegerScaleDecoder(self.layers[0].weight.shape[1], self.layers[-1].weight.shape[0], points // LEVELS)
        for target, layer in zip(frozen.layers, self.layers, strict=True):
            weight, bias, shift = layer.integers()
            target.weight.copy_(weight.view_as(target.weight))
            target.bias.copy_(bias)
            target.shift.copy_(shift)
        frozen.offsets.copy_(torch.floor(self.offsets(gain) + 0.5))
        frozen.steps.copy_(self.steps(torch.arange(points))[:, :, 0, 0])
        return frozen


class IntegerScaleLayer(nn.Module):
    """A frozen `ScaleLayer`: `weight` int8, `bias` int32 and `shift` uint8 buffers. `format/reference_network.py` has
    the normative arithmetic."""

    weight: Tensor
    bias: Tensor
    shift: Tensor

    def __init__(self, inputs: int, outputs: int, depthwise: bool, relu: bool) -> None:
        super().__init__()
        self.groups = inputs if depthwise else 1
        kernel = 3 if depthwise else 1
        self.padding = kernel // 2
        self.relu = relu
        self.register_buffer("weight", torch.zeros(outputs, inputs // self.groups, kernel, kernel, dtype=torch.int8))
        self.register_buffer("bias", torch.zeros(outputs, dtype=torch.int32))
        self.register_buffer("shift", torch.zeros(outputs, dtype=torch.uint8))

    def forward(self, x: Tensor) -> Tensor:
        # The bias needs more than a bfloat16's 8 bits: it is added outside the convolution, in place, with the half
        # that rounds. (Both are exact: sums below 2^24 of multiples of 1/2, and a power of two.)
        weight = self.weight.float()
        x = (F.conv2d(x, weight, padding=self.padding, groups=self.groups) if self.padding
             else tiling_convolution(x, weight, None))
        if x.is_cuda and self.relu:
            from aecodec.kernels import requantise

            return requantise(x, self.bias, self.shift, ACTIVATION_MAX)
        scale = 1.0 / torch.bitwise_left_shift(torch.ones_like(self.bias), self.shift).float()[:, None, None]
        x = x.add_(self.bias.float()[:, None, None]).mul_(scale).add_(0.5).floor_()
        return x.clamp_(0, ACTIVATION_MAX) if self.relu else x


class IntegerScaleDecoder(nn.Module):
    """The shipped scale decoder: symbols of z to table indices, exact on every machine."""

    offsets: Tensor
    steps: Tensor
    layers: Any  # a ModuleList of IntegerScaleLayer

    def __init__(self, hyper: int, latents: int, tunes: int = 1) -> None:
        super().__init__()
        shapes = scale_layers(hyper, latents)
        self.layers = nn.ModuleList(
            IntegerScaleLayer(inputs, outputs, depthwise, relu=i < len(shapes) - 1)
            for i, (inputs, outputs, depthwise, _) in enumerate(shapes))
        self.shuffles = [shuffle for *_, shuffle in shapes]
        self.register_buffer("offsets", torch.zeros(tunes * LEVELS, latents, dtype=torch.int16))
        self.register_buffer("steps", torch.full((tunes * LEVELS, hyper), Z_STEP, dtype=torch.uint8))

    def dequantise(self, z: Tensor, level: int) -> Tensor:
        """Symbols of z times their steps, `[B, Z, h/4, w/4]`: integer-valued float32."""
        return z.float() * self.steps[level].float()[:, None, None]

    @torch.no_grad()
    def forward(self, z: Tensor, level: int) -> Tensor:
        """`z [B, Z, h/4, w/4]` (integer-valued float32) to `[B, M, h, w]` table indices, integer-valued float32."""
        with torch.autocast(z.device.type, enabled=False):
            x = self.dequantise(z, level).clamp_(-Z_CLAMP, Z_CLAMP)
            for layer, shuffle in zip(self.layers, self.shuffles, strict=True):
                x = layer(x)
                if shuffle:
                    x = F.pixel_shuffle(x, 2)
            x = x.add_(self.offsets[level].float()[:, None, None] + OFFSET_STEPS // 2)
            return x.mul_(1 / OFFSET_STEPS).floor_().clamp_(0, TABLES - 1)
