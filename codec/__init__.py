"""aecodec: a learned image codec to use. Importing it imports neither torch nor NumPy: names are fetched when used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .errors import (
    AecError,
    CorruptFile,
    LargePictureWarning,
    LimitExceeded,
    MissingPackage,
    NotAec,
    UnknownModel,
    UnsupportedPicture,
    UnsupportedVersion,
)
from .format.constants import LEVELS, level_of
from .format.container import Header
from .version import __version__

if TYPE_CHECKING:
    from .api import Codec, decode, decode_batch, encode, encode_batch
    from .coder import Latents
    from .format.opening import read_header
    from .latents.denoise import denoise
    from .latents.image import LatentImage, read_latents
    from .latents.inpaint import inpaint
    from .picture.reading import PictureWarning

_FETCHED = {"Codec": "api", "LatentImage": "latents.image", "Latents": "coder", "PictureWarning": "picture.reading",
            "decode": "api", "decode_batch": "api", "denoise": "latents.denoise", "encode": "api",
            "encode_batch": "api", "inpaint": "latents.inpaint", "read_header": "format.opening",
            "read_latents": "latents.image"}

__all__ = [
    "LEVELS",
    "AecError",
    "Codec",
    "CorruptFile",
    "Header",
    "LargePictureWarning",
    "LatentImage",
    "Latents",
    "LimitExceeded",
    "MissingPackage",
    "NotAec",
    "PictureWarning",
    "UnknownModel",
    "UnsupportedPicture",
    "UnsupportedVersion",
    "__version__",
    "decode",
    "decode_batch",
    "denoise",
    "encode",
    "encode_batch",
    "inpaint",
    "level_of",
    "read_header",
    "read_latents",
]


def __getattr__(name: str) -> Any:
    if name not in _FETCHED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_FETCHED[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
