"""The codecs that are compared: each turns a picture into the bytes of a whole file at a setting, and back.

Pictures are `uint8 [H, W, 3]` arrays of RGB. No metadata goes in, so none is paid for.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import io
import struct
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Pixels = np.ndarray
Timings = dict[str, float]

LEVELS = 64  # of aecodec
COMPRESSAI_MODELS = ("bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018-mean", "mbt2018", "cheng2020-anchor")
COMPRESSAI_PREFIX = "compressai-"
LABELS = {
    "aecodec": "aecodec", "jpeg": "JPEG 4:2:0", "jpeg-444": "JPEG 4:4:4", "jpegli": "jpegli", "webp": "WebP",
    "avif": "AVIF 4:2:0", "avif-444": "AVIF 4:4:4", "heic": "HEIC 4:2:0", "jxl": "JPEG XL", "jpeg2000": "JPEG 2000",
    "webp-lossless": "WebP lossless", "jpeg-default": "JPEG, Pillow's defaults",
    "webp-default": "WebP, Pillow's defaults",
    **{COMPRESSAI_PREFIX + name: f"{name} (CompressAI)" for name in COMPRESSAI_MODELS},
}
LEARNED = frozenset(name for name in LABELS if name == "aecodec" or name.startswith(COMPRESSAI_PREFIX))
LOSSLESS = frozenset(("webp-lossless",))


class NotAvailable(Exception):
    """A codec cannot run here; the message says why and what would help."""


@dataclass(frozen=True)
class Options:
    """What every codec is opened with.

    Args:
        threads: threads a codec may use, where it can be told.
        device: `auto`, `cpu` or `cuda`, for the learned codecs.
        model: aecodec's model: a name, a weights file, or None for the default.
        compressai: checkpoints of CompressAI's networks: architecture -> {quality 1..8: file}.
    """

    threads: int = 1
    device: str = "cpu"
    model: str | None = None
    compressai: Mapping[str, Mapping[int, Path]] = field(default_factory=dict)


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


class PillowCodec(Codec):
    """A format that Pillow writes and reads, itself or through a plug-in."""

    def __init__(self, name: str, format: str, save: Callable[[float], dict[str, Any]], version: str,
                 settings: Sequence[float], fine: Sequence[float], speed_setting: float,
                 embeds: str | None = None) -> None:
        self.name, self.format, self.save, self.version = name, format, save, version
        self.settings, self.fine, self.speed_setting, self.embeds = settings, fine, speed_setting, embeds

    def encode(self, pixels: Pixels, setting: float, timings: Timings | None = None) -> bytes:
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format=self.format, **self.save(setting))
        return file.getvalue()

    def decode(self, data: bytes, timings: Timings | None = None) -> Pixels:
        from PIL import Image

        with Image.open(io.BytesIO(data), formats=[self.format]) as image:
            return np.asarray(image.convert("RGB"))


class JpegliCodec(PillowCodec):
    """Google's jpegli. Its files are JPEGs, so they are decoded by what everybody decodes JPEGs with."""

    def encode(self, pixels: Pixels, setting: float, timings: Timings | None = None) -> bytes:
        import pyjpegli

        return pyjpegli.encode(np.ascontiguousarray(pixels), pixels.shape[1], pixels.shape[0], int(setting))


class AecodecCodec(Codec):
    """This project's codec, through its public API."""

    name = "aecodec"
    settings: Sequence[float] = tuple(int(level) for level in np.linspace(0, LEVELS - 1, 12).round())
    fine: Sequence[float] = tuple(range(LEVELS))
    speed_setting = 32.0

    def __init__(self, options: Options) -> None:
        import aecodec

        _use_threads(options.threads)
        try:
            self.codec = aecodec.Codec(device=options.device, model=options.model)
        except (aecodec.AecError, ValueError) as error:
            raise NotAvailable(str(error)) from error
        self.device = _device(options.device)
        header = aecodec.read_header(self.encode(np.zeros((16, 16, 3), np.uint8), self.speed_setting))
        self.version = f"aecodec {aecodec.__version__}, model {header.model_id:04x}-{header.bundle_hash.hex()}"

    def encode(self, pixels: Pixels, setting: float, timings: Timings | None = None) -> bytes:
        return self.codec.encode(pixels, level=int(setting), timings=timings)

    def decode(self, data: bytes, timings: Timings | None = None) -> Pixels:
        return np.asarray(self.codec.decode(data, timings=timings).convert("RGB"))


