"""The codecs that are compared: each turns a picture into the bytes of a whole file at a setting, and back.

Ours are named `aecodec-MODEL`, so that a table can hold several models. The others are listed here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import classic
from .base import Codec, NotAvailable, Options
from .learned import COMPRESSAI_PREFIX, OURS_PREFIX, AecodecCodec, CompressaiCodec

__all__ = ["COMPRESSAI_MODELS", "COMPRESSAI_PREFIX", "LOSSLESS", "NAMES", "OURS", "OURS_PREFIX", "QUICK", "SPEED",
           "SWEEP", "Codec", "NotAvailable", "Options", "available", "is_known", "is_learned", "is_ours", "label",
           "open_codec", "order"]

COMPRESSAI_MODELS = ("bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018-mean", "mbt2018", "cheng2020-anchor")
OURS = "aecodec"  # stands for every model that was asked for, or else the default one
_LABELS = {
    "jpeg": "JPEG 4:2:0", "jpeg-444": "JPEG 4:4:4", "jpegli": "jpegli", "webp": "WebP",
    "avif": "AVIF 4:2:0", "avif-444": "AVIF 4:4:4", "heic": "HEIC 4:2:0", "jxl": "JPEG XL", "jpeg2000": "JPEG 2000",
    "webp-lossless": "WebP lossless", "jpeg-default": "JPEG, Pillow's defaults",
    "webp-default": "WebP, Pillow's defaults",
    **{COMPRESSAI_PREFIX + name: f"{name} (CompressAI)" for name in COMPRESSAI_MODELS},
}
LOSSLESS = frozenset(("webp-lossless",))


def _compressai(architecture: str) -> Callable[[Options], Codec]:
    return lambda options: CompressaiCodec(architecture, options)


_OPEN: dict[str, Callable[[Options], Codec]] = {
    **classic.OPEN,
    **{COMPRESSAI_PREFIX + architecture: _compressai(architecture) for architecture in COMPRESSAI_MODELS},
}
NAMES = (OURS, *_OPEN)
SWEEP = (OURS, "jpeg", "jpeg-444", "jpegli", "webp", "avif", "avif-444", "heic", "jxl", "jpeg2000", "webp-lossless")
QUICK = tuple(name for name in SWEEP if not name.endswith("-444"))
SPEED = (OURS, "jpeg", "webp", "avif", "jxl", *(COMPRESSAI_PREFIX + name for name in COMPRESSAI_MODELS))


def is_ours(name: str) -> bool:
    """Whether a codec is this project's, with whatever model."""
    return name.startswith(OURS_PREFIX)


def is_learned(name: str) -> bool:
    """Whether a codec is a neural network."""
    return name.startswith((OURS_PREFIX, COMPRESSAI_PREFIX))


def is_known(name: str) -> bool:
    """Whether `open_codec` takes a name. Of ours it takes all: the model may be missing, but that can be mended."""
    return name in _OPEN or is_ours(name)


def label(name: str) -> str:
    """How a codec is called in text."""
    return f"aecodec ({name.removeprefix(OURS_PREFIX)})" if is_ours(name) else _LABELS.get(name, name)


def order(name: str) -> tuple[int, str]:
    """A key to sort codecs by: ours, those of `NAMES` as they stand there, others."""
    return (-1 if is_ours(name) else NAMES.index(name) if name in NAMES else len(NAMES)), name


def open_codec(name: str, options: Options) -> Codec:
    """A codec by name, ready to use.

    Raises:
        ValueError: there is no codec of this name.
        NotAvailable: there is, but not here.
    """
    if not is_known(name):
        raise ValueError(f"no codec named {name}; choose from {', '.join(NAMES)}")
    try:
        if is_ours(name):
            return AecodecCodec(name.removeprefix(OURS_PREFIX), options)
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
