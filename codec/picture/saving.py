"""A decoded picture into a picture file, with its profile and metadata where the format holds them."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any

from . import metadata

if TYPE_CHECKING:
    from PIL import Image

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF",
           ".bmp": "BMP", ".ppm": "PPM"}

_WITH_METADATA = ("PNG", "JPEG", "WEBP", "TIFF")
_WITH_ALPHA = ("PNG", "WEBP", "TIFF")
_JPEG_SEGMENT = 65533  # bytes that a marker segment holds after its length (ITU-T T.81, B.1.1.4)
_XMP_NAMESPACE = b"http://ns.adobe.com/xap/1.0/\0"
_TIFF_XMP = 700


def save(image: Image.Image, file: IO[bytes], name: str) -> list[str]:
    """Write an image of mode L, LA, RGB or RGBA in one of Pillow's formats.

    Args:
        image: its `info` holds `icc_profile`, `exif` and `xmp`, as `aecodec.decode` gives it.
        file: open for writing.
        name: the format: a value of `FORMATS`.

    Returns:
        What the format cannot hold and was left out.
    """
    notes: list[str] = []
    options: dict[str, Any] = {"quality": 95} if name in ("JPEG", "WEBP") else {}
    kept = {key: image.info[key] for key in ("icc_profile", "exif", "xmp") if image.info.get(key)}
    if image.mode.endswith("A") and name not in _WITH_ALPHA:
        notes.append(f"{name} holds no transparency: the picture was laid on white")
        image = _on_white(image)
    if name == "WEBP" and image.mode in ("L", "LA") and kept.get("icc_profile", b"")[16:20] == b"GRAY":
        notes.append("WEBP holds no grey pictures: the grey colour profile was left out")
        del kept["icc_profile"]
    if name not in _WITH_METADATA:
        if kept:
            notes.append(f"{name} holds no {', '.join(_SHOWN[key] for key in kept)}: left out")
    else:
        _METADATA[name](kept, options, notes)
    bare = image.copy()
    bare.info = {}  # Pillow would take some of it by itself
    bare.save(file, name, **options)
    return notes


_SHOWN = {"icc_profile": "colour profile", "exif": "EXIF", "xmp": "XMP"}


def _on_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    colour = image.convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", image.size, "white"), colour)
    return flat.convert("L" if image.mode == "LA" else "RGB")


def _as_png(kept: dict[str, bytes], options: dict[str, Any], notes: list[str]) -> None:
    from PIL.PngImagePlugin import PngInfo

    xmp = kept.pop("xmp", None)
    options.update(kept)
    if xmp is not None:
        chunks = PngInfo()
        try:
            chunks.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=len(xmp) > 1000)
        except UnicodeDecodeError:
            notes.append("the XMP is not UTF-8, as PNG needs it: left out")
        options["pnginfo"] = chunks


def _as_jpeg(kept: dict[str, bytes], options: dict[str, Any], notes: list[str]) -> None:
    options.update({key: kept[key] for key in ("icc_profile", "exif") if key in kept})
    if len(kept.get("exif", b"")) > _JPEG_SEGMENT:
        notes.append("the EXIF is too long for JPEG: left out")
        del options["exif"]
    xmp = kept.get("xmp")
    if xmp is not None:
        segment = _XMP_NAMESPACE + xmp
        if len(segment) > _JPEG_SEGMENT:
            notes.append("the XMP is too long for JPEG: left out")
        else:
            options["extra"] = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment


def _as_webp(kept: dict[str, bytes], options: dict[str, Any], notes: list[str]) -> None:
    options.update(kept)


def _as_tiff(kept: dict[str, bytes], options: dict[str, Any], notes: list[str]) -> None:
    from PIL import Image

    if "icc_profile" in kept:
        options["icc_profile"] = kept["icc_profile"]
    if "exif" not in kept and "xmp" not in kept:
        return
    tags = Image.Exif()
    try:
        tags.load(kept.get("exif", b""))
        for tag in metadata.FILE_TAGS & set(tags):  # a JPEG's EXIF may say how wide it was: here that would count
            del tags[tag]
        if "xmp" in kept:
            tags[_TIFF_XMP] = kept["xmp"]
        Image.new("L", (1, 1)).save(BytesIO(), "TIFF", exif=tags)
    except (SyntaxError, ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, OSError,
            RuntimeError, struct.error) as error:
        notes.append(f"the EXIF cannot be written to TIFF ({error}): left out")
    else:
        options["exif"] = tags


_METADATA = {"PNG": _as_png, "JPEG": _as_jpeg, "WEBP": _as_webp, "TIFF": _as_tiff}