class CompressaiCodec(Codec):
    """One of CompressAI's networks (Begaint et al. 2020) with its own range coder.

    The library leaves the file to its user, so a minimal one is written: quality, the picture's size, the shape
    of the innermost latents, and the strings with their lengths. `settings` are the qualities whose checkpoints
    were given; without any, the weights are random: good for timing (quality 4), not for quality.
    """

    speed_setting = 4.0
    _STRIDE = 64  # of the innermost latents
    _SIZES = struct.Struct("<BIIHHB")  # quality, height, width, latent height, latent width, number of strings
    _LENGTH = struct.Struct("<I")

    def __init__(self, architecture: str, options: Options) -> None:
        try:
            import torch

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what torch deprecates in it
                from compressai.zoo import image_models
                from compressai.zoo.image import model_architectures
                from compressai.zoo.pretrained import load_pretrained
        except ImportError as error:
            raise NotAvailable(f"{error}; pip install compressai (it needs numpy<2)") from error
        self._torch = torch
        _use_threads(options.threads)
        self.device = _device(options.device)
        self.name = COMPRESSAI_PREFIX + architecture
        self.version = f"compressai {_release('compressai')}"
        self.networks: dict[int, Any] = {}
        for quality, path in sorted(options.compressai.get(architecture, {}).items()):
            state = torch.load(path, map_location="cpu", weights_only=True)
            state = load_pretrained(state.get("state_dict", state))
            self.networks[quality] = model_architectures[architecture].from_state_dict(state)
            self.version += f", q{quality} {hashlib.sha256(Path(path).read_bytes()).hexdigest()[:8]}"
        self.settings = self.fine = tuple(self.networks)
        if not self.networks:
            torch.manual_seed(0)
            self.networks[4] = image_models[architecture](4, "mse", pretrained=False)
            self.version += ", random weights"
        self.speed_setting = min(self.networks, key=lambda quality: abs(quality - self.speed_setting))
        for network in self.networks.values():
            network.update(force=True)
            network.eval().to(self.device)
            for transform in (network.g_a, network.g_s, getattr(network, "h_a", None), getattr(network, "h_s", None)):
                if transform is not None:
                    transform.register_forward_pre_hook(self._start)
                    transform.register_forward_hook(self._stop)
        self._began = self._transform = 0.0

    def _start(self, *_: Any) -> None:
        self.synchronise()
        self._began = time.perf_counter()

    def _stop(self, *_: Any) -> None:
        self.synchronise()
        self._transform += time.perf_counter() - self._began

    def _time(self, work: Callable[[], Any], timings: Timings | None) -> Any:
        """Run `work` and split its time: the transforms, and the rest (range coder and serial context model)."""
        self._transform, began = 0.0, time.perf_counter()
        with self._torch.inference_mode():
            result = work()
        self.synchronise()
        if timings is not None:
            timings["transform"] = timings.get("transform", 0.0) + self._transform
            timings["entropy"] = timings.get("entropy", 0.0) + time.perf_counter() - began - self._transform
        return result

    def encode(self, pixels: Pixels, setting: float, timings: Timings | None = None) -> bytes:
        quality = int(setting)
        height, width = pixels.shape[:2]
        padded = np.pad(pixels, ((0, -height % self._STRIDE), (0, -width % self._STRIDE), (0, 0)), mode="edge")
        x = self._torch.from_numpy(padded).to(self.device).permute(2, 0, 1)[None].float() / 255
        coded = self._time(lambda: self.networks[quality].compress(x), timings)
        strings = [batch[0] for batch in coded["strings"]]
        latent_height, latent_width = coded["shape"]
        file = self._SIZES.pack(quality, height, width, latent_height, latent_width, len(strings))
        return file + b"".join(self._LENGTH.pack(len(string)) + string for string in strings)

    def decode(self, data: bytes, timings: Timings | None = None) -> Pixels:
        quality, height, width, latent_height, latent_width, count = self._SIZES.unpack_from(data)
        at, strings = self._SIZES.size, []
        for _ in range(count):
            (length,) = self._LENGTH.unpack_from(data, at)
            at += self._LENGTH.size + length
            strings.append([data[at - length:at]])
        network = self.networks[quality]
        x = self._time(lambda: network.decompress(strings, (latent_height, latent_width))["x_hat"], timings)
        pixels = (x[0].clamp(0, 1) * 255).round().to(self._torch.uint8).permute(1, 2, 0).cpu().numpy()
        return pixels[:height, :width]


