"""The codec of a command, loaded by the first task that needs it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ..errors import AecError

if TYPE_CHECKING:
    from ..api import Codec


class LoadedWhenUsed:
    """The codec, loaded by the first task that needs it: a file that cannot be read is told of at once."""

    def __init__(self, device: str, model: str | None, threads: int | None, limit_pixels: int | None,
                 jobs: int) -> None:
        self._arguments = device, model, threads, limit_pixels, jobs
        self._lock = threading.Lock()
        self._codec: Codec | None = None

    def __call__(self) -> Codec:
        with self._lock:
            if self._codec is None:
                device, model, threads, limit_pixels, jobs = self._arguments
                self._codec = load_codec(device, model, limit_pixels)
                import torch

                if threads is not None or jobs > 1:
                    torch.set_num_threads(max(1, (threads or torch.get_num_threads()) // jobs))
            return self._codec


def load_codec(device: str, model: str | None, limit_pixels: int | None) -> Codec:
    from ..api import Codec

    try:
        return Codec(device=device, model=model, limit_pixels=limit_pixels)
    except (ValueError, RuntimeError) as error:
        raise AecError(str(error)) from None
