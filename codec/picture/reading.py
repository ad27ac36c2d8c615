"""Pillow images and NumPy arrays to 8-bit planes and back: modes, depth, orientation, alpha, profiles, metadata."""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, Union

import numpy as np

from ..errors import LimitExceeded, UnsupportedPicture
from ..format import boxes
from ..format.container import Box, check_pixels
from . import conversion, gain_map, kinds, metadata
from .alpha import pack_alpha

if TYPE_CHECKING:
    from PIL import Image


class Tensor(Protocol):
    """What tells a torch tensor, without importing torch."""

    def detach(self) -> Any:
        """Itself, without what autograd knows of it."""


Source = Union["Image.Image", np.ndarray, Tensor, str, Path, IO[bytes]]

_SRGB_PRIMARIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
_IPTC_RESOURCE = 0x0404
_DEFAULT_DPI = (0, 1, 72, 96)  # what programs write that know nothing of the picture's size on paper

_DAMAGED_EXIF = (SyntaxError, ValueError, TypeError, OSError, KeyError, IndexError, AttributeError, OverflowError,
                 struct.error)


class PictureWarning(UserWarning):
    """Something of a picture was changed or left out."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as it is coded: upright, 8 bits, grey or RGB, and what goes with it."""

    pixels: np.ndarray  # uint8 [H, W, 3]; the three planes of a grey picture are the same
    grey: bool = False
    alpha: np.ndarray | None = None  # uint8 [H, W]; None: opaque
    icc: bytes | None = None
    exif: bytes | None = None  # from the TIFF header on
    xmp: bytes | None = None
    gain_map: bytes | None = None  # a JPEG that tells how much brighter HDR displays may show what (`gain_map.py`)
    notes: tuple[str, ...] = ()  # what was changed or left out, for the user

    @property
    def mode(self) -> str:
        """The Pillow mode it decodes to: L, LA, RGB or RGBA."""
        return ("L" if self.grey else "RGB") + ("" if self.alpha is None else "A")

    @cached_property
    def packed(self) -> tuple[Box, ...]:
        """What goes behind the coded pixels."""
        kept = boxes.pack_metadata(self.icc, self.exif, self.xmp, self.gain_map)
        return kept if self.alpha is None else (Box(boxes.ALPHA, pack_alpha(self.alpha)), *kept)

    def boxes(self, strip: bool = False) -> tuple[Box, ...]:
        """What goes behind the coded pixels; with `strip`, only what is needed to show them."""
        return tuple(box for box in self.packed if box.required or not strip)


def read(source: Source, limit_pixels: int | None = None) -> Picture:
    """A picture to code.

    Args:
        source: a Pillow image of any mode but F; a `uint8` array `[H, W]`, `[H, W, 2]` (grey, alpha), `[H, W, 3]` or
            `[H, W, 4]` (RGB, alpha), or `[H, W, 1]`; a `uint8` torch tensor `[C, H, W]` or `[H, W]` of as many
            channels; a path; or a file object open for reading.
        limit_pixels: larger pictures are refused before they are decoded; None for no limit.

    Raises:
        LimitExceeded: more pixels than `limit_pixels`.
        TypeError: another type.
        UnsupportedPicture: a mode, type or shape that cannot be coded, or no pixels; the message says what to do.
        OSError: the file cannot be read or decoded.
    """
    from PIL import Image

    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        check_pixels(source.width, source.height, limit_pixels)
        return _from_pillow(source)
    if isinstance(source, (str, Path)) or hasattr(source, "read"):
        try:
            with opened(source) as image:  # type: ignore[arg-type]
                check_pixels(image.width, image.height, limit_pixels)
                return _from_pillow(image)
        except Image.DecompressionBombError as error:
            raise LimitExceeded(f"{error} It is Pillow's limit: PIL.Image.MAX_IMAGE_PIXELS lifts it.") from None
    if hasattr(source, "detach"):  # a torch tensor, whose package is not imported here
        return _from_array(_from_planes(source))
    raise TypeError("expected a Pillow image, a uint8 array [H, W, C], a uint8 torch tensor [C, H, W], a path or a "
                    f"file object, not {type(source).__name__}")


@contextlib.contextmanager
def opened(source: str | Path | IO[bytes]) -> Iterator[Image.Image]:
    """A picture file as a Pillow image whose pixels are not decoded yet.

    Plug-ins of Pillow for HEIC and JPEG XL are registered when such a file comes.

    Raises:
        UnsupportedPicture: it needs a plug-in that is not installed, or is a raw file; the message says what to do.
        OSError: the file cannot be read.
    """
    from PIL import Image

    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open(source, "rb")) if isinstance(source, (str, Path)) else source
        if hasattr(file, "seek"):
            begin = file.tell()
            plug_in = kinds.plug_in_for(file.read(kinds.HEAD))
            file.seek(begin)
            if plug_in is not None:
                kinds.register(plug_in)
        image = stack.enter_context(Image.open(file))
        if image.format == "TIFF" and kinds.is_dng(dict(getattr(image, "tag_v2", {}))):
            raise UnsupportedPicture(f"this is {kinds.RAW}")
        yield image


