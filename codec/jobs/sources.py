"""What the files and objects given to a command hold: pictures, or .aec files. Errors name them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .. import files
from ..errors import AecError
from ..format import container
from .storage import Location

if TYPE_CHECKING:
    from ..picture.reading import Picture

ENDING = ".aec"
# Formats that Pillow names but cannot decode by itself; in a folder they are not taken for pictures.
NOT_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF", "AEC"}

Error = TypeVar("Error", bound=AecError)


def named(path: Location, error: Error) -> Error:
    """The same error with the file's name in front."""
    return type(error)(f"{files.shown(path)}: {error}")


@functools.cache
def picture_endings() -> frozenset[str]:
    """The endings of the pictures that can be read here, in lower case."""
    from PIL import Image

    from ..picture import kinds

    formats = {ending: name for ending, name in Image.registered_extensions().items() if name in Image.OPEN}
    plugged = (ending for plug_in in kinds.PLUG_INS if kinds.installed(plug_in) for ending in plug_in.endings)
    return frozenset((*(ending for ending, name in formats.items() if name not in NOT_PICTURES), *plugged))


def is_aec(path: Location) -> bool:
    """Whether a file's name is that of an .aec file."""
    return path.suffix.lower() == ENDING


def not_a_picture(path: Location) -> str | None:
    """Why a file in a folder is not compressed; None if it is."""
    from ..picture import kinds

    ending = path.suffix.lower()
    if ending == ENDING:
        return "an .aec file already"
    reason = kinds.left_out(ending)
    if reason is not None:
        return reason
    return None if ending in picture_endings() else "not known as a picture"


def not_aec(path: Location) -> str | None:
    """Why a file in a folder is not decompressed; None if it is."""
    return None if is_aec(path) else "not an .aec file"


def read_picture(path: Location, data: bytes, limit_pixels: int | None) -> Picture:
    """Decode the bytes of a picture file. Raises AecError."""
    from io import BytesIO

    from PIL import Image, UnidentifiedImageError

    from ..picture import kinds, reading

    name = files.shown(path)
    if data.startswith(container.MAGIC):
        raise AecError(f"{name} is an .aec file already; decompress it with: aecodec decompress {name}")
    refusal = kinds.refusal(data[:kinds.HEAD], path.suffix.lower())
    if refusal is not None:
        raise AecError(f"{name}: {refusal}")
    try:
        Image.MAX_IMAGE_PIXELS = None  # the limit is our own, checked before anything is decoded
        return reading.read(BytesIO(data), limit_pixels)
    except AecError as error:
        raise AecError(f"{name}: {error}") from None
    except UnidentifiedImageError:
        raise AecError(f"{name} is not a picture that Pillow can read; convert it to PNG first") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError) as error:
        raise AecError(f"{name} cannot be decoded ({error}); get a complete copy of it") from None


def readable_picture(path: Path) -> bool:
    """Whether a file can be opened as a picture; its pixels are not decoded."""
    from PIL import Image

    from ..picture import kinds, reading

    try:
        with open(path, "rb") as file:
            head = file.read(kinds.HEAD)
            if head.startswith(container.MAGIC) or kinds.refusal(head, path.suffix.lower()) is not None:
                return False
            file.seek(0)
            with reading.opened(file):
                return True
    except (AecError, OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError,
            Image.DecompressionBombError):
        return False


def readable_aec(path: Path) -> bool:
    """Whether a file begins like an .aec file."""
    try:
        with open(path, "rb") as file:
            container.read_header(file.read(64))
    except (AecError, OSError):
        return False
    return True


def check(data: bytes, limit_pixels: int | None) -> container.AecFile:
    """A file whose checksums are right and whose size is within the limit. Raises AecError."""
    from ..format import boxes

    if not data:
        raise container.NotAec("the file is empty (0 bytes); get a complete copy of it")
    file = container.read_file(data, boxes.KNOWN)
    container.check_pixels(file.header.width, file.header.height, limit_pixels)
    return file


def bits_per_pixel(header: container.Header, size: int) -> float:
    """Of a file of `size` bytes."""
    return 8 * size / (header.width * header.height)


def mode_of(file: container.AecFile) -> str:
    """The Pillow mode a file decodes to: L, LA, RGB or RGBA."""
    return file.header.mode + ("A" if any(box.kind == "ALPH" for box in file.boxes) else "")
