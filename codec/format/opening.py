"""An .aec file from its bytes, its path or a file object."""

from __future__ import annotations

import os
from typing import IO, TypeAlias

from . import boxes, container
from .container import AecFile, Header

Data: TypeAlias = "bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes]"
HEADER_BYTES = 64


def read_header(data: Data) -> Header:
    """What a file says of itself; its first 64 bytes are enough, and neither torch nor weights are needed.

    Args:
        data: its bytes, its path, or a file object open for reading, which is left where the header was read.

    Raises:
        NotAec, UnsupportedVersion, CorruptFile: see `aecodec.AecError`.
        TypeError: another type.
        OSError: a path that cannot be read.
    """
    return container.read_header(bytes(_bytes_of(data, HEADER_BYTES)))[0]


def read_file(data: Data, limit_pixels: int | None) -> AecFile:
    """A file whose checksums are right and whose size is within the limit.

    Raises:
        NotAec, UnsupportedVersion, CorruptFile, LimitExceeded: the file cannot be read.
        TypeError, OSError: see `read_header`.
    """
    file = container.read_file(_bytes_of(data), boxes.KNOWN)  # type: ignore[arg-type]
    container.check_pixels(file.header.width, file.header.height, limit_pixels)
    return file


def _bytes_of(data: Data, most: int = -1) -> bytes | bytearray | memoryview:
    """The bytes of a file, or the first ones of them."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        return data
    if isinstance(data, (str, os.PathLike)):
        with open(data, "rb") as file:
            return file.read(most)
    if hasattr(data, "read"):
        return data.read(most)
    raise TypeError(f"expected the bytes of an .aec file, its path or a file object, not {type(data).__name__}")
