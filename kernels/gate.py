"""The gated activation of the residual block, `silu(u) * clamp(v)`, with the bias before it, in one pass.

With u, v the halves of x (plus bias) along the channels, v clamped to +-limit, and s = 1 / (1 + exp(-u)):

    y = u s v

The Triton kernels compute in float32 and round once, to the dtype of x. With e = 2^-24, 2^-11 or 2^-8 for float32,
float16 or bfloat16, their error is at most (e + 2^-23 (8 + |u|)) |y|, plus half the smallest number of the dtype and,
with a bias, 2^-22 (|u| + |x_u|) |v| + 2^-24 |u| (|v| + |x_v|) for its rounding. The torch reference works in the dtype
of x: its error is up to 5 e (1 + |u|) |v| with the sum x + bias rounded too.

Source: Shazeer, "GLU Variants Improve Transformer" (2020), SwiGLU.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from . import backend
from .backend import as_planes, blocks, check, laid_out_like, launch, new_like, plane_strides, tl, triton

FLOATS = (torch.float32, torch.bfloat16, torch.float16)
POSITIONS, CHANNELS = 32, 64  # of a program

if triton is not None:
    from .backend import tile

    @triton.jit(do_not_specialize=("positions",))
    def _gate_kernel(
        x, bias, out, x_sample, x_channel, x_position, o_sample, o_channel, o_position, channels, positions, limit,
        BIAS: tl.constexpr, POSITIONS: tl.constexpr, CHANNELS: tl.constexpr,
    ):
        sample, position, channel = tile(positions, channels, POSITIONS, CHANNELS)
        inside = (position < positions)[:, None] & (channel < channels)[None, :]
        position = position.to(tl.int64)[:, None]
        channel = channel.to(tl.int64)[None, :]
        source = x + sample * x_sample + position * x_position
        u = tl.load(source + channel * x_channel, inside, 0.0).to(tl.float32)
        v = tl.load(source + (channels + channel) * x_channel, inside, 0.0).to(tl.float32)
        if BIAS:
            u += tl.load(bias + channel, channel < channels, 0.0).to(tl.float32)
            v += tl.load(bias + channels + channel, channel < channels, 0.0).to(tl.float32)
        v = tl.where(v > limit, limit, tl.where(v < -limit, -limit, v))  # what is not a number stays so
        y = u * tl.sigmoid(u) * v
        target = out + sample * o_sample + position * o_position + channel * o_channel
        tl.store(target, y.to(out.dtype.element_ty), inside)


def gated_activation_triton(x: Tensor, bias: Tensor | None = None, limit: float = math.inf) -> Tensor:
    """`gated_activation` by the Triton kernel."""
    batch, channels, height, width = x.shape[0], x.shape[1] // 2, x.shape[2], x.shape[3]
    out = new_like(x, channels, x.dtype)
    if out.numel():
        source = as_planes(x)
        launch(_gate_kernel, batch * blocks(height * width, POSITIONS) * blocks(channels, CHANNELS),
               source, source if bias is None else bias.contiguous(), out,
               *(plane_strides(source) or ()), *(plane_strides(out) or ()),
               channels, height * width, limit, BIAS=bias is not None, POSITIONS=POSITIONS, CHANNELS=CHANNELS)
    return out


def gated_activation_reference(x: Tensor, bias: Tensor | None = None, limit: float = math.inf) -> Tensor:
    """`gated_activation` in plain torch."""
    biased = x if bias is None else x + bias.to(x.dtype)[:, None, None]
    u, v = biased.chunk(2, dim=1)
    return laid_out_like(F.silu(u) * (v if limit == math.inf else v.clamp(-limit, limit)), x)


@torch.library.custom_op("aecodec::gated_activation", mutates_args=())
def _gated_activation(x: Tensor, bias: Tensor | None, limit: float) -> Tensor:
    run = gated_activation_triton if backend.use_triton(x) else gated_activation_reference
    return run(x, bias, limit)


@_gated_activation.register_fake
def _(x, bias, limit):
    return new_like(x, x.shape[1] // 2, x.dtype)


def gated_activation(x: Tensor, bias: Tensor | None = None, limit: float = math.inf) -> Tensor:
    """`silu(u) * clamp(v)` of the halves u, v of `x + bias` along the channels.

    Args:
        x: `[B, 2C, H, W]` float32, bfloat16 or float16.
        bias: `[2C]` of the preceding convolution, float32 or the dtype of x, if that convolution left it out.
        limit: v is clamped to +-limit; not at all by default.

    Returns:
        `[B, C, H, W]` of the dtype and in the layout of x.

    Raises:
        TypeError, ValueError: an argument of another dtype, shape or device; it is named.
    """
    check("x", x, FLOATS, (None, None, None, None))
    if x.shape[1] % 2:
        raise ValueError(f"x must have an even number of channels, not {x.shape[1]}")
    if not limit >= 0:
        raise ValueError(f"limit must not be negative, not {limit}")
    if bias is not None:
        check("bias", bias, (torch.float32, x.dtype), x.shape[1:2], x)
    return _gated_activation(x, bias, float(limit))
