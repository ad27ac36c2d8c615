"""The Python API: encode, decode, and Codec for many pictures with one loading of the weights."""

from __future__ import annotations

import functools
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from . import models
from .batch import in_threads
from .errors import UnsupportedPicture
from .format import boxes, container
from .format.constants import DEFAULT_QUALITY, TUNES, level_of
from .format.container import MAX_PIXELS, AecFile, Header
from .format.opening import Data, read_file
from .picture import reading
from .picture.alpha import find_alpha
from .picture.reading import Picture, PictureWarning, Source

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image

    from .coder import Coder, Latents
    from .goals import Lossless

Progress: TypeAlias = Callable[[float], None]


def _check_output(output: str) -> None:
    """Raises ValueError if there is no such output of `decode`, MissingPackage if it needs torch that is not there."""
    if output not in ("image", "array", "tensor"):
        raise ValueError(f"output {output!r} is not known; choose image, array or tensor")
    if output == "tensor":
        from .engine.choice import need_torch

        need_torch("output tensor")


def _read_picture(image: Source, limit_pixels: int | None) -> Picture:
    """A picture; what it lost is told to who called the caller of this."""
    read = reading.read(image, limit_pixels)
    for note in read.notes:
        warnings.warn(note, PictureWarning, stacklevel=3)
    return read


