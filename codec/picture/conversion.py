"""Pillow images of any mode to 8-bit grey or RGB, with alpha where there is some: depth, palettes, colour spaces."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UnsupportedPicture

if TYPE_CHECKING:
    from PIL import Image


def layout(image: Image.Image) -> str:
    """The layout of the samples in the file, such as `RGB;16B`, as far as Pillow tells; else nothing."""
    for tile in getattr(image, "tile", ()):
        args = tile[3]
        if tile[0] in ("ppm", "ppm_plain"):
            most = args[-1] if isinstance(args, tuple) else args
            return ";16" if isinstance(most, int) and most > 255 else ""
        found = args[0] if isinstance(args, tuple) and args else args
        if image.format == "AVIF":
            return ";16" if _deep_avif(image) else ""
        return found if isinstance(found, str) else ""
    return ""


def _deep_avif(image: Image.Image) -> bool:
    """Whether an AVIF has 10 or 12 bits: a flag in its `av1C` box (AV1 in ISOBMFF, section 2.3.3)."""
    file = getattr(image, "fp", None)
    if file is None:
        return False
    before = file.tell()
    file.seek(0)
    head = file.read(1 << 14)
    file.seek(before)
    at = head.find(b"av1C")
    return 0 <= at < len(head) - 6 and bool(head[at + 6] & 0x40)


def to_eight_bits(image: Image.Image, layout: str, icc: bytes | None) -> tuple[Image.Image, bytes | None, list[str]]:
    """The image as L, LA, RGB or RGBA, the profile that is left to go with it, and what was changed."""
    from PIL import Image

    mode, notes = image.mode, []
    key = image.info.get("transparency")
    if "16" in layout or mode.startswith("I") or (isinstance(key, tuple) and max(key) > 255):
        deep = "12" if ";12" in layout else "16"
        notes.append("more than 8 bits reduced to 8" if image.format == "AVIF"
                     else f"{deep} bits per sample reduced to 8")
    if mode in ("L", "LA", "RGB", "RGBA") and key is None:
        return image, icc, notes
    if mode.startswith("I"):
        return _from_deep(image, key, layout), icc, notes
    if mode == "RGB" and isinstance(key, tuple):
        pixels = np.asarray(image)
        if max(key) > 255 or "16" in layout:  # Pillow gives 8 bits of the samples, but all 16 of the key
            key = tuple(value >> 8 for value in key)
        alpha = np.where((pixels == np.array(key)).all(axis=2), 0, 255).astype(np.uint8)
        return Image.fromarray(np.dstack([pixels, alpha])), icc, notes
    if mode in ("CMYK", "LAB"):
        return _to_srgb(image, icc, notes), None, notes
    target = {"1": "L", "L": "L", "LA": "LA", "La": "LA"}.get(mode, "RGB")
    if mode == "F":
        low, high = (float(value) for value in image.getextrema())  # type: ignore[arg-type]
        raise UnsupportedPicture(f"the picture has floating-point values, from {low:g} to {high:g}, and nothing says "
                                 "which of them is white; scale it to 0..255 and convert it to L")
    if image.has_transparency_data and not target.endswith("A"):
        target += "A"
    try:
        return image.convert(target), icc, notes
    except ValueError:
        raise UnsupportedPicture(f'pictures of mode {mode} cannot be coded; try image.convert("RGB")') from None


def _from_deep(image: Image.Image, key: Any, layout: str) -> Image.Image:
    """Grey samples of more than 8 bits as 8. White is the largest value of as many bits as the file says there are.

    Mode I has 32 bits, and nothing says how many of them are used; values up to 255 are taken for 8 bits.
    """
    from PIL import Image

    samples = np.asarray(image).astype(np.int64)
    low, high = int(samples.min()), int(samples.max())
    white = 4095 if ";12" in layout else 65535
    if image.mode == "I" and "16" not in layout and high <= 255:
        white = 255
    if low < 0 or high > white:
        raise UnsupportedPicture(f"the picture has values from {low} to {high}, and nothing says which of them is "
                                 "white; scale it to 0..255 and convert it to L")
    grey = ((samples * 255 + white // 2) // white).astype(np.uint8)
    if not isinstance(key, int):
        return Image.fromarray(grey)
    return Image.fromarray(np.dstack([grey, np.where(samples == key, 0, 255).astype(np.uint8)]))


def _to_srgb(image: Image.Image, icc: bytes | None, notes: list[str]) -> Image.Image:
    """CMYK or Lab to sRGB through its profile."""
    lab = image.mode == "LAB"
    try:
        from PIL import ImageCms

        if icc is not None and space(icc) == (b"Lab " if lab else b"CMYK"):
            profile = ImageCms.getOpenProfile(BytesIO(icc))
        elif lab:
            profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        else:
            notes.append("CMYK without a profile: its colours are only approximate")
            return image.convert("RGB")
        converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB",
                                              renderingIntent=ImageCms.Intent.PERCEPTUAL)
    except ImportError:
        raise UnsupportedPicture(f"pictures of mode {image.mode} need Pillow with LittleCMS; "
                                 "install Pillow from its wheel") from None
    except ImageCms.PyCMSError as error:
        if lab:
            raise UnsupportedPicture(f"the Lab colours cannot be converted ({error}); convert it to RGB") from None
        notes.append(f"the CMYK profile cannot be used ({error}): the colours are only approximate")
        return image.convert("RGB")
    assert converted is not None
    notes.append(f"{'Lab' if lab else 'CMYK'} converted to sRGB")
    return converted


def in_srgb(image: Image.Image, icc: bytes) -> Image.Image | None:
    """An image of mode L, LA, RGB or RGBA as one whose colours need no profile; None if it is that already.

    Raises UnsupportedPicture if the profile cannot be used.
    """
    from PIL import Image, ImageChops

    grey = image.mode in ("L", "LA")
    before = image.convert("L" if grey and space(icc) == b"GRAY" else "RGB")
    try:
        from PIL import ImageCms

        # Optimised, it would go by tables that are coarse in the shadows.
        after = ImageCms.profileToProfile(before, ImageCms.getOpenProfile(BytesIO(icc)), ImageCms.createProfile("sRGB"),
                                          outputMode="RGB", renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                                          flags=ImageCms.Flags.NOOPTIMIZE)
    except (ImportError, ImageCms.PyCMSError) as error:
        raise UnsupportedPicture(f"the colour profile cannot be used ({error})") from None
    assert after is not None
    if np.max(ImageChops.difference(before.convert("RGB"), after).getextrema()) <= 1:
        return None  # rounding alone
    if grey:
        after = after.convert("L")
    if image.mode.endswith("A"):
        after = Image.merge(image.mode, (*after.split(), image.getchannel("A")))
    return after


def space(icc: bytes | None) -> bytes:
    """The colour space an ICC profile is for: `RGB `, `GRAY`, `CMYK` (ICC.1, section 7.2.6)."""
    return icc[16:20] if icc else b""
