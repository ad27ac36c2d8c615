"""The pictures that the tables are measured on: folders that the user names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..autoencoders.tables import MissingData

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".ppm", ".avif", ".heic", ".jxl")


@dataclass(frozen=True)
class Inputs:
    """Folders of pictures."""

    pictures: Path | None = None  # a few without loss, such as Kodak's 24
    photos: Path | None = None  # many, of any kind
    count: int | None = None  # how many of the few are looked at; None: all, or as many as a table takes

    def clean(self, most: int | None = None) -> list[Path]:
        """At most so many of the pictures to measure on, evenly spread and in the order of their names.

        Raises MissingData.
        """
        return _listed(self.pictures, "pictures to measure on, such as Kodak's 24", "--pictures", self.count or most)

    def many(self, most: int | None = None) -> list[Path]:
        """The photos for tables that take many, in the order of their names. Raises MissingData."""
        return _listed(self.photos, "a collection of photos", "--photos", most)


def _listed(folder: Path | None, what: str, option: str, most: int | None) -> list[Path]:
    if folder is None:
        raise MissingData(f"it takes {what}; name their folder with {option}")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    if not found:
        raise MissingData(f"{folder} holds no pictures; name another folder with {option}")
    return spread(found, most)


def spread(paths: Sequence[Path], most: int | None) -> list[Path]:
    """At most so many of the files, evenly spread."""
    if most is None or len(paths) <= most:
        return list(paths)
    return [paths[round(n * (len(paths) - 1) / max(most - 1, 1))] for n in range(most)]