class Codec:
    """The codec with its weights loaded: the way to code many pictures. May be used from several threads.

    Args:
        device: `auto` (a CUDA GPU if there is one), `cpu`, `cuda` or `cuda:N`.
        model: name of an installed model, or path of a weights file; without it the default to encode, and to decode
            whichever model a file names.
        precision: of analysis and synthesis: `auto`, `float32` or `bfloat16`.
        limit_pixels: larger pictures are refused, before any memory is taken for them; None for no limit.
        engine: what runs the network: `onnx` (ONNX Runtime, on a CPU), `torch`, or `auto`: torch on a GPU and where a
            CPU has bfloat16 in hardware, if it is installed, else ONNX Runtime.
        threads: that work on one picture on a CPU; without it as many as there are cores. With torch it is a setting
            of the process, `torch.set_num_threads`.
        pictures: how many are to be coded, if that is known: for one or two, `auto` takes the engine that starts
            quickest.

    A codec can be pickled: it loads the model again where it arrives. After a fork it goes on in the child, on a CPU.

    Raises:
        UnknownModel: the model is not there.
        MissingPackage: the engine, device or precision needs torch, which is not installed.
        ValueError: the engine, device or precision is not there.
    """

    def __init__(self, device: str = "auto", model: str | Path | None = None, precision: str = "auto",
                 limit_pixels: int | None = MAX_PIXELS, engine: str = "auto", threads: int | None = None,
                 pictures: int | None = None) -> None:
        self._engine: dict[str, Any] = {"device": device, "precision": precision, "engine": engine, "threads": threads,
                                        "pictures": pictures}
        self._model = model
        self.limit_pixels = limit_pixels
        self._lock = threading.Lock()
        _codecs.add(self)
        self._coders: dict[Path, Coder] = {}
        self._any_model = model is None
        self._info = models.find(model)
        self._load(self._info)

    def _load(self, info: models.ModelInfo) -> Coder:
        with self._lock:
            if info.path not in self._coders:
                from . import coder

                self._coders[info.path] = coder.load(info, **self._engine)
            return self._coders[info.path]

    def __getstate__(self) -> dict[str, Any]:
        return {**self._engine, "model": self._model, "limit_pixels": self.limit_pixels}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def coder_of(self, header: Header) -> Coder:
        """The coder of the model that a file names. Raises UnknownModel, and UnsupportedPicture for a lossless file."""
        if header.lossless:
            raise UnsupportedPicture("a lossless file holds no latents; decode it, and analyse its picture")
        return self._load(models.find_id(header.model_id) if self._any_model else self._info)

    @property
    def coder(self) -> Coder:
        """What codes with this codec's model: arrays, symbols and files in their parts."""
        return self._load(self._info)

    @property
    def model(self) -> models.ModelInfo:
        """The model that pictures are encoded with."""
        return self._info

    @property
    def tunes(self) -> tuple[str, ...]:
        """What this codec's model can make pictures for, the default first."""
        return self._info.tunes

    @property
    def engine(self) -> str:
        """The engine in use: `onnx` or `torch`."""
        return self.coder.engine.name

    @property
    def device(self) -> str:
        """The device in use, such as `cpu` or `cuda`."""
        return self.coder.engine.device

    @property
    def precision(self) -> str:
        """The precision of analysis and synthesis in use: `float32` or `bfloat16`."""
        return self.coder.engine.precision

    def encode(self, image: Source, quality: float | None = None, *, level: int | None = None,
               target_size: int | None = None, target_bpp: float | None = None, target_psnr: float | None = None,
               target_ssimulacra2: float | None = None, lossless: Lossless = "auto", tune: str = TUNES[0],
               strip: bool = False, timings: dict[str, float] | None = None,
               progress: Progress | None = None) -> bytes:
        """Compress a picture. What had to be changed or left out of it is told in a `PictureWarning`.

        Args:
            image: a Pillow image, a `uint8` array `[H, W, 3]`, `[H, W]`, or with alpha `[H, W, 4]`, `[H, W, 2]`, a
                `uint8` torch tensor `[3, H, W]` (or of 1, 2, 4 channels), a path, or
                a file object open for reading. The EXIF orientation is applied; alpha is kept without loss; ICC
                profile, EXIF and XMP are kept.
            quality: 0 (smallest file) to 100 (best picture); 50 without it and without what follows.
            level: the quality level 0..63 itself, instead of `quality`: what the network makes, never a lossless file.
            target_size: instead, the best quality in so many bytes.
            target_bpp: instead, the best quality in so many bits per pixel.
            target_psnr: instead, the smallest file with this PSNR in dB.
            target_ssimulacra2: instead, the smallest file with this SSIMULACRA2: 90 visually lossless, 70 good.
            lossless: True: every pixel is kept, instead of all these. `auto`: that is done where it makes the smaller
                file, as it does of flat graphics and tiny pictures, or where it fits into the size. False: never.
            tune: what the picture is for: `visual` for people who look at it, `psnr` for the smallest squared error,
                if the model has it (`tunes`).
            strip: leave out what is not needed to show the picture: EXIF and XMP.
            timings: receives the seconds spent per stage.
            progress: called with the share that is done, 0..1, again and again, and with 1 at the end.

        Returns:
            The bytes of an .aec file.

        Raises:
            TypeError: an image or a number of another type.
            UnsupportedPicture: a picture that must be converted first.
            LimitExceeded: a picture above the pixel limit.
            OSError: a file that Pillow cannot read.
            AecError: the target cannot be met; the message tells what can.
            ValueError: a number out of range, or several that exclude each other.
        """
        from .goals import Goal, reach

        goal = Goal(quality, level, target_size, target_bpp, target_psnr, target_ssimulacra2, lossless, tune)
        read = _read_picture(image, self.limit_pixels)
        return reach(self, read, goal, strip, timings, progress).data

    def encode_picture(self, read: Picture, level: int, *, strip: bool = False, rdoq_strength: float = 1.0,
                       timings: dict[str, float] | None = None, progress: Progress | None = None,
                       tune: str = TUNES[0]) -> bytes:
        """Compress a picture that `aecodec.picture.reading.read` has read, at a quality level, never losslessly.

        Args:
            rdoq_strength: of rate-distortion optimised rounding: more than 1 makes the file a little smaller than its
                level does.
        """
        container.check_pixels(read.pixels.shape[1], read.pixels.shape[0], self.limit_pixels)
        file = self.coder.encode(read.pixels, level, read.grey, timings, rdoq_strength, progress, tune)
        return container.write_file(replace(file, boxes=read.boxes(strip)))

    # -- latents ------------------------------------------------------------------------------------------------------

    def analyse(self, image: Source, quality: float = DEFAULT_QUALITY, *, level: int | None = None,
                tune: str = TUNES[0]) -> Latents:
        """The latents of a picture, before they are quantised: the network's half of `encode`.

        Arguments and errors are those of `encode`; `encode_latents` does the rest.
        """
        chosen = level_of(quality) if level is None else level
        read = _read_picture(image, self.limit_pixels)
        return replace(self.coder.analyse(read.pixels, chosen, tune), grey=read.grey, boxes=read.boxes())

    def encode_latents(self, latents: Latents) -> bytes:
        """Compress what `analyse` gave: `encode_latents(analyse(image))` equals `encode(image, lossless=False)`."""
        return container.write_file(self.coder.encode_latents(latents))

    def latents(self, data: Data) -> Latents:
        """The latents that an .aec file holds, dequantised: all of `decode` but the synthesis.

        Raises as `decode` does, and UnsupportedPicture for a lossless file, which holds none.
        """
        file = read_file(data, self.limit_pixels)
        return self.coder_of(file.header).latents(file)

    def render(self, latents: Latents) -> Image.Image:
        """The picture of latents: `render(latents(data))` equals `decode(data)`, to the byte.

        Latents of a file are rendered by the model that the file was made with, if that is this codec's.
        """
        alpha = find_alpha(latents.boxes, latents.width, latents.height)
        return reading.to_image(self.coder.render(latents), latents.grey, alpha, boxes.metadata(latents.boxes))

    # -- decoding -----------------------------------------------------------------------------------------------------

    @overload
    def decode(self, data: Data, *, output: Literal["image"] = "image", timings: dict[str, float] | None = None,
               progress: Progress | None = None) -> Image.Image: ...
    @overload
    def decode(self, data: Data, *, output: Literal["array"], timings: dict[str, float] | None = None,
               progress: Progress | None = None) -> np.ndarray: ...
    @overload
    def decode(self, data: Data, *, output: Literal["tensor"], timings: dict[str, float] | None = None,
               progress: Progress | None = None) -> torch.Tensor: ...
    def decode(self, data: Data, *, output: str = "image", timings: dict[str, float] | None = None,
               progress: Progress | None = None) -> Image.Image | np.ndarray | torch.Tensor:
        """Decompress an .aec file.

        Args:
            data: its bytes, its path, or a file object open for reading.
            output: `image`: a Pillow image of mode RGB, L, RGBA or LA, whose `info` holds `icc_profile`, `exif` and
                `xmp` where the file has them; `array`: a `uint8` array `[H, W, C]`, or `[H, W]` for grey without
                alpha; `tensor`: a `uint8` torch tensor `[C, H, W]` on the codec's device.
            timings: receives the seconds spent per stage.
            progress: called with the share that is done, 0..1, again and again, and with 1 at the end.

        Raises:
            TypeError: data of another type.
            NotAec, UnsupportedVersion, CorruptFile, LimitExceeded: the file cannot be read.
            UnknownModel: it needs weights that are not there.
            MissingPackage: a `tensor` needs torch, which is not installed.
            ValueError: another `output`.
        """
        _check_output(output)
        return self._decode_to(output, read_file(data, self.limit_pixels), timings, progress)

    def _decode_to(self, output: str, file: AecFile, timings: dict[str, float] | None = None,
                    progress: Progress | None = None) -> Image.Image | np.ndarray | torch.Tensor:
        if output == "image":
            return self.decode_file(file, timings, progress)
        pixels, alpha, _ = self._decode(file, timings, progress)
        array = reading.to_array(pixels, file.header.grey, alpha)
        if output == "array":
            return array
        import torch

        planes = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
        return torch.from_numpy(planes).to(self.device).contiguous()

    def decode_file(self, file: AecFile, timings: dict[str, float] | None = None,
                    progress: Progress | None = None) -> Image.Image:
        """Decode a file that `container.read_file` has read, whatever its size; see `decode`."""
        pixels, alpha, contents = self._decode(file, timings, progress)
        return reading.to_image(pixels, file.header.grey, alpha, contents)

    def _decode(self, file: AecFile, timings: dict[str, float] | None, progress: Progress | None,
                ) -> tuple[np.ndarray, np.ndarray | None, dict[str, bytes]]:
        """The picture `uint8 [H, W, 3]` of a file, its alpha, and its metadata by box."""
        contents = boxes.metadata(file.boxes)
        if file.header.lossless:
            from .picture import lossless

            pixels, alpha = lossless.decode(file)
        else:
            coder = self.coder_of(file.header)
            alpha = find_alpha(file.boxes, file.header.width, file.header.height)
            pixels = coder.decode(file, timings, progress)
        if progress is not None:
            progress(1.0)
        return pixels, alpha, contents

    # -- many pictures ------------------------------------------------------------------------------------------------

    def encode_batch(self, images: Iterable[Source], quality: float | None = None, *, jobs: int = 2,
                     **options: Any) -> Iterator[bytes]:
        """Compress many pictures, several at a time: while one is on its way through the network, others are read.

        Args:
            images: pictures as `encode` takes them; they are taken from it as they are needed.
            jobs: how many are worked on at a time.
            quality, options: see `encode`.

        Yields:
            The bytes of an .aec file for each, in their order. An error is raised where its file would have come.
        """
        return in_threads(lambda image: self.encode(image, quality, **options), images, jobs)

    def decode_batch(self, files: Iterable[Data], *, output: str = "image", jobs: int = 2) -> Iterator[Any]:
        """Decompress many files, several at a time. Yields what `decode` gives, in their order; see `encode_batch`."""
        return in_threads(lambda data: self.decode(data, output=output), files, jobs)  # type: ignore[call-overload]


