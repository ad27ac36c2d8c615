"""Where the Triton kernels run, how tensors are handed to them, and the checks that every public function makes."""

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def _import_triton() -> tuple[Any, Any]:
    """`triton` and `triton.language` where kernels can run: on a GPU, or anywhere in Triton's interpreter.

    Elsewhere None twice: importing Triton takes a tenth of a second or more, and macOS and Windows have none. The
    torch references then serve every device.
    """
    if not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
        return None, None
    try:
        import triton
        import triton.language
    except ImportError:
        return None, None
    return triton, triton.language


triton, tl = _import_triton()

#: x + ROUND - ROUND is x rounded half to even, in float32, for |x| < 2^22. Triton's own rounding is half away from
#: zero, and the interpreter has no libdevice.
ROUND = 1.5 * 2**23


def use_triton(x: Tensor) -> bool:
    """Whether the operators take their Triton kernel for a tensor."""
    return triton is not None and x.is_cuda


def launch(kernel: Any, programs: int, *arguments: Any, **options: Any) -> None:
    """Run `programs` instances of a Triton kernel on the device of the first argument.

    Multiplications and additions are not contracted: every operation rounds once, as in the torch references.
    """
    with torch.cuda.device_of(arguments[0]):
        kernel[(programs,)](*arguments, enable_fp_fusion=False, **options)


def blocks(size: int, block: int) -> int:
    """How many blocks of `block` cover `size`."""
    return -(-size // block)


if triton is not None:

    @triton.jit
    def tile(positions, channels, POSITIONS, CHANNELS):
        """`(sample, positions [POSITIONS], channels [CHANNELS])` of this program: neighbours share their positions."""
        across = tl.cdiv(channels, CHANNELS)
        along = tl.cdiv(positions, POSITIONS)
        program = tl.program_id(0)
        sample = program // (across * along)
        block = program % (across * along)
        position = (block // across) * POSITIONS + tl.arange(0, POSITIONS)
        channel = (block % across) * CHANNELS + tl.arange(0, CHANNELS)
        return sample.to(tl.int64), position, channel


def plane_strides(x: Tensor) -> tuple[int, int, int] | None:
    """The strides `(sample, channel, position)` of `[B, C, H, W]` with H and W seen as one; None if they are not."""
    sample, channel, row, column = x.stride()
    if x.shape[3] == 1:
        return sample, channel, row
    if x.shape[2] == 1 or row == x.shape[3] * column:
        return sample, channel, column
    return None


def as_planes(x: Tensor) -> Tensor:
    """`x [B, C, H, W]` itself if `plane_strides` has an answer for it, else a contiguous copy."""
    return x if plane_strides(x) is not None else x.contiguous()


def is_channels_last(x: Tensor) -> bool:
    """Whether results for `x [B, C, H, W]` are laid out channels_last: its channels lie side by side."""
    return x.shape[1] > 1 and x.stride(1) == 1 and not x.is_contiguous()


def new_like(x: Tensor, channels: int, dtype: torch.dtype) -> Tensor:
    """An uninitialised `[B, channels, H, W]`, dense, in the layout of `x [B, C, H, W]`."""
    layout = torch.channels_last if is_channels_last(x) else torch.contiguous_format
    shape = (x.shape[0], channels, x.shape[2], x.shape[3])
    return torch.empty(shape, dtype=dtype, device=x.device, memory_format=layout)


def laid_out_like(result: Tensor, x: Tensor) -> Tensor:
    """`result [B, C', H, W]` with the strides that `new_like(x, C', ...)` has."""
    layout = torch.channels_last if is_channels_last(x) else torch.contiguous_format
    return result.contiguous(memory_format=layout)


def check(name: str, x: Tensor, dtypes: Sequence[torch.dtype], shape: Sequence[int | None],
          beside: Tensor | None = None) -> None:
    """Raise if an argument is not what a kernel takes.

    Args:
        dtypes: those it may have.
        shape: its sizes; None where any will do.
        beside: a tensor on whose device it must be.

    Raises:
        TypeError: not a tensor, or of another dtype.
        ValueError: another shape or device.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, not {type(x).__name__}")
    if x.dtype not in dtypes:
        allowed = " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        raise TypeError(f"{name} must be {allowed}, not {str(x.dtype).removeprefix('torch.')}; convert it first")
    if x.dim() != len(shape) or any(want is not None and want != got for want, got in zip(shape, x.shape, strict=True)):
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"{name} must have the shape [{wanted}], not {list(x.shape)}")
    if beside is not None and x.device != beside.device:
        raise ValueError(f"{name} is on {x.device}, the first tensor on {beside.device}; move it there")
    if x.dim() == 4 and x.shape[2] * x.shape[3] >= 2**31:
        raise ValueError(f"{name} has 2^31 positions or more; code the picture in strips")
