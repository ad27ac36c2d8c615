"""HDR gain maps of JPEG files: found, turned, kept in a box, and written back. Bytes, and Pillow to turn them.

A photograph with a gain map is a JPEG that any program shows, and behind it a second, mostly smaller and grey JPEG that
says how much brighter each place is on a display that can. What it means stands in that second JPEG: as XMP
(Ultra HDR image format 1.1: `hdrgm`), as ISO 21496-1 in an APP2 segment, or as Apple's XMP. The first one claims it by
XMP (`hdrgm:Version` and a `Container:Directory` with the second one's length), by an APP2 segment of ISO 21496-1 that
has a version alone, and by the offsets of the Multi-Picture Format (CIPA DC-007).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from io import BytesIO

from . import metadata

ISO = b"urn:iso:std:iso:ts:21496:-1\0"
XMP_NAMESPACE = b"http://ns.adobe.com/xap/1.0/\0"
SEGMENT = 65533  # bytes that a marker segment holds after its length (ITU-T T.81, B.1.1.4)

_MPF = b"MPF\0"
_META = (b"http://ns.adobe.com/hdr-gain-map/1.0/", ISO, b"http://ns.apple.com/HDRGainMap/1.0/")
_CONTAINER = b"http://ns.google.com/photos/1.0/container/"
_APP1, _APP2, _SOS, _EOI = 0xE1, 0xE2, 0xDA, 0xD9
_ISO_VERSION = ISO + bytes(4)  # minimum version 0, writer's version 0: all that stands in the first JPEG
_KEPT = (_APP1, _APP2)  # segments that say what the map means
_EMPTY = re.compile(rb"<rdf:Description(?:\s+(?:rdf:about|xmlns:[\w.-]+)\s*=\s*(?:\"[^\"]*\"|'[^']*'))*\s*"
                    rb"(?:/>|>\s*</rdf:Description>)")
_ITEM_INFO = re.compile(rb"infe[\2\3].{3}.{2,4}\0\0tmap", re.DOTALL)  # ISO/IEC 23008-12: a tone-mapped derived image


def segments(jpeg: bytes, start: int = 0) -> Iterator[tuple[int, int, bytes]]:
    """The marker segments in front of a JPEG's pixels: marker, offset, and what stands behind the length."""
    at = start + 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        length = int.from_bytes(jpeg[at + 2:at + 4], "big")
        if length < 2:
            return
        yield marker, at, jpeg[at + 4:at + 2 + length]
        if marker == _SOS:
            return
        at += 2 + length


def _end(jpeg: bytes) -> int:
    """The offset behind the end-of-image marker of the JPEG that a file begins with; 0 if there is none."""
    for marker, at, _ in segments(jpeg):
        if marker == _SOS:
            return jpeg.find(bytes((0xFF, _EOI)), at) + 2 if jpeg.find(bytes((0xFF, _EOI)), at) >= 0 else 0
    return 0


def find(jpeg: bytes) -> bytes | None:
    """The gain map of a JPEG file, a JPEG itself; None if there is none."""
    for begin, end in _pictures_behind(jpeg):
        picture = jpeg[begin:end]
        if picture[:2] == b"\xff\xd8" and any(_means_gain_map(marker, body) for marker, _, body in segments(picture)):
            return picture
    return None


def _means_gain_map(marker: int, body: bytes) -> bool:
    return marker in _KEPT and any(sign in body for sign in _META)


