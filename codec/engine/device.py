"""Where a network runs and what that takes: device, precision, memory, time. Torch is imported by who needs it."""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

Timings = dict[str, float]

LARGE = 1 << 24  # pixels, from where on memory counts more than a system call

# Of a strip of activations. On a CPU it and what is made of it fit a third-level cache; on a GPU it bounds memory.
STRIP_BYTES = 3 << 21
GPU_STRIP_BYTES = 1 << 28


def choose_device(device: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` as a device. Raises ValueError if it is not there."""
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device {device!r} is not known; choose auto, cpu or cuda") from None
    if chosen.type not in ("cpu", "cuda"):
        raise ValueError(f"device {device} is not supported; choose auto, cpu or cuda")
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("no CUDA device is available; choose device cpu")
    return chosen


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware; elsewhere it is slower than float32."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    # Neither question has a public name in every torch; one that is missing counts as a no.
    return any(getattr(torch.cpu, name, bool)() for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))


def choose_precision(precision: str, device: torch.device) -> torch.dtype:
    """`auto`, `float32` or `bfloat16` as the type that analysis and synthesis run in."""
    import torch

    if precision == "auto":
        return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"precision {precision} is not supported; choose auto, float32 or bfloat16")
    return torch.float32 if precision == "float32" else torch.bfloat16


def choose_threads(threads: int | None) -> int:
    """How many threads work on one picture: `OMP_NUM_THREADS`, as for torch, or all processors this process may use."""
    if threads is not None:
        if threads < 1:
            raise ValueError(f"threads must be at least 1, not {threads}")
        return threads
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if asked.isdecimal() and int(asked):
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# -- memory -------------------------------------------------------------------------------------------------------


def releasable(array: np.ndarray) -> np.ndarray:
    """A copy of an array whose memory goes back to the system as soon as it is dropped.

    What malloc gets back it keeps for itself, and half a gigabyte of latents of a large picture is to make room for
    their symbols.
    """
    if not array.size:
        return array
    copy = np.frombuffer(mmap.mmap(-1, array.nbytes), array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


@functools.lru_cache(maxsize=1)
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim  # type: ignore[no-any-return]
    except (AttributeError, OSError, TypeError):  # another C library than glibc
        return None


def trim_heap(pixels: int) -> None:
    """Give back what malloc keeps of the activations of a large picture: up to a third of a gigabyte."""
    trim = _malloc_trim()
    if trim is not None and pixels >= LARGE:
        trim(0)


# -- time ---------------------------------------------------------------------------------------------------------


class Stopwatch:
    """Adds the seconds since the last lap to a stage of `timings`; does nothing without one.

    Args:
        synchronise: waits until the device has done what it was given.
    """

    def __init__(self, timings: Timings | None, synchronise: Callable[[], None]) -> None:
        self.timings, self._synchronise = timings, synchronise
        if timings is not None:
            synchronise()
            self.began = time.perf_counter()

    def lap(self, stage: str) -> None:
        if self.timings is not None:
            self._synchronise()
            now = time.perf_counter()
            self.timings[stage] = self.timings.get(stage, 0.0) + now - self.began
            self.began = now

    def inner(self, stage: str, strips: Iterator[T], outer: str) -> Iterator[T]:
        """Strips of one stage that another stage asks for: each stage gets its own time."""
        while True:
            self.lap(outer)
            strip = next(strips, None)
            self.lap(stage)
            if strip is None:
                return
            yield strip
