"""The formats that everybody has, through Pillow and its plug-ins. No metadata goes in, so none is paid for."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .base import Codec, NotAvailable, Options, Pixels, Timings, release


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


# -- opening ----------------------------------------------------------------------------------------------------


def _jpeg(subsampling: str) -> Callable[[Options], Codec]:
    def open_jpeg(options: Options) -> Codec:
        return PillowCodec(
            "jpeg" if subsampling == "4:2:0" else "jpeg-444", "JPEG",
            lambda q: {"quality": int(q), "subsampling": subsampling, "optimize": True, "progressive": True},
            f"Pillow {release('pillow')}, libjpeg-turbo {_feature('libjpeg_turbo', 'jpg')}",
            (5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95), range(1, 101), 75, "image/jpeg")
    return open_jpeg


def _jpeg_default(options: Options) -> Codec:
    return PillowCodec("jpeg-default", "JPEG", lambda q: {"quality": int(q)},
                       f"Pillow {release('pillow')}, libjpeg-turbo {_feature('libjpeg_turbo', 'jpg')}",
                       range(5, 100, 5), range(1, 101), 75, "image/jpeg")


def _jpegli(options: Options) -> Codec:
    _need("pyjpegli", "pip install pyjpegli")
    return JpegliCodec("jpegli", "JPEG", lambda q: {}, f"pyjpegli {release('pyjpegli')}",
                       (5, 15, 25, 35, 45, 55, 65, 75, 85, 92, 96), range(1, 101), 75, "image/jpeg")


def _webp(options: Options) -> Codec:
    return PillowCodec("webp", "WEBP", lambda q: {"quality": int(q), "method": 6},
                       f"Pillow {release('pillow')}, libwebp {_feature('webp')}",
                       (0, 5, 15, 25, 40, 55, 70, 80, 88, 94, 98), range(0, 101), 75, "image/webp")


def _webp_default(options: Options) -> Codec:
    return PillowCodec("webp-default", "WEBP", lambda q: {"quality": int(q)},
                       f"Pillow {release('pillow')}, libwebp {_feature('webp')}",
                       range(5, 100, 5), range(0, 101), 75, "image/webp")


def _webp_lossless(options: Options) -> Codec:
    return PillowCodec("webp-lossless", "WEBP", lambda _: {"lossless": True},
                       f"Pillow {release('pillow')}, libwebp {_feature('webp')}", (0,), (0,), 0, "image/webp")


def _avif(subsampling: str) -> Callable[[Options], Codec]:
    def open_avif(options: Options) -> Codec:
        version = f"Pillow {release('pillow')}, libavif {_feature('avif')}"
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
        f"Pillow {release('pillow')}, OpenJPEG {_feature('jpg_2000')}",
        (0.06, 0.1, 0.16, 0.25, 0.4, 0.6, 0.9, 1.4, 2.1, 3.2, 4.8),
        tuple(float(f"{bpp:.3g}") for bpp in np.geomspace(0.03, 8, 200)), 0.75)


def _jxl(options: Options) -> Codec:
    _need("pillow_jxl", "pip install pillow-jxl-plugin")
    from pillow_jxl import JpegXLImagePlugin

    threads = options.threads if options.threads > 1 else 0  # 0: none beside the caller's
    JpegXLImagePlugin.DECODE_THREADS = threads
    return PillowCodec("jxl", "JXL", lambda q: {"quality": q, "effort": 7, "num_threads": threads},
                       f"pillow-jxl-plugin {release('pillow-jxl-plugin')}",
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
        f"pillow-heif {release('pillow-heif')}, libheif {libraries['libheif']}, {libraries['HEIF']}",
        (2, 6, 10, 15, 20, 26, 32, 40, 50, 60, 70), range(1, 91), 40)


def _need(module: str, remedy: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise NotAvailable(f"not installed: {remedy}")
    importlib.import_module(module)  # registers the format with Pillow


def _feature(name: str, fallback: str | None = None) -> str:
    """The version of a library inside Pillow. Raises NotAvailable if this build of Pillow has it not."""
    from PIL import features

    for feature in filter(None, (name, fallback)):
        if features.check(feature):
            return str(features.version(feature))
    raise NotAvailable(f"this build of Pillow has no {name}; install Pillow's wheel: pip install --upgrade pillow")


OPEN: dict[str, Callable[[Options], Codec]] = {
    "jpeg": _jpeg("4:2:0"), "jpeg-444": _jpeg("4:4:4"), "jpegli": _jpegli, "webp": _webp,
    "avif": _avif("4:2:0"), "avif-444": _avif("4:4:4"), "heic": _heic, "jxl": _jxl, "jpeg2000": _jpeg2000,
    "webp-lossless": _webp_lossless, "jpeg-default": _jpeg_default, "webp-default": _webp_default,
}