def decode_file(file: AecFile) -> Image.Image:
    """Decode a file that `container.read_file` has read, whatever its size; a lossless one loads no weights."""
    if file.header.lossless:
        from .picture import lossless

        return lossless.decode_image(file)
    return default_codec().decode_file(file)


_default_lock = threading.Lock()
_make_default = functools.lru_cache(maxsize=1)(functools.partial(Codec, pictures=1))  # who has many makes a `Codec`
_codecs: weakref.WeakSet[Codec] = weakref.WeakSet()


def default_codec() -> Codec:
    """The codec that `encode`, `decode` and the Pillow plugin share."""
    with _default_lock:  # or threads that come at once would each load the weights
        return _make_default()


def _free_locks() -> None:
    """In a forked process nobody is left to release what other threads held."""
    global _default_lock
    _default_lock = threading.Lock()
    for codec in _codecs:
        codec._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_locks)


def encode(image: Source, quality: float | None = None, *, target_size: int | None = None,
           target_bpp: float | None = None, target_psnr: float | None = None, target_ssimulacra2: float | None = None,
           lossless: Lossless = "auto", tune: str = TUNES[0], strip: bool = False,
           progress: Progress | None = None) -> bytes:
    """Compress a picture with the default model, kept loaded after the first call: see `Codec.encode`."""
    from .goals import Goal, reach

    goal = Goal(quality, None, target_size, target_bpp, target_psnr, target_ssimulacra2, lossless, tune)
    return reach(default_codec(), _read_picture(image, MAX_PIXELS), goal, strip, None, progress).data