def _from_planes(tensor: Any) -> np.ndarray:
    """A tensor `[C, H, W]` or `[H, W]` as an array `[H, W, C]` or `[H, W]`."""
    array: np.ndarray = tensor.detach().cpu().numpy()
    if array.ndim == 3 and array.shape[0] <= 4:
        return array.transpose(1, 2, 0)
    if array.ndim != 2:
        raise UnsupportedPicture(f"the tensor's shape is {array.shape}; pass [C, H, W] with 3 channels (RGB), 1 (grey) "
                                 "or either with alpha: 4, 2" + ("; one of a batch is x[0]" if array.ndim == 4 else ""))
    return array


def _from_array(array: np.ndarray) -> Picture:
    if array.dtype != np.uint8:
        raise UnsupportedPicture(f"the array is {array.dtype}, not uint8; scale it to 0..255 and convert it")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
        raise UnsupportedPicture(f"the array's shape is {array.shape}; pass [H, W, 3] (RGB), [H, W] (grey), or either "
                                 "with alpha: [H, W, 4], [H, W, 2]")
    if 0 in array.shape:
        raise UnsupportedPicture(f"the array's shape is {array.shape}; a picture has at least one pixel")
    alpha = None
    if array.ndim == 3 and array.shape[2] in (2, 4):
        array, alpha = array[:, :, :-1], np.ascontiguousarray(array[:, :, -1])
        if alpha.min() == 255:
            alpha = None
    if array.ndim == 2 or array.shape[2] == 1:
        return Picture(np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2), True, alpha)
    return Picture(array, False, alpha)


def _from_pillow(image: Image.Image) -> Picture:
    if 0 in image.size:
        raise UnsupportedPicture(f"the picture is {image.width}x{image.height}; it needs at least one pixel")
    layout, hdr = conversion.layout(image), _gain_map(image)  # known only until the pixels are loaded
    notes = _frames(image) if hdr is None else []  # a gain map is taken for a second frame
    image.load()
    icc = image.info.get("icc_profile") or None
    if icc is not None and not isinstance(icc, bytes):  # a TIFF's tag may be of any type
        notes.append("not kept: the colour profile, which is damaged")
        icc = None
    shown, icc, changes = conversion.to_eight_bits(image, layout, icc)
    orientation = orientation_of(image)
    array = np.asarray(metadata.transpose(shown, orientation))
    coded = _from_array(array)
    grey = coded.grey
    if not grey and (image.mode in ("P", "PA") or layout.startswith("LA") or conversion.space(icc) == b"GRAY"):
        grey = bool((array[:, :, 0] == array[:, :, 1]).all() and (array[:, :, 0] == array[:, :, 2]).all())
    if icc is not None and conversion.space(icc) not in ((b"GRAY", b"RGB ") if grey else (b"RGB ",)):
        changes.append(f"not kept: the colour profile, which is not for {'grey' if grey else 'RGB'} pictures")
        icc = None
    exif, lost = _exif(image)
    xmp = _xmp(image)
    lost += _lost(image, icc, exif)
    xmp = xmp and gain_map.unclaimed(xmp)
    if hdr is not None:
        hdr = hdr and gain_map.turned(hdr, orientation)
        if not hdr:
            lost.append("the HDR gain map")
    if orientation in range(2, 9):
        exif = exif and metadata.upright_exif(exif, orientation)
        xmp = xmp and metadata.upright_xmp(xmp)
    if lost:
        changes.append(f"not kept: {', '.join(lost)}")
    return Picture(coded.pixels, grey, coded.alpha, icc, exif, xmp, hdr or None, (*notes, *changes))


def _gain_map(image: Image.Image) -> bytes | None:
    """The gain map of an open file; empty if there is one that cannot be kept, None if there is none."""
    given = image.info.get("gain_map")  # of a decoded .aec file
    if isinstance(given, bytes):
        return given or None
    file = getattr(image, "fp", None)
    if file is None or not hasattr(file, "seek"):
        return None
    before = file.tell()
    try:
        file.seek(0)
        if image.format in ("AVIF", "HEIF"):
            return b"" if gain_map.has_tone_map(file.read(1 << 16)) else None
        claimed = "mp" in image.info or b"/hdr-gain-map/" in (_xmp(image) or b"")
        if image.format in ("JPEG", "MPO") and claimed:
            found = gain_map.find(file.read())
            return b"" if found is None and b"/hdr-gain-map/" in (_xmp(image) or b"") else found
        return None
    finally:
        file.seek(before)


