"""What a codec is to the bench. Pictures are `uint8 [H, W, 3]` arrays of RGB."""

from __future__ import annotations

import importlib.metadata
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

Pixels = np.ndarray
Timings = dict[str, float]


class NotAvailable(Exception):
    """A codec cannot run here; the message says why and what would help."""


@dataclass(frozen=True)
class Options:
    """What every codec is opened with.

    Args:
        threads: threads a codec may use, where it can be told.
        device: `auto`, `cpu` or `cuda`, for the learned codecs.
        models: weights of aecodec's models that do not come with it: model name -> file.
        engine: `auto`, `onnx` or `torch`, for ours.
        precision: `auto`, `float32` or `bfloat16`, for ours.
        compressai: checkpoints of CompressAI's networks: architecture -> {quality 1..8: file}.
    """

    threads: int = 1
    device: str = "cpu"
    models: Mapping[str, str] = field(default_factory=dict)
    compressai: Mapping[str, Mapping[int, Path]] = field(default_factory=dict)
    engine: str = "auto"
    precision: str = "auto"


class Codec(ABC):
    """One way to write a picture.

    `settings` are those of the sweep and `fine` all that a search may try; both go from the smallest file to the
    largest. `embeds` is the media type under which a browser shows the codec's own files, or None.
    """

    name: str
    version: str
    settings: Sequence[float]
    fine: Sequence[float]
    device = "cpu"
    embeds: str | None = None
    speed_setting: float

    @abstractmethod
    def encode(self, pixels: Pixels, setting: float, timings: Timings | None = None) -> bytes:
        """The bytes of a whole file. `timings` receives the seconds of each stage, where the codec knows them."""

    @abstractmethod
    def decode(self, data: bytes, timings: Timings | None = None) -> Pixels:
        """The picture in such bytes, and from nothing else."""

    def synchronise(self) -> None:
        """Wait until the device has done its work, so that a clock can be read."""
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.synchronize()


def release(distribution: str) -> str:
    """The installed version of a distribution."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "(source checkout)"
