"""The file: bytes to fields and boxes, and back. No torch, no Pillow; FORMAT.md is the normative description."""

from __future__ import annotations

import string
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from ..errors import CorruptFile, LargePictureWarning, LimitExceeded, NotAec, UnsupportedVersion
from .constants import EXPERIMENTAL_ID, LEVELS, TUNES, quality_of

MAGIC = b"\xaeAEC"
VERSION = 0
FLAG_GREY = 0x01
FLAG_LOSSLESS = 0x02
FLAG_ALPHA = 0x04  # of a lossless file: its payload holds alpha
KNOWN_FLAGS = FLAG_GREY | FLAG_LOSSLESS | FLAG_ALPHA | 0xF0
WEBP_LOSSLESS = 1  # the coding of a lossless file, which stands in place of the model id
NO_BUNDLE = bytes(4)  # the bundle hash of a lossless file, which depends on no weights
MAX_BOXES = 15  # counted in the upper half of the flags
MAX_SIDE = (1 << 24) - 1
WARN_PIXELS = 89_478_485  # Pillow's limits: there it warns, and at twice that it refuses
MAX_PIXELS = 2 * WARN_PIXELS
MIN_SIDE = 64  # what the network pads a picture to
THIN_PIXELS = 1 << 24  # of padding that any limit allows
MAX_PAYLOAD = (1 << 32) - 1
MAX_BOX = 1 << 28

_FIXED = struct.Struct("<4sBBHB4sI")  # magic, version, flags, model, point, bundle hash, symbol CRC
_CRC = struct.Struct("<I")
_BOX = struct.Struct("<4sI")
_BOX_LETTERS = frozenset(string.ascii_letters + "_")


def operating_point(level: int, tune: str = TUNES[0]) -> int:
    """What a model is told of a level 0..63 and a tune: `64 * tune + level`. Raises ValueError."""
    if not 0 <= level < LEVELS:
        raise ValueError(f"level {level} is outside 0..{LEVELS - 1}")
    if tune not in TUNES:
        raise ValueError(f"tune {tune!r} is not known; choose {' or '.join(TUNES)}")
    return LEVELS * TUNES.index(tune) + level


@dataclass(frozen=True)
class Header:
    """What an .aec file says of itself before its payload."""

    width: int
    height: int
    level: int  # quality level, 0..63; 0 in a lossless file
    model_id: int  # in a lossless file the coding, such as WEBP_LOSSLESS
    bundle_hash: bytes  # the first 4 bytes of the SHA-256 of the decoder's weights and tables
    symbol_crc: int  # CRC-32 of the decoded symbols; in a lossless file of the samples
    payload_length: int
    grey: bool = False
    boxes: int = 0  # how many follow the picture
    lossless: bool = False  # every pixel is as it was; no model decodes it
    alpha: bool = False  # of a lossless file: its payload holds alpha; else alpha is in a box
    tune: str = TUNES[0]  # what the picture was made for: `visual` or `psnr`

    @property
    def mode(self) -> str:
        """The Pillow mode that the payload decodes to."""
        return ("L" if self.grey else "RGB") + ("A" if self.alpha else "")

    @property
    def point(self) -> int:
        """The operating point of the model: `64 * tune + level`."""
        return operating_point(self.level, self.tune)

    @property
    def coding(self) -> str:
        """What the payload is: `learned`, or `WebP lossless`."""
        return "WebP lossless" if self.lossless else "learned"

    @property
    def quality(self) -> float | None:
        """The quality, 0..100, whose level this is; None if nothing was lost."""
        return None if self.lossless else quality_of(self.level)

    @property
    def experimental(self) -> bool:
        """Whether the model may still change: ids from 0xF000."""
        return not self.lossless and self.model_id >= EXPERIMENTAL_ID


@dataclass(frozen=True)
class Box:
    """A piece of data beside the picture, named by four ASCII letters."""

    kind: str
    data: bytes

    @property
    def required(self) -> bool:
        """Whether a reader must understand it: the first letter is upper-case."""
        return self.kind[0].isupper()


@dataclass(frozen=True)
class AecFile:
    """A whole file in its parts."""

    header: Header
    payload: bytes
    boxes: tuple[Box, ...] = field(default=())


def _write_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int, name: str) -> tuple[int, int]:
    value = 0
    for n in range(5):
        if at + n >= len(data):
            raise CorruptFile(f"the file ends inside its header ({name}); get a complete copy of it")
        byte = data[at + n]
        value |= (byte & 0x7F) << 7 * n
        if byte < 0x80:
            if n and byte == 0:
                raise CorruptFile(f"the header's {name} is not written in its shortest form; the file is damaged")
            return value, at + n + 1
    raise CorruptFile(f"the header's {name} is too long; the file is damaged")