# -- opening -----------------------------------------------------------------------------------------------------


def _jpeg(subsampling: str) -> Callable[[Options], Codec]:
    def open_jpeg(options: Options) -> Codec:
        return PillowCodec(
            "jpeg" if subsampling == "4:2:0" else "jpeg-444", "JPEG",
            lambda q: {"quality": int(q), "subsampling": subsampling, "optimize": True, "progressive": True},
            f"Pillow {_release('pillow')}, libjpeg-turbo {_feature('libjpeg_turbo', 'jpg')}",
            (5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95), range(1, 101), 75, "image/jpeg")
    return open_jpeg


def _jpeg_default(options: Options) -> Codec:
    return PillowCodec("jpeg-default", "JPEG", lambda q: {"quality": int(q)},
                       f"Pillow {_release('pillow')}, libjpeg-turbo {_feature('libjpeg_turbo', 'jpg')}",
                       range(5, 100, 5), range(1, 101), 75, "image/jpeg")


def _jpegli(options: Options) -> Codec:
    _need("pyjpegli", "pip install pyjpegli")
    return JpegliCodec("jpegli", "JPEG", lambda q: {}, f"pyjpegli {_release('pyjpegli')}",
                       (5, 15, 25, 35, 45, 55, 65, 75, 85, 92, 96), range(1, 101), 75, "image/jpeg")


def _webp(options: Options) -> Codec:
    return PillowCodec("webp", "WEBP", lambda q: {"quality": int(q), "method": 6},
                       f"Pillow {_release('pillow')}, libwebp {_feature('webp')}",
                       (0, 5, 15, 25, 40, 55, 70, 80, 88, 94, 98), range(0, 101), 75, "image/webp")


def _webp_default(options: Options) -> Codec:
    return PillowCodec("webp-default", "WEBP", lambda q: {"quality": int(q)},
                       f"Pillow {_release('pillow')}, libwebp {_feature('webp')}",
                       range(5, 100, 5), range(0, 101), 75, "image/webp")


def _webp_lossless(options: Options) -> Codec:
    return PillowCodec("webp-lossless", "WEBP", lambda _: {"lossless": True},
                       f"Pillow {_release('pillow')}, libwebp {_feature('webp')}", (0,), (0,), 0, "image/webp")


def _avif(subsampling: str) -> Callable[[Options], Codec]:
    def open_avif(options: Options) -> Codec:
        version = f"Pillow {_release('pillow')}, libavif {_feature('avif')}"
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = options.threads  # what decoding goes by
        return PillowCodec(
            "avif" if subsampling == "4:2:0" else "avif-444", "AVIF",
            lambda q: {"quality": int(q), "subsampling": subsampling, "speed": 6, "max_threads": options.threads},
            version, (5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95), range(1, 101), 60, "image/avif")
    return open_avif


def _jpeg2000(options: Options) -> Codec:
    return PillowCodec(
        "jpeg2000", "JPEG2000",  # settings are bits per pixel; the bare codestream is the smaller file
        lambda bpp: {"quality_mode": "rates", "quality_layers": [24 / bpp], "irreversible": True, "mct": 1,
                     "no_jp2": True},
        f"Pillow {_release('pillow')}, OpenJPEG {_feature('jpg_2000')}",
        (0.06, 0.1, 0.16, 0.25, 0.4, 0.6, 0.9, 1.4, 2.1, 3.2, 4.8),
        tuple(float(f"{bpp:.3g}") for bpp in np.geomspace(0.03, 8, 200)), 0.75)


