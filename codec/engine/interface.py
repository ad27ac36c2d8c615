"""What a runtime must offer to code pictures with a model: the one interface behind `aecodec.coder`.

Arrays cross it as NumPy, in the shapes of FORMAT.md: a picture of H x W pixels has latents `[M, h, w]` with
`h = ceil(H / 16)`, `w = ceil(W / 16)` and hyper-latents `[Z, h', w']` with `h' = ceil(h / 4)`, `w' = ceil(w / 4)`.
Latents do not cross it but where somebody asks for them: they stay in strips of rows, in whatever form the runtime
works on, so that memory does not grow with a picture's height and nothing is copied from a GPU and back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

import numpy as np

from .shrinkage import Shrinkage

#: Strips of rows of latents, from top to bottom: made and read by one engine alone.
Strips = Iterable[Any]
#: Told how much of a piece of work is done, 0..1, after every strip. An exception that it raises ends the work.
Progress = Callable[[float], None]
T = TypeVar("T")


def told(strips: Iterable[T], total: int, progress: Progress | None) -> Iterator[T]:
    """The same strips, of which there are `total`; `progress` is told when the next one is asked for."""
    for n, strip in enumerate(strips, 1):
        yield strip
        if progress is not None:
            progress(min(n / total, 1.0))


class Engine(Protocol):
    """A model's network, loaded by one runtime onto one device. May be used from several threads."""

    name: str  # such as `torch`
    device: str  # such as `cpu` or `cuda:0`
    precision: str  # of analysis and synthesis: `float32` or `bfloat16`

    def analyse(self, pixels: np.ndarray, level: int, progress: Progress | None = None) -> list[Any]:
        """The latents of `uint8 [H, W, 3]` at a quality level, not quantised."""

    def hyper_latents(self, latents: list[Any], level: int) -> np.ndarray:
        """The symbols of z, `int16 [Z, h', w']`, for latents that `analyse` or `from_array` gave."""

    def indices(self, z: np.ndarray, level: int, height: int, width: int) -> np.ndarray:
        """The probability table of every latent, `uint8 [M, h, w]`, from the symbols of z: exact on every machine."""

    def quantise(self, latents: list[Any], z: np.ndarray, index: np.ndarray, level: int,
                 rdoq_strength: float, progress: Progress | None = None) -> np.ndarray:
        """The symbols `int16 [M, h, w]` of latents; the list is emptied on the way, for the sake of memory.

        Args:
            z: symbols `int16 [Z, h', w']`, from which the means are computed.
            index: tables `uint8 [M, h, w]`.
            rdoq_strength: of rate-distortion optimised rounding, 1 as a rule.
        """

    def shrink(self, latents: list[Any], z: np.ndarray, index: np.ndarray, level: int,
               shrinkage: Shrinkage) -> Iterator[Any]:
        """Latents without noise, not quantised, computed as they are asked for; the list is emptied on the way.

        Args:
            z, index: as `quantise` takes them.
        """

    def dequantise(self, symbols: np.ndarray, z: np.ndarray, index: np.ndarray, level: int) -> Iterator[Any]:
        """The latents of `int16 [M, h, w]` symbols, computed as they are asked for: by `synthesise` or `to_array`.

        Args:
            z, index: as `quantise` takes them.
        """

    def synthesise(self, latents: Strips, level: int, height: int, width: int,
                   progress: Progress | None = None) -> np.ndarray:
        """The picture `uint8 [height, width, 3]` of latents."""

    def to_array(self, latents: Strips) -> np.ndarray:
        """Latents as one array, `float32 [M, h, w]`."""

    def from_array(self, latents: np.ndarray) -> list[Any]:
        """Latents from `float32 [M, h, w]`."""

    def synchronise(self) -> None:
        """Wait until the device has done what it was given, so that times can be told apart."""
