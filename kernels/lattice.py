"""Which latents one step of the context codes: one of four channel groups at each phase of a 2x2 lattice.

A step is four numbers `groups`: the channel group coded at the phases (0, 0), (0, 1), (1, 0) and (1, 1), which are
(row modulo 2, column modulo 2). Group g is the channels from `g * k` up to `(g + 1) * k` with k = M / 4 rounded up.
This form of a phase mask takes no memory traffic and makes a step's latents runs of k channels in `channels_last`:
a step then reads and writes a quarter of each tensor, and all four steps touch each tensor once.
"""

from collections.abc import Iterator, Sequence

from .backend import blocks, tl, triton

GROUPS = 4
PHASES = ((0, 0), (0, 1), (1, 0), (1, 1))

Part = tuple[slice, slice, slice, slice]


def check_groups(groups: Sequence[int]) -> None:
    """Raises ValueError unless `groups` holds a channel group 0..3 for each of the four phases."""
    if len(groups) != len(PHASES) or not all(0 <= group < GROUPS for group in groups):
        raise ValueError(f"groups must hold a channel group 0..3 for each of the four phases, not {tuple(groups)}")


def pack(groups: Sequence[int]) -> int:
    """`groups` as one byte, two bits a phase, the first phase lowest: how kernels and operators take them."""
    return sum(group << (2 * phase) for phase, group in enumerate(groups))


def unpack(packed: int) -> tuple[int, ...]:
    """The inverse of `pack`."""
    return tuple((packed >> (2 * phase)) & 3 for phase in range(len(PHASES)))


def per_group(channels: int) -> int:
    """Channels in a group; the last groups are smaller where `channels` is no multiple of four."""
    return -(-channels // GROUPS)


def coded_parts(channels: int, groups: Sequence[int]) -> Iterator[Part]:
    """Indices into `[B, M, h, w]` that together select the latents a step codes."""
    size = per_group(channels)
    for (row, column), group in zip(PHASES, groups, strict=True):
        yield slice(None), slice(group * size, (group + 1) * size), slice(row, None, 2), slice(column, None, 2)


POSITIONS, CHANNELS = 64, 16  # of a program: 16 float32 are two sectors of memory, and most groups are multiples of 16


def programs(shape: Sequence[int]) -> int:
    """How many programs code a step of `[B, M, h, w]`."""
    positions = blocks(shape[2], 2) * blocks(shape[3], 2)
    return shape[0] * blocks(positions, POSITIONS) * len(PHASES) * blocks(per_group(shape[1]), CHANNELS)


def sizes(shape: Sequence[int]) -> tuple[int, int, int, int]:
    """`(channels, size, height, width)` as `coded_tile` takes them; `size` is that of a channel group."""
    return shape[1], per_group(shape[1]), shape[2], shape[3]


if triton is not None:

    @triton.jit
    def coded_tile(channels, size, height, width, groups, POSITIONS, CHANNELS):
        """What this program codes: all its positions have one phase, so they share the channels of one group.

        Returns `sample`, `row [POSITIONS, 1]`, `column [POSITIONS, 1]`, `channel [CHANNELS]` and the mask `inside
        [POSITIONS, CHANNELS]`. Programs whose memory lies close together have neighbouring numbers.
        """
        across = tl.cdiv(size, CHANNELS)
        along = tl.cdiv(tl.cdiv(height, 2) * tl.cdiv(width, 2), POSITIONS)
        program = tl.program_id(0)
        within = (program % across) * CHANNELS + tl.arange(0, CHANNELS)
        phase = (program // across) % 4
        block = program // (across * 4)
        position = (block % along) * POSITIONS + tl.arange(0, POSITIONS)
        columns = tl.maximum((width - phase % 2 + 1) // 2, 1)
        row = 2 * (position // columns) + phase // 2
        column = 2 * (position % columns) + phase % 2
        channel = ((groups >> (2 * phase)) & 3) * size + within
        inside = ((row < height) & (column < width))[:, None] & ((within < size) & (channel < channels))[None, :]
        row, column = row.to(tl.int64)[:, None], column.to(tl.int64)[:, None]
        return (block // along).to(tl.int64), row, column, channel.to(tl.int64), inside