def _frames(image: Image.Image) -> list[str]:
    if not getattr(image, "is_animated", False):
        return []
    return [f"only frame {image.tell() + 1} of {getattr(image, 'n_frames', 'several')} is kept"]


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation of a picture, 1..8; 1 where there is none."""
    try:
        return int(image.getexif().get(metadata.ORIENTATION, 1))
    except _DAMAGED_EXIF:
        return 1


def _exif(image: Image.Image) -> tuple[bytes | None, list[str]]:
    """EXIF from its TIFF header on, and what of it cannot be kept."""
    data = image.info.get("exif")
    if isinstance(data, bytes):
        return data.removeprefix(metadata.EXIF_PREFIX) or None, []
    from PIL import Image

    try:
        if hasattr(image, "tag_v2"):
            return _exif_of_tiff(image, image.getexif(), Image.Exif())
        if "Raw profile type exif" in image.info:  # ImageMagick's way, before PNG had EXIF
            return image.getexif().tobytes().removeprefix(metadata.EXIF_PREFIX), []
        return None, []
    except _DAMAGED_EXIF:
        return None, ["EXIF, which is damaged"]


def _exif_of_tiff(image: Image.Image, tags: Image.Exif, kept: Image.Exif) -> tuple[bytes | None, list[str]]:
    """A TIFF's own tags as EXIF: those that describe the photo."""
    for tag in sorted(metadata.PHOTO_TAGS & set(tags)):
        kept[tag] = tags.get_ifd(tag) if tag in (metadata.EXIF_IFD, metadata.GPS_IFD) else tags[tag]
    if set(kept) <= metadata.RESOLUTION_TAGS and not _real_dpi(image):
        kept.clear()
    others = sorted(set(tags) - metadata.PHOTO_TAGS - metadata.FILE_TAGS)
    lost = [f"TIFF tags {', '.join(map(str, others))}"] if others else []
    return (kept.tobytes().removeprefix(metadata.EXIF_PREFIX) if len(kept) else None), lost


def _xmp(image: Image.Image) -> bytes | None:
    data = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(data, str):
        data = data.encode()
    return data if isinstance(data, bytes) and data else None


def _real_dpi(image: Image.Image) -> bool:
    dpi = image.info.get("dpi")
    try:
        return isinstance(dpi, tuple) and any(round(float(value)) not in _DEFAULT_DPI for value in dpi)
    except _DAMAGED_EXIF:  # no number, or none that is finite
        return False


def _lost(image: Image.Image, icc: bytes | None, exif: bytes | None) -> list[str]:
    """What the file says that has no place in an .aec file."""
    info, lost = image.info, []
    if info.get("comment"):
        lost.append("the comment")
    resources = info.get("photoshop")
    if resources:
        lost.append("IPTC" if isinstance(resources, dict) and _IPTC_RESOURCE in resources else "Photoshop resources")
    if any(kind == "APP1" and data.startswith(b"http://ns.adobe.com/xmp/extension/")
           for kind, data in getattr(image, "applist", ())):
        lost.append("extended XMP")
    text = [key for key in getattr(image, "text", ())
            if key != "XML:com.adobe.xmp" and not re.fullmatch("Raw profile type (exif|xmp|APP1|icc)", key)]
    if text:
        lost.append(f"text ({', '.join(text)})")
    if icc is None and "srgb" not in info and "icc_profile" not in info:
        gamma, primaries = info.get("gamma"), info.get("chromaticity")
        if gamma is not None and abs(gamma - 1 / 2.2) > 0.01:
            lost.append(f"the gamma of {gamma:g}, so that colours may differ")
        if primaries is not None and any(abs(a - b) > 0.01 for a, b in zip(primaries, _SRGB_PRIMARIES, strict=False)):
            lost.append("the primaries, so that colours may differ")
    if exif is None and _real_dpi(image):
        lost.append(f"the resolution ({info['dpi'][0]:.0f} dpi)")
    return lost


# -- and back -----------------------------------------------------------------------------------------------------


def to_array(pixels: np.ndarray, grey: bool, alpha: np.ndarray | None = None) -> np.ndarray:
    """Decoded `uint8 [H, W, 3]` as what a picture was: `[H, W]` (the mean of the planes, rounded) or `[H, W, 3]`;
    with alpha `[H, W, 2]` or `[H, W, 4]`."""
    if grey:
        pixels = ((pixels.astype(np.uint16).sum(axis=2) * 2 + 3) // 6).astype(np.uint8)
    return pixels if alpha is None else np.dstack([pixels, alpha])


def to_image(pixels: np.ndarray, grey: bool, alpha: np.ndarray | None = None,
             contents: dict[str, bytes] | None = None) -> Image.Image:
    """Decoded `uint8 [H, W, 3]` as a Pillow image: RGB or L, with alpha RGBA or LA, and with the `contents` of the
    boxes in its `info`."""
    from PIL import Image

    image = Image.fromarray(to_array(pixels, grey, alpha))
    image.info.update(info_of(contents or {}))
    return image


def as_image(picture: Picture) -> Image.Image:
    """A picture that was read as a Pillow image, with its metadata."""
    return to_image(picture.pixels, picture.grey, picture.alpha, boxes.metadata(picture.boxes()))


def info_of(contents: dict[str, bytes]) -> dict[str, bytes]:
    """The contents of boxes under the names they have in a Pillow image's `info`."""
    names = {boxes.ICC: "icc_profile", boxes.EXIF: "exif", boxes.XMP: "xmp", boxes.GAIN_MAP: "gain_map"}
    info = {names[kind]: data for kind, data in contents.items()}
    if "exif" in info:
        info["exif"] = metadata.EXIF_PREFIX + info["exif"]
    return info
