"""What the boxes behind the picture hold: alpha (`ALPH`), ICC profile (`ICCP`), EXIF (`exif`) and XMP (`xmp_`).

`ALPH` is the IDAT stream of an 8-bit greyscale PNG of the picture's size: rows with a filter byte each, in zlib. The
other three are the bytes themselves, in zlib; EXIF starts with its TIFF header.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO

import numpy as np

from ..errors import CorruptFile
from .container import Box

ALPHA, ICC, EXIF, XMP = "ALPH", "ICCP", "exif", "xmp_"
KNOWN = frozenset((ALPHA, ICC, EXIF, XMP))
MAX_METADATA = 1 << 26  # unpacked: a small file must not fill the memory

_PNG = b"\x89PNG\r\n\x1a\n"


def pack(alpha: np.ndarray | None, icc: bytes | None, exif: bytes | None, xmp: bytes | None) -> tuple[Box, ...]:
    """The boxes of what is not None; `alpha` is `uint8 [H, W]`."""
    boxes = [] if alpha is None else [Box(ALPHA, pack_alpha(alpha))]
    return *boxes, *(Box(kind, zlib.compress(data, 9)) for kind, data in ((ICC, icc), (EXIF, exif), (XMP, xmp)) if data)


def unpack(boxes: Iterable[Box], width: int, height: int) -> tuple[np.ndarray | None, dict[str, bytes]]:
    """Alpha `uint8 [height, width]` or None, and the other boxes' contents by box type. Raises CorruptFile."""
    alpha, contents = None, {}
    for box in boxes:
        if box.kind == ALPHA:
            alpha = unpack_alpha(box.data, width, height)
        elif box.kind in KNOWN:
            contents[box.kind] = unpack_metadata(box)
    return alpha, contents


def unpack_metadata(box: Box) -> bytes:
    """What a box of metadata holds. Raises CorruptFile."""
    return _inflate(box.data, MAX_METADATA, f"box {box.kind}")


def _inflate(data: bytes, most: int, name: str) -> bytes:
    stream = zlib.decompressobj()
    try:
        unpacked = stream.decompress(data, most + 1)
    except zlib.error as error:
        raise CorruptFile(f"{name} does not decompress ({error}); the file is damaged") from None
    if len(unpacked) > most or not stream.eof or stream.unused_data:
        raise CorruptFile(f"{name} does not end where it should; the file is damaged")
    return unpacked


def pack_alpha(alpha: np.ndarray) -> bytes:
    """`uint8 [H, W]` without loss: PNG's rows, filtered or plain, whichever is smaller."""
    from PIL import Image

    plain = np.zeros((alpha.shape[0], alpha.shape[1] + 1), np.uint8)  # filter 0 in front of every row
    plain[:, 1:] = alpha
    unfiltered = zlib.compress(plain.tobytes(), 9)
    out = BytesIO()
    Image.fromarray(alpha).save(out, "PNG", optimize=True)
    filtered = b"".join(data for kind, data in _chunks(out.getvalue()) if kind == b"IDAT")
    return min(unfiltered, filtered, key=len)


def unpack_alpha(data: bytes, width: int, height: int) -> np.ndarray:
    """`uint8 [height, width]`. Raises CorruptFile."""
    from PIL.PngImagePlugin import PngImageFile

    # Pillow undoes the filters, but takes rows that are missing for black.
    if len(_inflate(data, (width + 1) * height, "the transparency")) != (width + 1) * height:
        raise CorruptFile("the transparency has too few rows; the file is damaged")
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    png = _PNG + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
    try:
        # Not Image.open, whose pixel limit may be below ours: ours has been checked, or lifted, by now.
        return np.array(PngImageFile(BytesIO(png)))
    except (OSError, SyntaxError, ValueError) as error:
        raise CorruptFile(f"the transparency does not decompress ({error}); the file is damaged") from None


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_PNG)
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        yield kind, png[at + 8:at + 8 + length]
        at += length + 12
