"""The codec of a job, loaded where and when the first task needs it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import AecError

if TYPE_CHECKING:
    from PIL import Image

    from ..api import Codec, Progress
    from ..format.container import AecFile

    Decoder = Callable[[AecFile, "dict[str, float] | None", "Progress | None"], Image.Image]

WORTH_TORCH = 20_000_000  # pixels in all: 9.4 million take ONNX Runtime 2.3 s and torch 3.1, 18.9 million 5.2 s each


class LoadedWhenUsed:
    """The codec, loaded by the first task that needs it: a file that cannot be read is told of at once.

    It can be pickled: what arrives in another process loads a codec of its own.

    Args:
        device, model, limit_pixels, engine: see `api.Codec`.
        threads: CPU threads in all; None for one per core.
        jobs: how many tasks share them.
        pictures: how many there are to code.
    """

    def __init__(self, device: str, model: str | None, threads: int | None, limit_pixels: int | None, jobs: int,
                 engine: str = "auto", pictures: int | None = None) -> None:
        self.device, self.model, self.threads, self.jobs = device, model, threads, jobs
        self.limit_pixels, self.engine, self.pictures = limit_pixels, engine, pictures
        self._lock = threading.Lock()
        self._codec: Codec | None = None

    def __call__(self, pixels: int | None = None) -> Codec:
        """The codec. Raises AecError if it is not to be had.

        Args:
            pixels: of the picture at hand, by which the work to come is guessed.
        """
        with self._lock:
            if self._codec is None:
                pictures = self.pictures
                if pictures is not None and pixels is not None and pictures * pixels < WORTH_TORCH:
                    pictures = 1  # as good as: what starts quickest is done first
                self._codec = load_codec(self.device, self.model, self.limit_pixels, self.engine, self._share(),
                                         pictures)
            return self._codec

    def decoder(self, file: AecFile) -> Decoder:
        """What decodes a file: `Codec.decode_file`, or for a lossless one, which needs no network, no codec at all."""
        if file.header.lossless:
            from ..picture import lossless

            return lambda file, *_: lossless.decode_image(file)
        return self(file.header.width * file.header.height).decode_file

    def _share(self) -> int | None:
        """The threads that one task has; None for all."""
        if self.threads is None and self.jobs == 1:
            return None
        from ..engine.device import choose_threads

        return max(1, choose_threads(self.threads) // self.jobs)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock, self._codec = threading.Lock(), None


def load_codec(device: str, model: str | None, limit_pixels: int | None, engine: str, threads: int | None,
               pictures: int | None) -> Codec:
    """A codec. Raises AecError if the engine, the device or the model is not there."""
    from ..api import Codec

    try:
        return Codec(device=device, model=model, limit_pixels=limit_pixels, engine=engine, threads=threads,
                     pictures=pictures)
    except (ValueError, RuntimeError) as error:
        raise AecError(str(error)) from None
