"""Pictures to lossless payloads and back (FORMAT.md, section 9), and which pictures are worth trying it on."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CorruptFile, UnsupportedPicture
from ..format import boxes
from ..format.container import NO_BUNDLE, WEBP_LOSSLESS, AecFile, Header
from .reading import Picture, to_array, to_image

if TYPE_CHECKING:
    from PIL import Image

MAX_SIDE = 16383  # of libwebp; the bitstream has room for one more
TINY = 64 * 64  # pixels, up to which trying costs less than asking

_WORTH = 0.4  # share of such pixels, see `drawn`
_FEW_COLOURS, _FEW_GREYS = 256, 32
_SAMPLE_ROWS = 64
_HOPELESS = 4  # the best effort makes a file at most so many times smaller than the least
_LEAST = {"quality": 20, "method": 1}
_PHOTO = {"quality": 75, "method": 6}  # where nothing repeats, looking for it longer only takes time
_DRAWING = {"quality": 100, "method": 4}
_TINY = {"quality": 100, "method": 6}
_RIFF = struct.Struct("<4sI4s4sI")


def drawn(picture: Picture) -> bool:
    """Whether a picture looks like no photograph, so that its lossless file may be the smaller one.

    Pairs of neighbouring rows are sampled. It does if it has few colours, or if many pixels are like the one to the
    left, or above, or if many continue both (left + above - corner) up to rounding: noise lets a photograph have few of
    those.
    """
    pixels = picture.pixels
    height, width = pixels.shape[:2]
    if height * width <= TINY:
        return True
    if height < 2 or width < 2:
        return False
    rows = np.unique(np.linspace(0, height - 2, min(_SAMPLE_ROWS, height - 1)).astype(int))
    above, own = pixels[rows].astype(np.int16), pixels[rows + 1].astype(np.int16)
    colours = np.unique(own @ np.array([1 << 16, 1 << 8, 1], np.int32))
    if len(colours) <= (_FEW_GREYS if picture.grey else _FEW_COLOURS):
        return True
    across, down = own[:, 1:] - own[:, :-1], own[:, 1:] - above[:, 1:]
    continued = np.abs(across - (above[:, 1:] - above[:, :-1])).max(axis=2) <= 1
    same = ~across.any(axis=2) | ~down.any(axis=2)
    return bool(max(same.mean(), continued.mean()) >= _WORTH)


def encode(picture: Picture, strip: bool = False, below: int | None = None) -> AecFile | None:
    """A picture as a lossless file, with the boxes that go with it.

    Args:
        strip: leave out what is not needed to show the picture.
        below: give up, and give None, where the file will hardly have fewer bytes than this.

    Raises:
        UnsupportedPicture: a side above 16383 pixels.
    """
    height, width = picture.pixels.shape[:2]
    if max(width, height) > MAX_SIDE:
        if below is not None:
            return None
        raise UnsupportedPicture(f"the picture is {width}x{height}, and lossless files have at most {MAX_SIDE} pixels "
                                 "each way; compress it with a quality")
    tiny, looks_drawn = width * height <= TINY, drawn(picture)
    if below is not None and not tiny and len(_webp(picture, _LEAST)) > _HOPELESS * below:
        return None
    payload = _webp(picture, _TINY if tiny else _DRAWING if looks_drawn else _PHOTO)
    alpha = picture.alpha is not None
    samples = to_array(picture.pixels[:, :, 0] if picture.grey else picture.pixels, False, picture.alpha)
    header = Header(width, height, 0, WEBP_LOSSLESS, NO_BUNDLE, sample_crc(samples), len(payload), picture.grey,
                    lossless=True, alpha=alpha)
    return AecFile(header, payload, tuple(box for box in picture.boxes(strip) if box.kind != boxes.ALPHA))


def sample_crc(samples: np.ndarray) -> int:
    """CRC-32 of the samples of a picture, `uint8 [H, W]` or `[H, W, C]` of 2 to 4 channels, in their order."""
    return zlib.crc32(np.ascontiguousarray(samples).data)


def _webp(picture: Picture, effort: dict[str, int]) -> bytes:
    """The lossless bitstream of a picture, without the file around it."""
    from PIL import Image

    file = BytesIO()
    image = Image.fromarray(to_array(picture.pixels, False, picture.alpha))
    image.save(file, "WEBP", lossless=True, exact=True, **effort)
    return _chunk(file.getvalue(), b"VP8L")


def _chunk(data: bytes, kind: bytes) -> bytes:
    """The first chunk of a kind in a RIFF file."""
    at = 12
    while data[at:at + 4] != kind:
        at += 8 + (length := int.from_bytes(data[at + 4:at + 8], "little")) + length % 2
    return data[at + 8:at + 8 + int.from_bytes(data[at + 4:at + 8], "little")]


def decode(file: AecFile) -> tuple[np.ndarray, np.ndarray | None]:
    """The picture of a lossless file, `uint8 [H, W, 3]`, and its alpha, `uint8 [H, W]` or None.

    Its size is not checked against a limit here.

    Raises:
        CorruptFile: the payload does not decode, or not to what the header says.
    """
    from PIL.WebPImagePlugin import WebPImageFile

    header, payload = file.header, file.payload
    if any(box.kind == boxes.ALPHA for box in file.boxes):
        raise CorruptFile("a lossless file has alpha in a box; the file is damaged")
    if _size(payload) != (header.width, header.height):
        raise CorruptFile("the lossless stream is not of the picture's size; the file is damaged")
    padded = payload + bytes(len(payload) % 2)
    riff = _RIFF.pack(b"RIFF", len(padded) + 12, b"WEBP", b"VP8L", len(payload))
    try:
        # Not Image.open, whose pixel limit may be below ours: ours has been checked, or lifted, by now.
        with WebPImageFile(BytesIO(riff + padded)) as image:
            pixels = np.array(image.convert("RGBA" if header.alpha else "RGB"))
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise CorruptFile(f"the lossless stream does not decode ({error}); the file is damaged") from None
    samples = pixels
    if header.grey:
        samples = pixels[:, :, [0, 3]] if header.alpha else pixels[:, :, 0]
        if not (pixels[:, :, :2] == pixels[:, :, 1:3]).all():
            raise CorruptFile("a grey file has colours; the file is damaged")
    if sample_crc(samples) != header.symbol_crc:
        raise CorruptFile("the samples differ from those that were encoded; get another copy of the file")
    return np.ascontiguousarray(pixels[:, :, :3]), np.ascontiguousarray(pixels[:, :, 3]) if header.alpha else None


def decode_image(file: AecFile) -> Image.Image:
    """The picture of a lossless file, as `aecodec.decode` gives it: no network takes part. Raises CorruptFile."""
    pixels, alpha = decode(file)
    return to_image(pixels, file.header.grey, alpha, boxes.metadata(file.boxes))


def _size(payload: bytes) -> tuple[int, int] | None:
    """Width and height of a bitstream, which start it (RFC 9649, section 3.4); None if it is none."""
    if len(payload) < 5 or payload[0] != 0x2F:
        return None
    fields = int.from_bytes(payload[1:5], "little")
    return 1 + (fields & 0x3FFF), 1 + (fields >> 14 & 0x3FFF)
