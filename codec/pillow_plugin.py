"""Pillow reads and writes .aec files: `import aecodec.pillow_plugin`, and `Image.open("x.aec")` works.

    Image.open("x.aec")                            reads the header and the metadata; the pixels come with `load()`
    image.save("x.aec", quality=75)                0 (smallest file) .. 100 (best picture); 50 without it
    image.save("x.aec", target_size=200_000)       the best quality in so many bytes
    image.save("x.aec", lossless=True)             every pixel; False: never; else where that is smaller
    image.save("x.aec", exif=..., icc_profile=..., xmp=..., strip=True)
    image.verify()                                 finds damage without decoding pixels
    image.draft(None, (160, 120))                  before pixels are used: at an eighth of the size, if that is enough

Other options raise a TypeError. As with Pillow's own formats, the ICC profile is taken from the image unless another is
given, EXIF and XMP only if they are given. As in `aecodec.encode`, the orientation is applied to the pixels: that of
the EXIF that is given, else the image's own; and it is 1 in the file, so that it never counts twice. The first use of
pixels loads the weights.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from typing import IO, Any

from PIL import Image, ImageFile

from . import thumbnail
from .api import decode_file, default_codec
from .errors import AecError, NotAec
from .format import boxes, container
from .format.constants import TUNES
from .goals import Goal, reach
from .picture import metadata, reading

FORMAT, ENDING, MIME = "AEC", ".aec", "image/x-aec"
OPTIONS = ("quality", "target_size", "lossless", "tune", "strip", "exif", "icc_profile", "xmp")
_HEADER_BYTES = 64


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(container.MAGIC)


class AecImageFile(ImageFile.ImageFile):
    """An .aec file that Pillow has opened."""

    format = FORMAT
    format_description = "AEC learned image compression"

    def _open(self) -> None:
        assert self.fp is not None
        try:
            header, at = container.read_header(self.fp.read(_HEADER_BYTES))
            alpha, contents = self._read_boxes(at + header.payload_length + 4, header.boxes)
        except NotAec as error:
            raise SyntaxError(str(error)) from error
        except AecError as error:
            raise OSError(str(error)) from error
        self._mode = header.mode + ("A" if alpha else "")
        self._size = header.width, header.height
        self.info.update(reading.info_of(contents))
        self._small = False
        self._lossless = header.lossless
        # One tile that says the pixels are still to come: `load` replaces it.
        self.tile = [("raw", (0, 0, *self.size), 0, self.mode)]  # type: ignore[list-item]

    def _read_boxes(self, at: int, count: int) -> tuple[bool, dict[str, bytes]]:
        """Whether there is alpha, and the metadata; payload and alpha are passed over unread."""
        assert self.fp is not None
        file = self.fp

        def source(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        size = file.seek(0, os.SEEK_END)
        alpha, kept = False, []
        for place in container.box_places(source, at, count):
            if place.kind == boxes.ALPHA:
                alpha = True
            elif place.kind in boxes.METADATA and place.end <= size:  # what is wrong is told when pixels are loaded
                kept.append(place.read(size))
        return alpha, boxes.metadata(kept)

    def verify(self) -> None:
        """Find damage anywhere in the file, by its checksums; the pixels are not decoded. Raises OSError."""
        if self.fp is None:
            raise RuntimeError("verify must be called directly after open")
        self.fp.seek(0)
        try:
            container.read_file(self.fp.read(), boxes.KNOWN)
        except AecError as error:
            raise OSError(str(error)) from error
        finally:
            if self._exclusive_fp:
                self.fp.close()
            self.fp = None

    def draft(self, mode: str | None, size: tuple[int, int] | None,
              ) -> tuple[str, tuple[int, int, float, float]] | None:
        """Load pixels at an eighth of the size, if that is no smaller than `size`: it need not decode them all.

        `Image.thumbnail` calls it. As Pillow's own JPEG files do, gives the mode, and which box of the smaller picture
        is the whole one; None if nothing changes.
        """
        if not self.tile or self._lossless or self._small or size is None or not thumbnail.worth_it(self.size, size):
            return None
        box = (0, 0, self.width / thumbnail.SCALE, self.height / thumbnail.SCALE)
        self._size = -(-self.width // thumbnail.SCALE), -(-self.height // thumbnail.SCALE)
        self._small = True
        return self.mode, box

    def _decoded(self, file: container.AecFile) -> Image.Image:
        """The picture of a file, at the size that was asked for."""
        small = thumbnail.at_an_eighth(default_codec(), file) if self._small else None
        if small is not None:
            return small
        image = decode_file(file)
        return image.reduce(thumbnail.SCALE) if self._small else image

    def load_seek(self, pos: int) -> None:
        """Does nothing: Pillow's incremental parser leaves a picture that has this method to its `load`."""

    def load(self) -> Any:
        """Decode the pixels. Raises OSError if the file is damaged or needs what this version lacks."""
        if self.tile:
            if self.fp is None:
                raise ValueError("Operation on closed image")
            self.fp.seek(0)
            try:
                # Pillow's own limit was checked when the file was opened, and is the one to lift.
                image = self._decoded(container.read_file(self.fp.read(), boxes.KNOWN))
            except AecError as error:
                raise OSError(str(error)) from error
            image.load()
            self.im = image.im
            self.tile = []
            if self._exclusive_fp:
                self.fp.close()
            self.fp = None
        return super().load()


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    options: dict[str, Any] = image.encoderinfo  # type: ignore[attr-defined]
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise TypeError(f"{FORMAT} has no option {', '.join(unknown)}; it has {', '.join(OPTIONS)}")
    quality = options.get("quality")
    if "quality" in options and (isinstance(quality, bool) or not isinstance(quality, (int, float))
                                 or not 0 <= quality <= 100):
        raise ValueError("Invalid quality setting")
    goal = Goal(quality, target_size=options.get("target_size"), lossless=options.get("lossless", "auto"),
                tune=options.get("tune", TUNES[0]))
    try:
        read = _read(image, options)
        for note in read.notes:
            warnings.warn(note, reading.PictureWarning, stacklevel=3)
        data = reach(default_codec(), read, goal, bool(options.get("strip", False))).data
    except reading.UnsupportedPicture as error:
        raise OSError(f"cannot write mode {image.mode} as {FORMAT}: {error}") from error
    except AecError as error:
        raise OSError(f"cannot write file as {FORMAT}: {error}") from error
    file.write(data)


def _read(image: Image.Image, options: dict[str, Any]) -> reading.Picture:
    """The picture to code, upright, with the metadata that are given."""
    plain = image.copy()
    plain.info = {key: image.info[key] for key in ("transparency",) if key in image.info}
    exif, xmp = options.get("exif"), options.get("xmp")
    upright = Image.Exif()
    upright[metadata.ORIENTATION] = reading.orientation_of(image)
    given = {"icc_profile": options.get("icc_profile", image.info.get("icc_profile")),
             "exif": (exif.tobytes() if isinstance(exif, Image.Exif) else exif) or upright.tobytes(),
             "xmp": xmp.encode() if isinstance(xmp, str) else xmp}
    plain.info.update({key: value for key, value in given.items() if value})
    read = reading.read(plain)
    return read if exif else replace(read, exif=None)


def register() -> None:
    """Make Pillow know the format. Importing this module has done it already; doing it again changes nothing."""
    Image.register_open(FORMAT, AecImageFile, _accept)  # type: ignore[arg-type]
    Image.register_save(FORMAT, _save)
    Image.register_extension(FORMAT, ENDING)
    Image.register_mime(FORMAT, MIME)


register()
