"""The Python API: encode, decode, read_header, and Codec for many pictures with one loading of the weights."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from . import container, models, picture
from .container import LEVELS, MAX_PIXELS, Header

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from .coder import Coder

DEFAULT_QUALITY = 50.0


def level_of(quality: float) -> int:
    """The quality level 0..63 of a quality 0..100. Raises ValueError outside that range."""
    if not 0 <= quality <= 100:
        raise ValueError(f"quality {quality} is outside 0..100")
    return round(quality * (LEVELS - 1) / 100)


def read_header(data: bytes) -> Header:
    """What a file says of itself; its first 64 bytes are enough, and neither torch nor weights are needed.

    Raises:
        NotAec, UnsupportedVersion, CorruptFile: see `aecodec.AecError`.
    """
    return container.read_header(data)[0]


class Codec:
    """The codec with its weights loaded: the way to code many pictures. May be used from several threads.

    Args:
        device: `auto` (a CUDA GPU if there is one), `cpu`, `cuda` or `cuda:N`.
        model: name of an installed model, or path of a weights file; without it the default to encode, and to decode
            whichever model a file names.
        precision: of analysis and synthesis: `auto`, `float32` or `bfloat16`.
        limit_pixels: larger pictures are refused, before any memory is taken for them; None for no limit.

    Raises:
        UnknownModel: the model is not there.
        ValueError: the device or precision is not there.
    """

    def __init__(self, device: str = "auto", model: str | Path | None = None, precision: str = "auto",
                 limit_pixels: int | None = MAX_PIXELS) -> None:
        self._device, self._precision = device, precision
        self._limit_pixels = limit_pixels
        self._lock = threading.Lock()
        self._coders: dict[Path, Coder] = {}
        self._any_model = model is None
        self._info = models.find(model)
        self._load(self._info)

    def _load(self, info: models.ModelInfo) -> Coder:
        with self._lock:
            if info.path not in self._coders:
                from .coder import Coder

                self._coders[info.path] = Coder(models.load(info), self._device, self._precision)
            return self._coders[info.path]

    @property
    def model(self) -> models.ModelInfo:
        """The model that pictures are encoded with."""
        return self._info

    @property
    def device(self) -> str:
        """The device in use, such as `cpu` or `cuda`."""
        return str(self._load(self._info).device)

    @property
    def precision(self) -> str:
        """The precision of analysis and synthesis in use: `float32` or `bfloat16`."""
        return str(self._load(self._info).dtype).removeprefix("torch.")

    def encode(self, image: Image.Image | np.ndarray, quality: float = DEFAULT_QUALITY, *, level: int | None = None,
               timings: dict[str, float] | None = None) -> bytes:
        """Compress a picture.

        Args:
            image: a Pillow image of mode RGB or L, or a `uint8` array `[H, W, 3]` or `[H, W]`.
            quality: 0 (smallest file) to 100 (best picture).
            level: the quality level 0..63 itself, instead of `quality`.
            timings: receives the seconds spent per stage.

        Returns:
            The bytes of an .aec file.

        Raises:
            UnsupportedPicture: a picture that must be converted first.
            LimitExceeded: a picture above the pixel limit.
            ValueError: quality or level out of range.
        """
        chosen = level_of(quality) if level is None else level
        pixels, grey = picture.to_pixels(image)
        container.check_pixels(pixels.shape[1], pixels.shape[0], self._limit_pixels)
        return container.write_file(self._load(self._info).encode(pixels, chosen, grey, timings))

    def decode(self, data: bytes, *, timings: dict[str, float] | None = None) -> Image.Image:
        """Decompress the bytes of an .aec file into a Pillow image, RGB or L.

        Raises:
            NotAec, UnsupportedVersion, CorruptFile, LimitExceeded: the file cannot be read.
            UnknownModel: it needs weights that are not there.
        """
        file = container.read_file(data)
        container.check_pixels(file.header.width, file.header.height, self._limit_pixels)
        info = models.find_id(file.header.model_id) if self._any_model else self._info
        return picture.to_image(self._load(info).decode(file, timings), file.header.grey)


@functools.lru_cache(maxsize=1)
def _default_codec() -> Codec:
    return Codec()


def encode(image: Image.Image | np.ndarray, quality: float = DEFAULT_QUALITY) -> bytes:
    """Compress a picture with the default model, kept loaded after the first call: see `Codec.encode`."""
    return _default_codec().encode(image, quality)


def decode(data: bytes) -> Image.Image:
    """Decompress the bytes of an .aec file, with the weights kept loaded after the first call: see `Codec.decode`."""
    return _default_codec().decode(data)
