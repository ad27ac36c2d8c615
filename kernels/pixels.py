"""The end of the synthesis in one pass: bias, pixel-shuffle, and centred values to 8-bit pixels.

For every pixel and colour, in float32 and in this order, each operation rounded once:

    value = (x + bias + 0.5) * 255        bias 0 without one
    pixel = round_half_even(min(max(value, 0), 255))

Kernel and reference give equal bytes.
"""

import torch
from torch import Tensor

from . import backend
from .backend import ROUND, blocks, check, launch, tl, triton

FLOATS = (torch.float32, torch.bfloat16, torch.float16)
ROWS, COLUMNS = 8, 256  # of a program, columns in bytes: with shuffle 8 it uses whole runs of its input's channels

if triton is not None:

    @triton.jit(do_not_specialize=("height", "width"))
    def _pixels_kernel(
        x, bias, out, x_sample, x_channel, x_row, x_column, height, width,
        SHUFFLE: tl.constexpr, BIAS: tl.constexpr, ROUND: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    ):
        across = tl.cdiv(width * 3, COLUMNS)
        along = tl.cdiv(height, ROWS)
        program = tl.program_id(0)
        sample = (program // (across * along)).to(tl.int64)
        block = program % (across * along)
        row = (block // across) * ROWS + tl.arange(0, ROWS)
        byte = (block % across) * COLUMNS + tl.arange(0, COLUMNS)
        column, colour = byte // 3, byte % 3
        inside = (row < height)[:, None] & (byte < width * 3)[None, :]

        channel = (row % SHUFFLE)[:, None] * SHUFFLE + (colour * SHUFFLE * SHUFFLE + column % SHUFFLE)[None, :]
        source = x + sample * x_sample + (row // SHUFFLE).to(tl.int64)[:, None] * x_row
        source += (column // SHUFFLE).to(tl.int64)[None, :] * x_column + channel.to(tl.int64) * x_channel
        value = tl.load(source, inside, 0.0).to(tl.float32)
        if BIAS:
            value += tl.load(bias + channel, inside, 0.0).to(tl.float32)
        value = (value + 0.5) * 255.0
        value = tl.minimum(tl.maximum(value, 0.0), 255.0)
        value = (value + ROUND) - ROUND
        target = out + (sample * height + row.to(tl.int64)[:, None]) * (width * 3) + byte[None, :]
        tl.store(target, value.to(tl.int32).to(tl.uint8), inside)


def to_pixels_triton(x: Tensor, bias: Tensor | None = None, shuffle: int = 1) -> Tensor:
    """`to_pixels` by the Triton kernel."""
    out = _new_pixels(x, shuffle)
    batch, height, width, _ = out.shape
    if out.numel():
        launch(_pixels_kernel, batch * blocks(height, ROWS) * blocks(width * 3, COLUMNS),
               x, x if bias is None else bias.contiguous(), out, *x.stride(), height, width,
               SHUFFLE=shuffle, BIAS=bias is not None, ROUND=ROUND, ROWS=ROWS, COLUMNS=COLUMNS)
    return out


def to_pixels_reference(x: Tensor, bias: Tensor | None = None, shuffle: int = 1) -> Tensor:
    """`to_pixels` in plain torch."""
    value = x.float() if bias is None else x.float() + bias.float()[:, None, None]
    value = (value + 0.5).mul_(255).clamp_(0, 255).round_()
    patches = value.to(torch.uint8).unflatten(1, (3, shuffle, shuffle)).permute(0, 4, 2, 5, 3, 1)
    return patches.reshape(_pixels_shape(x, shuffle)).contiguous()


def _pixels_shape(x: Tensor, shuffle: int) -> tuple[int, int, int, int]:
    return x.shape[0], x.shape[2] * shuffle, x.shape[3] * shuffle, 3


def _new_pixels(x: Tensor, shuffle: int) -> Tensor:
    return torch.empty(_pixels_shape(x, shuffle), dtype=torch.uint8, device=x.device)


@torch.library.custom_op("aecodec::to_pixels", mutates_args=())
def _to_pixels(x: Tensor, bias: Tensor | None, shuffle: int) -> Tensor:
    run = to_pixels_triton if backend.use_triton(x) else to_pixels_reference
    return run(x, bias, shuffle)


@_to_pixels.register_fake
def _(x, bias, shuffle):
    return _new_pixels(x, shuffle)


def to_pixels(x: Tensor, bias: Tensor | None = None, shuffle: int = 1) -> Tensor:
    """8-bit pixels from the output of the synthesis's last convolution.

    Args:
        x: `[B, 3 r^2, H/r, W/r]` float32, bfloat16 or float16, centred: black is -0.5, white 0.5. Channels as
            `torch.nn.functional.pixel_shuffle` takes them: colour, row in the patch, column in the patch.
        bias: `[3 r^2]` of that convolution, float32 or the dtype of x, if it was left out.
        shuffle: r, the side of a patch.

    Returns:
        `[B, H, W, 3]` uint8, contiguous. What is not a number gives an unspecified pixel.

    Raises:
        TypeError, ValueError: an argument of another dtype, shape or device; it is named.
    """
    if not isinstance(shuffle, int) or shuffle < 1:
        raise ValueError(f"shuffle must be a positive integer, not {shuffle!r}")
    check("x", x, FLOATS, (None, 3 * shuffle * shuffle, None, None))
    if bias is not None:
        check("bias", bias, (torch.float32, x.dtype), x.shape[1:2], x)
    if torch.is_inference_mode_enabled() and not backend.use_triton(x):
        # The first call of any custom operator imports TorchDynamo, as long a wait as all of decoding from a shell.
        return to_pixels_reference(x, bias, shuffle)
    return _to_pixels(x, bias, shuffle)
