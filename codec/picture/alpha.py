"""Alpha planes to the data of an `ALPH` box and back: rows of a PNG (FORMAT.md, section 3), which Pillow filters."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from io import BytesIO

import numpy as np

from ..errors import CorruptFile
from ..format import boxes
from ..format.container import Box

_PNG = b"\x89PNG\r\n\x1a\n"


def pack_alpha(alpha: np.ndarray) -> bytes:
    """`uint8 [H, W]` without loss: PNG's rows, filtered or plain, whichever is smaller."""
    from PIL import Image
    from PIL.PngImagePlugin import getchunks

    plain = np.zeros((alpha.shape[0], alpha.shape[1] + 1), np.uint8)  # filter 0 in front of every row
    plain[:, 1:] = alpha
    unfiltered = zlib.compress(plain.tobytes(), 9)
    filtered = b"".join(data for kind, data, _ in getchunks(Image.fromarray(alpha), optimize=True) if kind == b"IDAT")
    return min(unfiltered, filtered, key=len)


def unpack_alpha(data: bytes, width: int, height: int) -> np.ndarray:
    """What `pack_alpha` gave, as `uint8 [height, width]`. Raises CorruptFile."""
    from PIL.PngImagePlugin import PngImageFile, putchunk

    boxes.alpha_rows(data, width, height)  # Pillow undoes the filters, but takes rows that are missing for black
    png = BytesIO()
    png.write(_PNG)
    putchunk(png, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    putchunk(png, b"IDAT", data)
    putchunk(png, b"IEND")
    png.seek(0)
    try:
        # Not Image.open, whose pixel limit may be below ours: ours has been checked, or lifted, by now.
        return np.array(PngImageFile(png))
    except (OSError, SyntaxError, ValueError) as error:
        raise CorruptFile(f"the transparency does not decompress ({error}); the file is damaged") from None


def find_alpha(found: Iterable[Box], width: int, height: int) -> np.ndarray | None:
    """The alpha plane among the boxes of a picture, `uint8 [height, width]`, or None. Raises CorruptFile."""
    for box in found:
        if box.kind == boxes.ALPHA:
            return unpack_alpha(box.data, width, height)
    return None