def _jxl(options: Options) -> Codec:
    _need("pillow_jxl", "pip install pillow-jxl-plugin")
    from pillow_jxl import JpegXLImagePlugin

    threads = options.threads if options.threads > 1 else 0  # 0: none beside the caller's
    JpegXLImagePlugin.DECODE_THREADS = threads
    return PillowCodec("jxl", "JXL", lambda q: {"quality": q, "effort": 7, "num_threads": threads},
                       f"pillow-jxl-plugin {_release('pillow-jxl-plugin')}",
                       (1, 10, 20, 30, 42, 55, 68, 78, 86, 92, 96), range(1, 100), 75)


def _heic(options: Options) -> Codec:
    _need("pillow_heif", "pip install pillow-heif")
    import pillow_heif

    pillow_heif.register_heif_opener(decode_threads=options.threads)
    libraries = pillow_heif.libheif_info()
    if not libraries["HEIF"]:
        raise NotAvailable("this build of pillow-heif cannot write HEIC; install its wheel: pip install pillow-heif")
    return PillowCodec(
        "heic", "HEIF",
        lambda q: {"quality": int(q), "chroma": 420, "enc_params": {"x265:pools": str(options.threads)}},
        f"pillow-heif {_release('pillow-heif')}, libheif {libraries['libheif']}, {libraries['HEIF']}",
        (2, 6, 10, 15, 20, 26, 32, 40, 50, 60, 70), range(1, 91), 40)


def _compressai(architecture: str) -> Callable[[Options], Codec]:
    return lambda options: CompressaiCodec(architecture, options)


_OPEN: dict[str, Callable[[Options], Codec]] = {
    "aecodec": AecodecCodec,
    "jpeg": _jpeg("4:2:0"), "jpeg-444": _jpeg("4:4:4"), "jpegli": _jpegli, "webp": _webp,
    "avif": _avif("4:2:0"), "avif-444": _avif("4:4:4"), "heic": _heic, "jxl": _jxl, "jpeg2000": _jpeg2000,
    "webp-lossless": _webp_lossless, "jpeg-default": _jpeg_default, "webp-default": _webp_default,
    **{COMPRESSAI_PREFIX + architecture: _compressai(architecture) for architecture in COMPRESSAI_MODELS},
}
NAMES = tuple(_OPEN)
SWEEP = ("aecodec", "jpeg", "jpeg-444", "jpegli", "webp", "avif", "avif-444", "heic", "jxl", "jpeg2000",
         "webp-lossless")
QUICK = tuple(name for name in SWEEP if not name.endswith("-444"))
SPEED = ("aecodec", "jpeg", "webp", "avif", "jxl", *(COMPRESSAI_PREFIX + name for name in COMPRESSAI_MODELS))


def open_codec(name: str, options: Options) -> Codec:
    """A codec by name, ready to use.

    Raises:
        ValueError: there is no codec of this name.
        NotAvailable: there is, but not here.
    """
    if name not in _OPEN:
        raise ValueError(f"no codec named {name}; choose from {', '.join(NAMES)}")
    try:
        return _OPEN[name](options)
    except ImportError as error:
        raise NotAvailable(f"{error}; install what it names") from error


def available(names: Sequence[str], options: Options) -> tuple[list[Codec], dict[str, str]]:
    """The codecs that can be used here, and why the others cannot: name -> reason."""
    codecs, missing = [], {}
    for name in names:
        try:
            codecs.append(open_codec(name, options))
        except NotAvailable as error:
            missing[name] = str(error)
    return codecs, missing


def _need(module: str, remedy: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise NotAvailable(f"not installed: {remedy}")
    importlib.import_module(module)  # registers the format with Pillow


def _release(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "(source checkout)"


def _feature(name: str, fallback: str | None = None) -> str:
    """The version of a library inside Pillow. Raises NotAvailable if this build of Pillow has it not."""
    from PIL import features

    for feature in filter(None, (name, fallback)):
        if features.check(feature):
            return str(features.version(feature))
    raise NotAvailable(f"this build of Pillow has no {name}; install Pillow's wheel: pip install --upgrade pillow")


def _use_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _device(device: str) -> str:
    import torch

    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
