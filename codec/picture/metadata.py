"""EXIF and XMP as bytes: what has to change in them once a picture's orientation has been applied to its pixels.

EXIF is edited in place, never written anew: makers' notes point into it by offset (CIPA DC-008, TIFF 6.0).
"""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

EXIF_PREFIX = b"Exif\0\0"  # how JPEG, and Pillow in any format, begin an EXIF block; files here hold what follows
ORIENTATION, EXIF_IFD, GPS_IFD = 0x0112, 0x8769, 0x8825

# Tags of a TIFF's main directory: those that describe the photo, and those that describe the file.
RESOLUTION_TAGS = {282, 283, 296}
PHOTO_TAGS = {269, 270, 271, 272, 305, 306, 315, 316, 33432, EXIF_IFD, GPS_IFD, *range(40091, 40096), *RESOLUTION_TAGS}
FILE_TAGS = {*range(254, 260), 262, 263, 264, 265, 266, 273, *range(277, 282), 284, 292, 293, 297, 301, 317, 318, 319,
             *range(320, 326), 330, 332, 334, 336, *range(338, 342), 347, *range(512, 522), *range(529, 533), 700,
             34675, ORIENTATION}

_WIDTH, _HEIGHT = 0xA002, 0xA003
_THUMBNAIL, _THUMBNAIL_LENGTH = 0x0201, 0x0202
_SHORT, _LONG = 3, 4
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[1-8]")


@dataclass(frozen=True)
class _Entry:
    """A field of an image file directory: where its value, or the offset of it, stands."""

    tag: int
    type: int
    count: int
    at: int


class _Exif:
    """A TIFF structure that can be read and written field by field. Raises struct.error outside its bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        if self.data[:2] not in (b"II", b"MM"):
            raise struct.error("no byte order")
        self.order = "<" if self.data[:2] == b"II" else ">"

    def read(self, kind: str, at: int) -> int:
        return int(struct.unpack_from(self.order + kind, self.data, at)[0])

    def write(self, kind: str, at: int, value: int) -> None:
        struct.pack_into(self.order + kind, self.data, at, value)

    def entries(self, ifd: int) -> Iterator[_Entry]:
        for n in range(self.read("H", ifd)):
            at = ifd + 2 + 12 * n
            yield _Entry(self.read("H", at), self.read("H", at + 2), self.read("I", at + 4), at + 8)

    def next_link(self, ifd: int) -> int:
        """Where the offset of the directory after this one stands."""
        return ifd + 2 + 12 * self.read("H", ifd)

    def value(self, entry: _Entry) -> int:
        return self.read("H" if entry.type == _SHORT else "I", entry.at)

    def set(self, entry: _Entry, value: int) -> None:
        self.write("H" if entry.type == _SHORT else "I", entry.at, value)


def upright_exif(exif: bytes, orientation: int) -> bytes:
    """EXIF whose orientation tag is 1, to go with pixels that `orientation` has been applied to.

    Width and height change places where the picture was turned by a quarter, and the thumbnail is turned with it.
    What cannot be parsed is left as it is.
    """
    try:
        tiff = _Exif(exif)
    except struct.error:
        return exif
    with contextlib.suppress(struct.error):
        first = tiff.read("I", 4)
        _reset(tiff, first, orientation)
        link = tiff.next_link(first)
        second = tiff.read("I", link)
        if second:
            _reset(tiff, second, orientation)
            _turn_thumbnail(tiff, link, second, orientation)
    return bytes(tiff.data)


def _reset(tiff: _Exif, ifd: int, orientation: int) -> None:
    for entry in tiff.entries(ifd):
        if entry.tag == ORIENTATION and entry.type in (_SHORT, _LONG):
            tiff.set(entry, 1)
        elif entry.tag == EXIF_IFD and orientation >= 5:
            sides = {e.tag: e for e in tiff.entries(tiff.read("I", entry.at)) if e.tag in (_WIDTH, _HEIGHT)}
            if len(sides) == 2:
                width, height = tiff.value(sides[_WIDTH]), tiff.value(sides[_HEIGHT])
                tiff.set(sides[_WIDTH], height)
                tiff.set(sides[_HEIGHT], width)


def _turn_thumbnail(tiff: _Exif, link: int, ifd: int, orientation: int) -> None:
    """Turn the JPEG thumbnail within the bytes it has; one that does not fit them again is unlinked."""
    fields = {entry.tag: entry for entry in tiff.entries(ifd)}
    if _THUMBNAIL not in fields or _THUMBNAIL_LENGTH not in fields:
        return
    start, length = tiff.value(fields[_THUMBNAIL]), tiff.value(fields[_THUMBNAIL_LENGTH])
    turned = _turned_jpeg(bytes(tiff.data[start:start + length]), orientation)
    if turned is None:
        tiff.write("I", link, 0)
        turned = b""
    if start + length <= len(tiff.data):
        tiff.data[start:start + length] = turned.ljust(length, b"\0")
        tiff.set(fields[_THUMBNAIL_LENGTH], len(turned))


def _turned_jpeg(data: bytes, orientation: int) -> bytes | None:
    """A JPEG with the orientation applied, no longer than before; None if that cannot be had."""
    from PIL import Image

    try:
        with Image.open(BytesIO(data), formats=["JPEG"]) as image:
            upright = transpose(image, orientation)
        for quality in (85, 75, 60, 40):
            out = BytesIO()
            upright.save(out, "JPEG", quality=quality)
            if out.tell() <= len(data):
                return out.getvalue()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        pass
    return None


def transpose(image: Image.Image, orientation: int) -> Image.Image:
    """A Pillow image with an EXIF orientation 1..8 applied; others are taken for 1."""
    from PIL import Image

    turn = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_90}.get(orientation)
    return image if turn is None else image.transpose(turn)


def upright_xmp(xmp: bytes) -> bytes:
    """XMP whose `tiff:Orientation` is 1."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)