def _pictures_behind(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """Where further pictures lie, by the Multi-Picture Format; else what lies behind the first one."""
    for marker, at, body in segments(jpeg):
        if marker == _APP2 and body.startswith(_MPF):
            try:
                yield from _entries(body[len(_MPF):], at + 4 + len(_MPF))
            except struct.error:
                break
    begin = _end(jpeg)
    if begin:
        begin = jpeg.find(b"\xff\xd8\xff", begin)
        if begin > 0:
            yield begin, len(jpeg)


def _entries(tiff: bytes, base: int) -> Iterator[tuple[int, int]]:
    """The pictures that an MPF segment lists but the first (CIPA DC-007, 5.2.3); offsets count from its TIFF header."""
    order = "<" if tiff[:2] == b"II" else ">"
    (ifd,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, ifd)
    for n in range(count):
        tag, _, length, place = struct.unpack_from(order + "HHII", tiff, ifd + 2 + 12 * n)
        if tag == 0xB002:
            for entry in range(1, length // 16):
                _, size, offset = struct.unpack_from(order + "III", tiff, place + 16 * entry)
                yield base + offset, base + offset + size


def has_tone_map(head: bytes) -> bool:
    """Whether an AVIF or HEIC file has a gain map: an item of type `tmap`, or Apple's auxiliary picture."""
    return _ITEM_INFO.search(head) is not None or b"urn:com:apple:photo:2020:aux:hdrgainmap" in head


def turned(gain_map: bytes, orientation: int) -> bytes | None:
    """A gain map with an EXIF orientation applied to it, encoded anew with what it says of itself; None if damaged."""
    if orientation not in range(2, 9):
        return gain_map
    from PIL import Image

    said = b"".join(gain_map[at:at + 4 + len(body)] for marker, at, body in segments(gain_map)
                    if _means_gain_map(marker, body))
    try:
        with Image.open(BytesIO(gain_map), formats=["JPEG"]) as image:
            upright = metadata.transpose(image, orientation)
            icc = image.info.get("icc_profile")
        out = BytesIO()
        upright.save(out, "JPEG", quality=95, subsampling=0, extra=said, icc_profile=icc)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return out.getvalue()


def unclaimed(xmp: bytes) -> bytes | None:
    """XMP that no longer claims a gain map, or other pictures behind the first; None if nothing else is in it."""
    before = xmp
    for prefix in re.findall(rb"xmlns:([\w.-]+)\s*=\s*[\"']" + re.escape(_META[0]), xmp):
        xmp = re.sub(rb"\s+%s:[\w.-]+\s*=\s*(\"[^\"]*\"|'[^']*')" % re.escape(prefix), b"", xmp)
        xmp = re.sub(rb"<%s:([\w.-]+)(?:\s[^>]*)?(?:/>|>.*?</%s:\1\s*>)" % (prefix, prefix), b"", xmp, flags=re.DOTALL)
    for prefix in re.findall(rb"xmlns:([\w.-]+)\s*=\s*[\"']" + re.escape(_CONTAINER) + rb"[\"']", xmp):
        xmp = re.sub(rb"<%s:Directory\b.*?</%s:Directory\s*>" % (prefix, prefix), b"", xmp, flags=re.DOTALL)
    if xmp == before:
        return xmp
    xmp = re.sub(rb"\s+xmlns:[\w.-]+\s*=\s*[\"'](%s|%s(?:item/)?)[\"']" % (re.escape(_META[0]), re.escape(_CONTAINER)),
                 b"", xmp)
    xmp = _EMPTY.sub(b"", xmp)
    return xmp if b"<rdf:Description" in xmp else None


def claim(xmp: bytes | None, gain_map: bytes) -> bytes | None:
    """XMP that claims a gain map behind the picture, with what it said before; None if it cannot be added to."""
    description = (
        b'<rdf:Description rdf:about="" xmlns:hdrgm="' + _META[0] + b'" xmlns:Container="' + _CONTAINER
        + b'" xmlns:Item="' + _CONTAINER + b'item/" hdrgm:Version="1.0"><Container:Directory><rdf:Seq>'
        b'<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="Primary" Item:Mime="image/jpeg"/></rdf:li>'
        b'<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="GainMap" Item:Mime="image/jpeg" '
        b'Item:Length="%d"/></rdf:li></rdf:Seq></Container:Directory></rdf:Description>' % len(gain_map))
    if xmp is None:
        return (b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
                + description + b"</rdf:RDF></x:xmpmeta>")
    end = xmp.rfind(b"</rdf:RDF>")
    return None if end < 0 else xmp[:end] + description + xmp[end:]


def attached(jpeg: bytes, gain_map: bytes) -> bytes:
    """A JPEG file with a gain map behind it, and the segments that say so; its XMP claims it already (see `claim`)."""
    place = 2  # in front of the first segment that is neither JFIF nor APP1
    for marker, at, body in segments(jpeg):
        if marker not in (0xE0, _APP1):
            break
        place = at + 4 + len(body)
    said = b""
    if any(marker == _APP2 and body.startswith(ISO) for marker, _, body in segments(gain_map)):
        said = _segment(_ISO_VERSION)
    header = place + len(said) + 4 + len(_MPF)  # offset of the MPF's TIFF header, from which its offsets count
    size = len(jpeg) + len(said) + len(_segment(_index(0, 0, 0)))
    said += _segment(_index(size, len(gain_map), size - header))
    return jpeg[:place] + said + jpeg[place:] + gain_map


def _segment(body: bytes) -> bytes:
    return bytes((0xFF, _APP2)) + struct.pack(">H", len(body) + 2) + body


def _index(size: int, map_size: int, map_offset: int) -> bytes:
    """The MPF segment of a picture and its gain map (CIPA DC-007, 5.2): a TIFF directory of three fields."""
    fields = [(0xB000, 7, 4, int.from_bytes(b"0100", "big")), (0xB001, 4, 1, 2), (0xB002, 7, 32, 8 + 2 + 3 * 12 + 4)]
    directory = b"".join(struct.pack(">HHII", *field) for field in fields)
    entries = struct.pack(">IIIHH", 0x030000, size, 0, 0, 0) + struct.pack(">IIIHH", 0, map_size, map_offset, 0, 0)
    return _MPF + b"MM\0*" + struct.pack(">IH", 8, len(fields)) + directory + bytes(4) + entries
