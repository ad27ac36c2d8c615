"""aecodec: a learned image codec to use. Importing it does not import torch."""

from __future__ import annotations

from .api import Codec, decode, encode, level_of, read_header
from .container import LEVELS, Header
from .errors import (
    AecError,
    CorruptFile,
    LimitExceeded,
    NotAec,
    UnknownModel,
    UnsupportedPicture,
    UnsupportedVersion,
)
from .version import __version__

__all__ = [
    "LEVELS",
    "AecError",
    "Codec",
    "CorruptFile",
    "Header",
    "LimitExceeded",
    "NotAec",
    "UnknownModel",
    "UnsupportedPicture",
    "UnsupportedVersion",
    "__version__",
    "decode",
    "encode",
    "level_of",
    "read_header",
]