def write_header(header: Header) -> bytes:
    """The header's bytes. Raises ValueError naming the field that is out of range."""
    for name, low, high in (("width", 1, MAX_SIDE), ("height", 1, MAX_SIDE), ("level", 0, LEVELS - 1),
                            ("model_id", 0, 0xFFFF), ("symbol_crc", 0, 0xFFFFFFFF),
                            ("payload_length", 0, MAX_PAYLOAD), ("boxes", 0, MAX_BOXES)):
        if not low <= getattr(header, name) <= high:
            raise ValueError(f"{name} {getattr(header, name)} is outside {low}..{high}")
    if header.tune not in TUNES:
        raise ValueError(f"tune {header.tune!r} is not known; choose {' or '.join(TUNES)}")
    if len(header.bundle_hash) != 4:
        raise ValueError(f"bundle_hash has {len(header.bundle_hash)} bytes, not 4")
    if header.alpha and not header.lossless:
        raise ValueError("alpha is in the payload of lossless files alone; else it goes into a box")
    if header.lossless and (header.point, header.model_id, header.bundle_hash) != (0, WEBP_LOSSLESS, NO_BUNDLE):
        raise ValueError(f"a lossless file has level 0, no tune, model_id {WEBP_LOSSLESS} and a bundle_hash of zeros")
    flags = ((FLAG_GREY if header.grey else 0) | (FLAG_LOSSLESS if header.lossless else 0)
             | (FLAG_ALPHA if header.alpha else 0) | header.boxes << 4)
    fixed = _FIXED.pack(MAGIC, VERSION, flags, header.model_id, header.point, header.bundle_hash, header.symbol_crc)
    return fixed + b"".join(_write_varint(v) for v in (header.width, header.height, header.payload_length))


def read_header(data: bytes) -> tuple[Header, int]:
    """The header and the offset at which the payload starts.

    `data` may be just the first 64 bytes of a file. The header alone is not protected by a checksum of its own:
    `read_file` checks it together with the payload.

    Raises:
        NotAec: another kind of file.
        UnsupportedVersion: a version or flag this reader does not know.
        CorruptFile: fields that cannot be, or too few bytes.
    """
    data = bytes(data[:64])
    if not data.startswith(MAGIC[:len(data)]) or not data:
        raise NotAec("not an .aec file (it does not start with the .aec signature)")
    if len(data) < _FIXED.size:
        raise CorruptFile("the file ends inside its header; get a complete copy of it")
    _, version, flags, model_id, point, bundle_hash, symbol_crc = _FIXED.unpack_from(data)
    if version != VERSION:
        raise UnsupportedVersion(f"file format version {version} is newer than this aecodec; upgrade aecodec")
    if flags & ~KNOWN_FLAGS:
        raise UnsupportedVersion(f"the file uses features (flags {flags:#04x}) of a newer aecodec; upgrade aecodec")
    lossless, alpha = bool(flags & FLAG_LOSSLESS), bool(flags & FLAG_ALPHA)
    if lossless and model_id != WEBP_LOSSLESS:
        raise UnsupportedVersion(f"lossless coding {model_id} is newer than this aecodec; upgrade aecodec")
    if alpha and not lossless:
        raise UnsupportedVersion(f"the file uses features (flags {flags:#04x}) of a newer aecodec; upgrade aecodec")
    tune, level = divmod(point, LEVELS)
    if lossless and point:
        raise CorruptFile(f"a lossless file has no quality level {point}; the file is damaged")
    if tune >= len(TUNES):
        raise UnsupportedVersion(f"the file was made for tune {tune} of a newer aecodec; upgrade aecodec")
    if lossless and bundle_hash != NO_BUNDLE:
        raise CorruptFile("a lossless file names weights; the file is damaged")
    width, at = _read_varint(data, _FIXED.size, "width")
    height, at = _read_varint(data, at, "height")
    payload_length, at = _read_varint(data, at, "payload length")
    for name, side in (("width", width), ("height", height)):
        if not 1 <= side <= MAX_SIDE:
            raise CorruptFile(f"{name} {side} is outside 1..{MAX_SIDE}; the file is damaged")
    if payload_length > MAX_PAYLOAD:
        raise CorruptFile(f"payload length {payload_length} is outside 0..{MAX_PAYLOAD}; the file is damaged")
    return Header(width, height, level, model_id, bundle_hash, symbol_crc, payload_length,
                  bool(flags & FLAG_GREY), flags >> 4, lossless, alpha, TUNES[tune]), at


def check_pixels(width: int, height: int, limit: int | None = MAX_PIXELS) -> None:
    """Raise LimitExceeded if a picture has more than `limit` pixels, warn of very large ones (None: neither).

    A very long and thin picture counts as 64 pixels thick: that is what it costs.
    """
    if limit is None:
        return
    thick = max(width, MIN_SIDE) * max(height, MIN_SIDE)
    if width * height <= limit < thick and thick > THIN_PIXELS:
        raise LimitExceeded(f"{width}x{height} is long and thin, and takes the memory of {thick / 1e6:.0f} megapixels, "
                            f"above the limit of {limit / 1e6:.0f}; if you trust the file, raise the limit "
                            "(--limit-pixels, or limit_pixels in Python)")
    if width * height <= min(limit, WARN_PIXELS):
        return
    what = f"{width}x{height} is {width * height / 1e6:.0f} megapixels"
    if width * height > limit:
        raise LimitExceeded(f"{what}, above the limit of {limit / 1e6:.0f}; if you trust the file, raise the limit "
                            "(--limit-pixels, or limit_pixels in Python)")
    warnings.warn(f"{what}: a large picture, which takes a while and much memory", LargePictureWarning, stacklevel=3)


