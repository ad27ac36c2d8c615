"""What the boxes behind the picture hold: alpha (`ALPH`), ICC profile (`ICCP`), EXIF (`exif`), XMP (`xmp_`) and
an HDR gain map (`gmap`).

`ALPH` holds the rows of an 8-bit greyscale PNG of the picture's size, filter types included, in zlib (they become a
plane in `picture/alpha.py`). The others are the bytes themselves, in zlib; EXIF starts with its TIFF header, a gain map
is a JPEG file.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from ..errors import CorruptFile
from .container import Box

ALPHA, ICC, EXIF, XMP, GAIN_MAP = "ALPH", "ICCP", "exif", "xmp_", "gmap"
METADATA = (ICC, EXIF, XMP, GAIN_MAP)
KNOWN = frozenset((ALPHA, *METADATA))
MAX_METADATA = 1 << 26  # unpacked: a small file must not fill the memory


def pack_metadata(icc: bytes | None, exif: bytes | None, xmp: bytes | None,
                  gain_map: bytes | None = None) -> tuple[Box, ...]:
    """The boxes of what there is."""
    return tuple(Box(kind, zlib.compress(data, 9))
                 for kind, data in zip(METADATA, (icc, exif, xmp, gain_map), strict=True) if data)


def metadata(boxes: Iterable[Box]) -> dict[str, bytes]:
    """What the boxes of metadata hold, by box type; others are passed over. Raises CorruptFile."""
    return {box.kind: inflate(box.data, MAX_METADATA, f"box {box.kind}") for box in boxes if box.kind in METADATA}


def alpha_rows(data: bytes, width: int, height: int) -> bytes:
    """What an `ALPH` box holds: `height` rows of a filter type and `width` bytes. Raises CorruptFile."""
    rows = inflate(data, (width + 1) * height, "the transparency")
    if len(rows) != (width + 1) * height:
        raise CorruptFile("the transparency has too few rows; the file is damaged")
    return rows


def inflate(data: bytes, most: int, name: str) -> bytes:
    """What a zlib stream holds. Raises CorruptFile, naming it, if that is damaged or has more bytes than `most`."""
    stream = zlib.decompressobj()
    try:
        unpacked = stream.decompress(data, most + 1)
    except zlib.error as error:
        raise CorruptFile(f"{name} does not decompress ({error}); the file is damaged") from None
    if len(unpacked) > most or not stream.eof or stream.unused_data:
        raise CorruptFile(f"{name} does not end where it should; the file is damaged")
    return unpacked
