"""The step between the convolutions of the integer scale decoder, exact on every device.

A convolution without its bias gives integers a, held in float32; with the bias b of an output channel, |a| and
|a + b| stay below 2^24, and k (0..16) is the channel's shift. A hidden layer's activation, with its ReLU, is computed
in 32-bit integers, where `>>` rounds towards minus infinity:

    requantise = min(max((a + b + (2^k >> 1)) >> k, 0), maximum)      so that the quotient (a + b) / 2^k is rounded

Source: requantisation as in Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference" (CVPR 2018), with powers of two alone.
"""

import torch
from torch import Tensor

from . import backend
from .backend import as_planes, blocks, check, laid_out_like, launch, new_like, plane_strides, tl, triton

POSITIONS, CHANNELS = 32, 64  # of a program

if triton is not None:
    from .backend import tile

    @triton.jit(do_not_specialize=("positions",))
    def _requantise_kernel(
        accumulators, bias, shift, out,
        a_sample, a_channel, a_position, o_sample, o_channel, o_position, channels, positions,
        MAX: tl.constexpr, POSITIONS: tl.constexpr, CHANNELS: tl.constexpr,
    ):
        sample, position, channel = tile(positions, channels, POSITIONS, CHANNELS)
        inside = (position < positions)[:, None] & (channel < channels)[None, :]
        k = tl.load(shift + channel, channel < channels, 0).to(tl.int32)
        add = (tl.load(bias + channel, channel < channels, 0) + ((1 << k) >> 1))[None, :]
        k = k[None, :]
        position = position.to(tl.int64)[:, None]
        channel = channel.to(tl.int64)[None, :]
        a = tl.load(accumulators + sample * a_sample + position * a_position + channel * a_channel, inside, 0.0)
        rounded = (a.to(tl.int32) + add) >> k
        rounded = tl.minimum(tl.maximum(rounded, 0), MAX)
        tl.store(out + sample * o_sample + position * o_position + channel * o_channel, rounded.to(tl.float32), inside)


def requantise_triton(accumulators: Tensor, bias: Tensor, shift: Tensor, maximum: int) -> Tensor:
    """`requantise` by the Triton kernel."""
    batch, channels, height, width = accumulators.shape
    out = new_like(accumulators, channels, torch.float32)
    if out.numel():
        a = as_planes(accumulators)
        launch(_requantise_kernel, batch * blocks(height * width, POSITIONS) * blocks(channels, CHANNELS),
               a, bias.contiguous(), shift.contiguous(), out, *(plane_strides(a) or ()), *(plane_strides(out) or ()),
               channels, height * width, MAX=maximum, POSITIONS=POSITIONS, CHANNELS=CHANNELS)
    return out


def requantise_reference(accumulators: Tensor, bias: Tensor, shift: Tensor, maximum: int) -> Tensor:
    """`requantise` in plain torch."""
    k = shift.to(torch.int32)
    add = bias + torch.bitwise_right_shift(torch.bitwise_left_shift(torch.ones_like(k), k), 1)
    rounded = accumulators.to(torch.int32).add_(add[:, None, None]).bitwise_right_shift_(k[:, None, None])
    return laid_out_like(rounded.clamp_(0, maximum).to(torch.float32), accumulators)


@torch.library.custom_op("aecodec::requantise", mutates_args=())
def _requantise(accumulators: Tensor, bias: Tensor, shift: Tensor, maximum: int) -> Tensor:
    run = requantise_triton if backend.use_triton(accumulators) else requantise_reference
    return run(accumulators, bias, shift, maximum)


@_requantise.register_fake
def _(accumulators, bias, shift, maximum):
    return new_like(accumulators, accumulators.shape[1], torch.float32)


def requantise(accumulators: Tensor, bias: Tensor, shift: Tensor, maximum: int) -> Tensor:
    """A hidden layer's activations from its accumulators: bias, shift, rounding, ReLU and clamp in one pass.

    Args:
        accumulators: `[B, C, h, w]` float32 that hold integers: the convolution without its bias.
        bias: `[C]` int32.
        shift: `[C]` uint8, 0..16.
        maximum: the largest activation.

    Returns:
        `[B, C, h, w]` float32 that hold integers 0..maximum, in the layout of `accumulators`.

    Raises:
        TypeError, ValueError: an argument of another dtype, shape or device; it is named.
    """
    _check(accumulators, bias, shift)
    return _requantise(accumulators, bias, shift, maximum)


def _check(accumulators: Tensor, bias: Tensor, shift: Tensor) -> None:
    check("accumulators", accumulators, (torch.float32,), (None, None, None, None))
    check("bias", bias, (torch.int32,), accumulators.shape[1:2], accumulators)
    check("shift", shift, (torch.uint8,), accumulators.shape[1:2], accumulators)