@overload
def decode(data: Data, *, output: Literal["image"] = "image") -> Image.Image: ...
@overload
def decode(data: Data, *, output: Literal["array"]) -> np.ndarray: ...
@overload
def decode(data: Data, *, output: Literal["tensor"]) -> torch.Tensor: ...
def decode(data: Data, *, output: str = "image") -> Image.Image | np.ndarray | torch.Tensor:
    """Decompress an .aec file, with the weights kept loaded after the first call: see `Codec.decode`.

    A lossless file needs no weights, and none are loaded for it.
    """
    _check_output(output)
    file = read_file(data, MAX_PIXELS)
    if not file.header.lossless or output == "tensor":  # which goes to the codec's device
        return default_codec()._decode_to(output, file)
    image = decode_file(file)
    if output == "image":
        return image
    import numpy as np

    return np.array(image)


def encode_batch(images: Iterable[Source], quality: float | None = None, *, jobs: int = 2,
                 **options: Any) -> Iterator[bytes]:
    """Compress many pictures with the default model: see `Codec.encode_batch`."""
    return default_codec().encode_batch(images, quality, jobs=jobs, **options)


def decode_batch(files: Iterable[Data], *, output: str = "image", jobs: int = 2) -> Iterator[Any]:
    """Decompress many files: see `Codec.decode_batch`."""
    return default_codec().decode_batch(files, output=output, jobs=jobs)