def write_file(file: AecFile) -> bytes:
    """The bytes of a file; the header's number of boxes is that of the boxes. Raises ValueError."""
    if len(file.payload) != file.header.payload_length:
        raise ValueError(f"payload has {len(file.payload)} bytes, the header says {file.header.payload_length}")
    kinds = [box.kind for box in file.boxes]
    if len(set(kinds)) < len(kinds):
        raise ValueError(f"a box type occurs twice among {', '.join(kinds)}")
    front = write_header(replace(file.header, boxes=len(kinds))) + file.payload
    parts = [front, _CRC.pack(zlib.crc32(front))]
    for box in file.boxes:
        if len(box.kind) != 4 or not _BOX_LETTERS.issuperset(box.kind):
            raise ValueError(f"box type {box.kind!r} is not four ASCII letters or underscores")
        if len(box.data) > MAX_BOX:
            raise ValueError(f"box {box.kind} has {len(box.data)} bytes, above {MAX_BOX}")
        body = _BOX.pack(box.kind.encode(), len(box.data)) + box.data
        parts += [body, _CRC.pack(zlib.crc32(body))]
    return b"".join(parts)


@dataclass(frozen=True)
class BoxPlace:
    """Where a box lies in a file: what its first 8 bytes say, which no checksum has confirmed."""

    kind: str
    begin: int  # offset in the file, of the type
    length: int  # of the data
    source: Callable[[int, int], bytes]

    @property
    def end(self) -> int:
        """The offset behind its checksum."""
        return self.begin + _BOX.size + self.length + _CRC.size

    def read(self, size: int) -> Box:
        """The box, of a file of `size` bytes. Raises CorruptFile; a length beyond the file is not believed."""
        if self.length > MAX_BOX or self.end > size:
            raise CorruptFile("a box reaches beyond the end of the file; get another copy of it")
        content = self.source(self.begin, self.end - self.begin)
        body, crc = content[:-_CRC.size], content[-_CRC.size:]
        if crc != _CRC.pack(zlib.crc32(body)):
            raise CorruptFile("the file is damaged (checksum of a box); get another copy of it")
        if not _BOX_LETTERS.issuperset(self.kind):
            raise CorruptFile(f"box type {self.kind!r} is not four ASCII letters; the file is damaged")
        return Box(self.kind, body[_BOX.size:])


def box_places(source: Callable[[int, int], bytes], begin: int, count: int) -> Iterator[BoxPlace]:
    """The boxes of a file, one after the other, and as many as it has the first bytes of. Their data are not read.

    Args:
        source: gives `length` bytes from an offset on, or fewer at the end of the file: `source(offset, length)`.
        begin: where the first box begins: behind the checksum of the picture.
        count: how many there are by the header.
    """
    for _ in range(count):
        head = source(begin, _BOX.size)
        if len(head) < _BOX.size:
            return
        kind, length = _BOX.unpack(head)
        place = BoxPlace(kind.decode("latin-1"), begin, length, source)
        yield place
        begin = place.end


def read_file(data: bytes, known_boxes: frozenset[str] | None = frozenset()) -> AecFile:
    """A file in its parts, every checksum checked.

    Args:
        data: the whole file.
        known_boxes: the box types the caller understands; another one that must be understood is refused. None for a
            caller that only lists them.

    Raises:
        NotAec, UnsupportedVersion, CorruptFile: see `read_header`; also for damage anywhere.
    """
    header, at = read_header(data)
    end = at + header.payload_length
    if len(data) < end + _CRC.size:
        raise CorruptFile(f"the file is cut short: {len(data)} of at least {end + _CRC.size} bytes; "
                          "get a complete copy of it")
    if zlib.crc32(data[:end]) != _CRC.unpack_from(data, end)[0]:
        raise CorruptFile("the file is damaged (checksum of the picture); get another copy of it")

    def read(begin: int, length: int) -> bytes:
        return bytes(data[begin:begin + length])

    boxes: dict[str, Box] = {}
    position = end + _CRC.size
    for place in box_places(read, position, header.boxes):
        box = place.read(len(data))
        if box.kind in boxes:
            raise CorruptFile(f"box {box.kind} occurs twice; the file is damaged")
        if known_boxes is not None and box.required and box.kind not in known_boxes:
            raise UnsupportedVersion(f"the file needs box {box.kind}, which is unknown to this aecodec; upgrade it")
        boxes[box.kind] = box
        position = place.end
    if len(boxes) < header.boxes:
        raise CorruptFile(f"the file is cut short: it has {len(boxes)} of {header.boxes} boxes; get a complete copy of "
                          "it")
    if position < len(data):
        raise CorruptFile(f"{len(data) - position} bytes follow the end of the file; get another copy of it")
    return AecFile(header, bytes(data[at:end]), tuple(boxes.values()))
