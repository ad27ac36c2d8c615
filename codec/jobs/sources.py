"""What the files given to a command hold: pictures, or .aec files. Errors name the file."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from .. import files
from ..errors import AecError
from ..format import container

if TYPE_CHECKING:
    from ..picture.reading import Picture

# Formats that Pillow names but cannot decode by itself; in a folder they are not taken for pictures.
NOT_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF", "AEC"}


def named(path: Path, error: AecError) -> AecError:
    """The same error with the file's name in front."""
    return type(error)(f"{files.shown(path)}: {error}")


@functools.cache
def picture_endings() -> frozenset[str]:
    from PIL import Image

    formats = {ending: name for ending, name in Image.registered_extensions().items() if name in Image.OPEN}
    return frozenset(ending for ending, name in formats.items() if name not in NOT_PICTURES)


def is_aec(path: Path) -> bool:
    return path.suffix.lower() == ".aec"


def read_picture(path: Path, data: bytes, limit_pixels: int | None) -> Picture:
    """Decode the bytes of a picture file with Pillow. Raises AecError."""
    from io import BytesIO

    from PIL import Image, UnidentifiedImageError

    from ..picture import reading

    name = files.shown(path)
    if data.startswith(container.MAGIC):
        raise AecError(f"{name} is an .aec file already; decompress it with: aecodec decompress {path}")
    try:
        Image.MAX_IMAGE_PIXELS = None  # the limit is our own, checked before anything is decoded
        return reading.read(BytesIO(data), limit_pixels)
    except AecError as error:
        raise AecError(f"{name}: {error}") from None
    except UnidentifiedImageError:
        raise AecError(f"{name} is not a picture that Pillow can read; convert it to PNG first") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError) as error:
        raise AecError(f"{name} cannot be decoded ({error}); get a complete copy of it") from None


def check(data: bytes, limit_pixels: int | None) -> container.AecFile:
    """A file whose checksums are right and whose size is within the limit. Raises AecError."""
    from ..format import boxes

    file = container.read_file(data, boxes.KNOWN)
    container.check_pixels(file.header.width, file.header.height, limit_pixels)
    return file


def bits_per_pixel(header: container.Header, size: int) -> float:
    return 8 * size / (header.width * header.height)


def mode_of(file: container.AecFile) -> str:
    return file.header.mode + ("A" if any(box.kind == "ALPH" for box in file.boxes) else "")
