"""The steps between the convolutions of the integer scale decoder, exact on every device.

A convolution without its bias gives integers a, held in float32; with the bias b of an output channel, |a| and
|a + b| stay below 2^24, and k (0..16) is the channel's shift. Both functions work in 32-bit integers, where `>>`
rounds towards minus infinity:

    rounded     = (a + b + (2^k >> 1)) >> k                            = floor((a + b) / 2^k + 1/2)
    requantise  = min(max(rounded, 0), maximum)                        a hidden layer's activation, with its ReLU
    table_index = min(max((rounded + offset + (2^n >> 1)) >> n, 0), tables - 1)    of the last layer, n = offset_bits

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

    @triton.jit(do_not_specialize=("positions",))
    def _table_index_kernel(
        accumulators, bias, shift, offset, out,
        a_sample, a_channel, a_position, o_sample, o_channel, o_position, channels, positions,
        OFFSET_BITS: tl.constexpr, TABLES: tl.constexpr, POSITIONS: tl.constexpr, CHANNELS: tl.constexpr,
    ):
        sample, position, channel = tile(positions, channels, POSITIONS, CHANNELS)
        inside = (position < positions)[:, None] & (channel < channels)[None, :]
        k = tl.load(shift + channel, channel < channels, 0).to(tl.int32)
        add = (tl.load(bias + channel, channel < channels, 0) + ((1 << k) >> 1))[None, :]
        k = k[None, :]
        move = tl.load(offset + channel, channel < channels, 0).to(tl.int32)[None, :] + ((1 << OFFSET_BITS) >> 1)
        position = position.to(tl.int64)[:, None]
        channel = channel.to(tl.int64)[None, :]
        a = tl.load(accumulators + sample * a_sample + position * a_position + channel * a_channel, inside, 0.0)
        rounded = (a.to(tl.int32) + add) >> k
        index = tl.minimum(tl.maximum((rounded + move) >> OFFSET_BITS, 0), TABLES - 1)
        tl.store(out + sample * o_sample + position * o_position + channel * o_channel, index.to(tl.uint8), inside)


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


def table_index_triton(accumulators: Tensor, bias: Tensor, shift: Tensor, offset: Tensor, offset_bits: int,
                       tables: int) -> Tensor:
    """`table_index` by the Triton kernel."""
    batch, channels, height, width = accumulators.shape
    out = new_like(accumulators, channels, torch.uint8)
    if out.numel():
        a = as_planes(accumulators)
        launch(_table_index_kernel, batch * blocks(height * width, POSITIONS) * blocks(channels, CHANNELS),
               a, bias.contiguous(), shift.contiguous(), offset.contiguous(), out,
               *(plane_strides(a) or ()), *(plane_strides(out) or ()), channels, height * width,
               OFFSET_BITS=offset_bits, TABLES=tables, POSITIONS=POSITIONS, CHANNELS=CHANNELS)
    return out


def _rounded(accumulators: Tensor, bias: Tensor, shift: Tensor) -> Tensor:
    k = shift.to(torch.int32)
    add = bias + torch.bitwise_right_shift(torch.bitwise_left_shift(torch.ones_like(k), k), 1)
    return accumulators.to(torch.int32).add_(add[:, None, None]).bitwise_right_shift_(k[:, None, None])


def requantise_reference(accumulators: Tensor, bias: Tensor, shift: Tensor, maximum: int) -> Tensor:
    """`requantise` in plain torch."""
    activations = _rounded(accumulators, bias, shift).clamp_(0, maximum).to(torch.float32)
    return laid_out_like(activations, accumulators)


def table_index_reference(accumulators: Tensor, bias: Tensor, shift: Tensor, offset: Tensor, offset_bits: int,
                          tables: int) -> Tensor:
    """`table_index` in plain torch."""
    move = offset.to(torch.int32)[:, None, None] + ((1 << offset_bits) >> 1)
    index = _rounded(accumulators, bias, shift).add_(move).bitwise_right_shift_(offset_bits)
    return laid_out_like(index.clamp_(0, tables - 1).to(torch.uint8), accumulators)


@torch.library.custom_op("aecodec::requantise", mutates_args=())
def _requantise(accumulators: Tensor, bias: Tensor, shift: Tensor, maximum: int) -> Tensor:
    run = requantise_triton if backend.use_triton(accumulators) else requantise_reference
    return run(accumulators, bias, shift, maximum)


@_requantise.register_fake
def _(accumulators, bias, shift, maximum):
    return new_like(accumulators, accumulators.shape[1], torch.float32)


@torch.library.custom_op("aecodec::table_index", mutates_args=())
def _table_index(accumulators: Tensor, bias: Tensor, shift: Tensor, offset: Tensor, offset_bits: int,
                 tables: int) -> Tensor:
    run = table_index_triton if backend.use_triton(accumulators) else table_index_reference
    return run(accumulators, bias, shift, offset, offset_bits, tables)


@_table_index.register_fake
def _(accumulators, bias, shift, offset, offset_bits, tables):
    return new_like(accumulators, accumulators.shape[1], torch.uint8)


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


def table_index(accumulators: Tensor, bias: Tensor, shift: Tensor, offset: Tensor, offset_bits: int,
                tables: int) -> Tensor:
    """The index of each latent's probability table from the last layer's accumulators, in one pass.

    Args:
        accumulators: `[B, M, h, w]` float32 that hold integers: the convolution without its bias.
        bias: `[M]` int32.
        shift: `[M]` uint8, 0..16.
        offset: `[M]` int16: the quality level's shift of the index, in units of `2^-offset_bits`.
        offset_bits: the last layer's output counts `2^-offset_bits` of an index, too.
        tables: how many tables there are, at most 256.

    Returns:
        `[B, M, h, w]` uint8, 0..tables - 1, in the layout of `accumulators`.

    Raises:
        TypeError, ValueError: an argument of another dtype, shape or device; it is named.
    """
    _check(accumulators, bias, shift)
    check("offset", offset, (torch.int16,), accumulators.shape[1:2], accumulators)
    if not 1 <= tables <= 256:
        raise ValueError(f"tables must be 1..256 for an index of 8 bits, not {tables}")
    return _table_index(accumulators, bias, shift, offset, offset_bits, tables)


def _check(accumulators: Tensor, bias: Tensor, shift: Tensor) -> None:
    check("accumulators", accumulators, (torch.float32,), (None, None, None, None))
    check("bias", bias, (torch.int32,), accumulators.shape[1:2], accumulators)
    check("shift", shift, (torch.uint8,), accumulators.shape[1:2], accumulators)
