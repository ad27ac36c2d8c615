"""A decoded picture into a picture file, with its profile and metadata where the format holds them."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any

from ..errors import AecError, UnsupportedPicture
from . import conversion, gain_map, kinds, metadata

if TYPE_CHECKING:
    from PIL import Image

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF",
           ".bmp": "BMP", ".ppm": "PPM", ".avif": "AVIF", ".jxl": "JXL"}
QUALITIES = {"JPEG": 95, "WEBP": 95, "AVIF": 90, "JXL": 95}  # of the lossy formats, without one that is asked for

_WITH_METADATA = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF", "JXL")
_WITH_PROFILE = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF")  # the JPEG XL plug-in has no parameter for it
_WITH_ALPHA = ("PNG", "WEBP", "TIFF", "AVIF", "JXL")
_TIFF_XMP = 700


def prepare(name: str) -> None:
    """Make sure that Pillow can write a format: a value of `FORMATS`.

    Raises:
        AecError: it cannot; the message says what to install.
    """
    if name == "JXL":
        kinds.register(kinds.JXL)
    if name == "AVIF":
        from PIL import features

        if not features.check("avif"):
            raise AecError("this Pillow was built without AVIF; install Pillow from its wheel")


def save(image: Image.Image, file: IO[bytes], name: str, quality: int | None = None) -> list[str]:
    """Write an image of mode L, LA, RGB or RGBA in one of Pillow's formats.

    Args:
        image: its `info` holds `icc_profile`, `exif`, `xmp` and `gain_map`, as `aecodec.decode` gives it.
        file: open for writing.
        name: the format: a value of `FORMATS`, see `prepare`.
        quality: 0..100 of a lossy format, as its own encoder counts; None for the usual one in `QUALITIES`.

    Returns:
        What the format cannot hold and was left out.
    """
    notes: list[str] = []
    options: dict[str, Any] = {}
    if name in QUALITIES:
        options["quality"] = QUALITIES[name] if quality is None else quality
    kept = {key: image.info[key] for key in ("icc_profile", "exif", "xmp") if image.info.get(key)}
    hdr = image.info.get("gain_map")
    if hdr and name != "JPEG":
        notes.append(f"{name} holds no HDR gain map: left out (JPEG holds it)")
        hdr = None
    if image.mode.endswith("A") and name not in _WITH_ALPHA:
        notes.append(f"{name} holds no transparency: the picture was laid on white")
        image = _on_white(image)
    if name in ("WEBP", "AVIF") and image.mode in ("L", "LA") and kept.get("icc_profile", b"")[16:20] == b"GRAY":
        notes.append(f"{name} holds no grey pictures: the grey colour profile was left out")
        del kept["icc_profile"]
    if "icc_profile" in kept and name not in _WITH_PROFILE:
        image = _without_profile(image, name, kept, notes)
    if name not in _WITH_METADATA:
        if kept:
            notes.append(f"{name} holds no {', '.join(_SHOWN[key] for key in kept)}: left out")
    else:
        _METADATA[name](kept, options, notes)
    bare = image.copy()
    bare.info = {}  # Pillow would take some of it by itself
    if hdr:
        _save_with_gain_map(bare, file, options, kept.get("xmp"), hdr, notes)
    else:
        bare.save(file, name, **options)
    return notes


def _save_with_gain_map(image: Image.Image, file: IO[bytes], options: dict[str, Any], xmp: bytes | None, hdr: bytes,
                        notes: list[str]) -> None:
    claim = gain_map.claim(xmp, hdr)
    extra = None if claim is None else _xmp_segment(claim)
    if extra is None:
        notes.append("the XMP has no room for the HDR gain map: left out")
        image.save(file, "JPEG", **options)
        return
    options["extra"] = extra
    out = BytesIO()
    image.save(out, "JPEG", **options)
    file.write(gain_map.attached(out.getvalue(), hdr))


_SHOWN = {"icc_profile": "colour profile", "exif": "EXIF", "xmp": "XMP"}


def _on_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    colour = image.convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", image.size, "white"), colour)
    return flat.convert("L" if image.mode == "LA" else "RGB")


def _without_profile(image: Image.Image, name: str, kept: dict[str, bytes], notes: list[str]) -> Image.Image:
    """A picture that looks the same without its profile."""
    without = "the JPEG XL plug-in writes no colour profile" if name == "JXL" else f"{name} holds no colour profile"
    try:
        shown = conversion.in_srgb(image, kept["icc_profile"])
    except UnsupportedPicture as error:
        notes.append(f"{without}, and {error}: left out, so that colours may differ")
    else:
        if shown is None:
            notes.append(f"{without}: left out, for it is that of sRGB")
        else:
            notes.append(f"{without}: the colours were converted to sRGB")
            image = shown
    del kept["icc_profile"]
    return image


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
    if len(kept.get("exif", b"")) > gain_map.SEGMENT:
        notes.append("the EXIF is too long for JPEG: left out")
        del options["exif"]
    xmp = kept.get("xmp")
    if xmp is not None:
        segment = _xmp_segment(xmp)
        if segment is None:
            notes.append("the XMP is too long for JPEG: left out")
        else:
            options["extra"] = segment


def _xmp_segment(xmp: bytes) -> bytes | None:
    """An APP1 segment of XMP; None if it does not fit."""
    body = gain_map.XMP_NAMESPACE + xmp
    return None if len(body) > gain_map.SEGMENT else b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body


def _as_jxl(kept: dict[str, bytes], options: dict[str, Any], notes: list[str]) -> None:
    options.update(kept, use_container=True)


def _as_it_is(kept: dict[str, bytes], options: dict[str, Any], notes: list[str]) -> None:
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


_METADATA = {"PNG": _as_png, "JPEG": _as_jpeg, "WEBP": _as_it_is, "TIFF": _as_tiff, "AVIF": _as_it_is,
             "JXL": _as_jxl}
