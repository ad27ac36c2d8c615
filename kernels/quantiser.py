"""Quantise latents in one pass: symbols for the range coder, and the dequantised latents the next step looks at.

For every latent y that the step codes (see `lattice`), with its mean m, the gain g of its channel and its table
index, in float32 and in this order, each operation rounded once (no fused multiply-add):

    residual = (y - m) * g
    residual = residual - min(max(residual, -d), d)        d = dead_zone[channel, index], if there is a dead zone
    symbol   = round_half_even(min(max(residual, -32767), 32767)), 0 where index == 0
    y_hat    = symbol * inverse_gain + m

Kernel and reference therefore give equal bits for equal inputs. A symbol differs from that of exact arithmetic only
where the first residual lies within 2^-23 of its size from a half (two roundings, each of at most 2^-24 of it), with
a dead zone within 2^-22.

What travels to the CPU for the range coder is `symbols` as int16 and, ahead of it, the index as uint8: 3 bytes a
latent, and in the form that the coder sorts. They are not packed into one word: six bits of index leave ten, which
do not hold +-32767, and 32 bits would be a byte more.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from . import backend
from .backend import ROUND, check, launch, tl, triton
from .lattice import CHANNELS, POSITIONS, check_groups, coded_parts, pack, programs, sizes, unpack

INT16_MAX = torch.iinfo(torch.int16).max  # what symbols are stored in

if triton is not None:
    from .lattice import coded_tile

    @triton.jit(do_not_specialize=("groups", "height", "width", "tables"))
    def _quantise_kernel(
        latents, means, gain, inverse_gain, index, y_hat, symbols, dead_zone,
        y_sample, y_channel, y_row, y_column, m_sample, m_channel, m_row, m_column,
        i_sample, i_channel, i_row, i_column, k_sample, k_channel, k_row, k_column,
        s_sample, s_channel, s_row, s_column, channels, size, height, width, groups, tables,
        DEAD_ZONE: tl.constexpr, LIMIT: tl.constexpr, ROUND: tl.constexpr,
        POSITIONS: tl.constexpr, CHANNELS: tl.constexpr,
    ):
        sample, row, column, channel, inside = coded_tile(channels, size, height, width, groups, POSITIONS, CHANNELS)
        g = tl.load(gain + channel, channel < channels, 1.0)[None, :]
        inverse = tl.load(inverse_gain + channel, channel < channels, 1.0)[None, :]
        channel = channel[None, :]
        latents += sample * y_sample + row * y_row + column * y_column
        y = tl.load(latents + channel * y_channel, inside, 0.0)
        means += sample * m_sample + row * m_row + column * m_column
        m = tl.load(means + channel * m_channel, inside, 0.0)
        index += sample * i_sample + row * i_row + column * i_column
        i = tl.load(index + channel * i_channel, inside, 0)

        residual = (y - m) * g
        if DEAD_ZONE:
            dead = tl.load(dead_zone + channel * tables + i.to(tl.int32), inside & (i < tables), 0.0)
            residual -= tl.minimum(tl.maximum(residual, -dead), dead)
        residual = tl.minimum(tl.maximum(residual, -LIMIT), LIMIT)
        symbol = (residual + ROUND) - ROUND
        symbol = tl.where(i == 0, 0.0, symbol)
        value = symbol * inverse + m

        symbols += sample * s_sample + row * s_row + column * s_column
        tl.store(symbols + channel * s_channel, symbol.to(tl.int16), inside)
        y_hat += sample * k_sample + row * k_row + column * k_column
        tl.store(y_hat + channel * k_channel, value, inside)


def quantise_triton_(latents: Tensor, means: Tensor, gain: Tensor, inverse_gain: Tensor, index: Tensor,
                     groups: Sequence[int], y_hat: Tensor, symbols: Tensor, dead_zone: Tensor | None = None) -> None:
    """`quantise_` by the Triton kernel."""
    if latents.numel() == 0:
        return
    launch(_quantise_kernel, programs(latents.shape),
           latents, means, gain.contiguous(), inverse_gain.contiguous(), index, y_hat, symbols,
           gain if dead_zone is None else dead_zone.contiguous(),
           *latents.stride(), *means.stride(), *index.stride(), *y_hat.stride(), *symbols.stride(),
           *sizes(latents.shape), pack(groups), 0 if dead_zone is None else dead_zone.shape[1],
           DEAD_ZONE=dead_zone is not None, LIMIT=float(INT16_MAX), ROUND=ROUND,
           POSITIONS=POSITIONS, CHANNELS=CHANNELS)


def quantise_part(latents: Tensor, means: Tensor, gain: Tensor, inverse_gain: Tensor, index: Tensor,
                  dead_zone: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """`(symbol, y_hat)` of latents `[B, k, h, w]` by the operations above, in plain torch: one phase of a step.

    Args:
        latents, means, index: `[B, k, h, w]`.
        gain, inverse_gain: `[k]`.
        dead_zone: `[k, T]`.

    Returns:
        Both float32 `[B, k, h, w]`; the symbols hold integers.
    """
    residual = (latents - means) * gain[:, None, None]
    if dead_zone is not None:
        tables = dead_zone.shape[1]
        starts = torch.arange(0, dead_zone.numel(), tables, dtype=torch.int32, device=latents.device)[:, None, None]
        dead = dead_zone.flatten()[index + starts]
        residual -= torch.maximum(torch.minimum(residual, dead), -dead)
    symbol = residual.clamp_(-INT16_MAX, INT16_MAX).round_().mul_(index > 0)
    return symbol, (symbol * inverse_gain[:, None, None]).add_(means)


def quantise_reference_(latents: Tensor, means: Tensor, gain: Tensor, inverse_gain: Tensor, index: Tensor,
                        groups: Sequence[int], y_hat: Tensor, symbols: Tensor, dead_zone: Tensor | None = None) -> None:
    """`quantise_` in plain torch."""
    for part in coded_parts(latents.shape[1], groups):
        own = part[1]
        symbols[part], y_hat[part] = quantise_part(latents[part], means[part], gain[own], inverse_gain[own],
                                                   index[part], None if dead_zone is None else dead_zone[own])


@torch.library.custom_op("aecodec::quantise_", mutates_args=("y_hat", "symbols"))
def _quantise_in_place(latents: Tensor, means: Tensor, gain: Tensor, inverse_gain: Tensor, index: Tensor, groups: int,
                       y_hat: Tensor, symbols: Tensor, dead_zone: Tensor | None) -> None:
    run = quantise_triton_ if backend.use_triton(latents) else quantise_reference_
    run(latents, means, gain, inverse_gain, index, unpack(groups), y_hat, symbols, dead_zone)


@_quantise_in_place.register_fake
def _(latents, means, gain, inverse_gain, index, groups, y_hat, symbols, dead_zone):
    return None


def quantise_(latents: Tensor, means: Tensor, gain: Tensor, inverse_gain: Tensor, index: Tensor, groups: Sequence[int],
              y_hat: Tensor, symbols: Tensor, dead_zone: Tensor | None = None) -> None:
    """Code one step of the context in place: what the codec calls once for each of its four steps.

    Args:
        latents: `[B, M, h, w]` float32, in natural units (the analysis's output).
        means: `[B, M, h, w]` float32 in natural units; only those of the step's latents count.
        gain: `[M]` float32, positive: symbols per natural unit at the quality level.
        inverse_gain: `[M]` float32: natural units per symbol, the same that the decoder gives `dequantise_`.
        index: `[B, M, h, w]` uint8: the probability table; 0 means "always zero", not coded.
        groups: the channel group coded at each of the four phases, see `lattice`.
        y_hat: `[B, M, h, w]` float32: receives the dequantised latents of this step, and keeps all others. Start
            with zeros.
        symbols: `[B, M, h, w]` int16: receives the symbols of this step, within +-32767, and keeps all others.
        dead_zone: `[M, T]` float32, T above every index: by how much residuals of each channel and table are moved
            towards zero before they are rounded. The decoder need not know it.

    A latent, mean or gain that is not a number gives an unspecified symbol.

    Raises:
        TypeError, ValueError: an argument of another dtype, shape or device; it is named.
    """
    _check(latents, means, gain, inverse_gain, index, groups, y_hat, dead_zone)
    check("symbols", symbols, (torch.int16,), latents.shape, latents)
    _quantise_in_place(latents, means, gain, inverse_gain, index, pack(groups), y_hat, symbols, dead_zone)


def _check(latents: Tensor, means: Tensor, gain: Tensor, inverse_gain: Tensor, index: Tensor, groups: Sequence[int],
           y_hat: Tensor, dead_zone: Tensor | None) -> None:
    check("latents", latents, (torch.float32,), (None, None, None, None))
    check("means", means, (torch.float32,), latents.shape, latents)
    check("gain", gain, (torch.float32,), latents.shape[1:2], latents)
    check("inverse_gain", inverse_gain, (torch.float32,), latents.shape[1:2], latents)
    check("index", index, (torch.uint8,), latents.shape, latents)
    check("y_hat", y_hat, (torch.float32,), latents.shape, latents)
    if dead_zone is not None:
        check("dead_zone", dead_zone, (torch.float32,), (latents.shape[1], None), latents)
    check_groups(groups)
