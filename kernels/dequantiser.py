"""Dequantise the symbols of one step of the context, in one pass: the decoder's side of `quantiser`.

For every latent that the step codes (see `lattice`), in float32 and in this order, each operation rounded once:

    y_hat = symbol * inverse_gain + mean

For the same means and `inverse_gain` these are the very bits that `quantise_` gave the encoder.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from . import backend
from .backend import check, launch, tl, triton
from .lattice import CHANNELS, POSITIONS, check_groups, coded_parts, pack, programs, sizes, unpack

if triton is not None:
    from .lattice import coded_tile

    @triton.jit(do_not_specialize=("groups", "height", "width"))
    def _dequantise_kernel(
        symbols, means, inverse_gain, y_hat,
        s_sample, s_channel, s_row, s_column, m_sample, m_channel, m_row, m_column,
        k_sample, k_channel, k_row, k_column, channels, size, height, width, groups,
        POSITIONS: tl.constexpr, CHANNELS: tl.constexpr,
    ):
        sample, row, column, channel, inside = coded_tile(channels, size, height, width, groups, POSITIONS, CHANNELS)
        inverse = tl.load(inverse_gain + channel, channel < channels, 1.0)[None, :]
        channel = channel[None, :]
        symbols += sample * s_sample + row * s_row + column * s_column
        s = tl.load(symbols + channel * s_channel, inside, 0)
        means += sample * m_sample + row * m_row + column * m_column
        m = tl.load(means + channel * m_channel, inside, 0.0)
        y_hat += sample * k_sample + row * k_row + column * k_column
        tl.store(y_hat + channel * k_channel, s.to(tl.float32) * inverse + m, inside)


def dequantise_triton_(symbols: Tensor, means: Tensor, inverse_gain: Tensor, groups: Sequence[int],
                       y_hat: Tensor) -> None:
    """`dequantise_` by the Triton kernel."""
    if symbols.numel() == 0:
        return
    launch(_dequantise_kernel, programs(symbols.shape), symbols, means, inverse_gain.contiguous(), y_hat,
           *symbols.stride(), *means.stride(), *y_hat.stride(), *sizes(symbols.shape), pack(groups),
           POSITIONS=POSITIONS, CHANNELS=CHANNELS)


def dequantise_part(symbols: Tensor, means: Tensor, inverse_gain: Tensor) -> Tensor:
    """The latents of symbols `[B, k, h, w]`, means `[B, k, h, w]` and `inverse_gain [k]`: one phase of a step."""
    return (symbols * inverse_gain[:, None, None]).add_(means)


def dequantise_reference_(symbols: Tensor, means: Tensor, inverse_gain: Tensor, groups: Sequence[int],
                          y_hat: Tensor) -> None:
    """`dequantise_` in plain torch."""
    for part in coded_parts(symbols.shape[1], groups):
        y_hat[part] = dequantise_part(symbols[part], means[part], inverse_gain[part[1]])


@torch.library.custom_op("aecodec::dequantise_", mutates_args=("y_hat",))
def _dequantise_in_place(symbols: Tensor, means: Tensor, inverse_gain: Tensor, groups: int, y_hat: Tensor) -> None:
    run = dequantise_triton_ if backend.use_triton(symbols) else dequantise_reference_
    run(symbols, means, inverse_gain, unpack(groups), y_hat)


@_dequantise_in_place.register_fake
def _(symbols, means, inverse_gain, groups, y_hat):
    return None


def dequantise_(symbols: Tensor, means: Tensor, inverse_gain: Tensor, groups: Sequence[int], y_hat: Tensor) -> None:
    """Decode one step of the context in place: what the codec calls once for each of its four steps.

    Args:
        symbols: `[B, M, h, w]` int16, of all steps; zero where not coded.
        means: `[B, M, h, w]` float32 in natural units; only those of the step's latents count.
        inverse_gain: `[M]` float32: natural units per symbol at the quality level.
        groups: the channel group coded at each of the four phases, see `lattice`.
        y_hat: `[B, M, h, w]` float32: receives the latents of this step in natural units, and keeps all others. Start
            with zeros; after the last step it is the synthesis's input.

    Raises:
        TypeError, ValueError: an argument of another dtype, shape or device; it is named.
    """
    check("symbols", symbols, (torch.int16,), (None, None, None, None))
    check("means", means, (torch.float32,), symbols.shape, symbols)
    check("inverse_gain", inverse_gain, (torch.float32,), symbols.shape[1:2], symbols)
    check("y_hat", y_hat, (torch.float32,), symbols.shape, symbols)
    check_groups(groups)
    _dequantise_in_place(symbols, means, inverse_gain, pack(groups), y_hat)
