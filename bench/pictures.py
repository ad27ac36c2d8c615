"""The pictures that are measured: a folder's, cleaned of metadata, and drawn ones that are no photographs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import drawings

DRAWN = ("screenshot", "text", "tiny")  # the datasets that come with the bench
THUMBNAIL_SIDES = (32, 96)
_THUMBNAILS = 4


@dataclass(frozen=True)
class Picture:
    """One picture of a dataset. It stays on disk, or undrawn, until its pixels are asked for.

    Args:
        path: the file; None for a drawn picture.
        longest_side: scale the file's picture down to this; None for its own size.
        digest: of the size and the pixels, so that a resumed run notices another picture of the same name.
    """

    dataset: str
    name: str
    path: Path | None
    width: int = 0
    height: int = 0
    digest: str = ""
    longest_side: int | None = None

    def pixels(self) -> np.ndarray:
        """`uint8 [H, W, 3]`. Raises what Pillow raises if the file is damaged."""
        if self.path is None:
            return drawings.draw(self.dataset, self.name)
        return read_pixels(self.path, self.longest_side)


def read_pixels(path: Path, longest_side: int | None = None) -> np.ndarray:
    """A file's picture as `uint8 [H, W, 3]`: upright, first frame, without alpha, profile or any other metadata."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I;16"):  # Pillow would clip, not scale
            upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        upright = upright.convert("RGB")
        if longest_side is not None:
            upright.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
        return np.array(upright)


def _examined(picture: Picture) -> Picture:
    pixels = picture.pixels()
    height, width = pixels.shape[:2]
    digest = hashlib.sha256(f"{width}x{height}".encode() + pixels.tobytes()).hexdigest()[:16]
    return Picture(picture.dataset, picture.name, picture.path, width, height, digest, picture.longest_side)


def from_folder(folder: Path, dataset: str, limit: int | None = None) -> tuple[list[Picture], dict[str, str]]:
    """The pictures in a folder, by name, and what was left out: file name -> why.

    Every file is decoded once, so that damage shows here and not in the middle of a sweep. Hidden files and
    subfolders are not looked at.
    """
    pictures: list[Picture] = []
    left_out: dict[str, str] = {}
    names: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        if limit is not None and len(pictures) == limit:
            break
        if path.stem in names:
            left_out[path.name] = f"another picture of this name: {names[path.stem]}"
            continue
        try:
            pictures.append(_examined(Picture(dataset, path.stem, path)))
            names[path.stem] = path.name
        except MemoryError:
            left_out[path.name] = "too large for this machine's memory"
        except Exception as error:  # a damaged file makes Pillow's plug-ins raise almost anything
            left_out[path.name] = str(error).replace(str(path), path.name) or type(error).__name__
    return pictures, left_out


def drawn(photos: Sequence[Picture], quick: bool = False) -> list[Picture]:
    """The pictures that a codec for photographs is likely to lose on.

    Screenshots, text and icons are drawn; of the first photos, thumbnails are made. `quick` leaves out most.
    """
    pictures = [Picture(dataset, name, None) for dataset, names in drawings.NAMES.items() for name in names]
    if quick:
        pictures = [Picture(dataset, drawings.NAMES[dataset][0], None) for dataset in ("screenshot", "tiny")]
    for photo in photos[:1 if quick else _THUMBNAILS]:
        for side in THUMBNAIL_SIDES:
            pictures.append(Picture("tiny", f"{photo.name}-{side}px", photo.path, longest_side=side))
    return [_examined(picture) for picture in pictures]
