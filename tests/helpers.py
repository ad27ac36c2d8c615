"""Makers of test pictures that several test modules share."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image


def ramp(mode: str, size=(24, 16)) -> Image.Image:
    """A picture of a mode with many values."""
    rng = np.random.default_rng(3)
    base = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 4), dtype=np.uint8))
    if mode == "LAB":
        return Image.merge("LAB", base.convert("RGB").split())
    if mode in ("HSV", "YCbCr", "CMYK", "1"):
        return base.convert("RGB").convert(mode)
    if mode in ("La", "RGBa"):
        return base.convert({"La": "LA", "RGBa": "RGBA"}[mode]).convert(mode)
    if mode in ("I;16", "I"):
        values = rng.integers(0, 65536, size[::-1])
        return Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.int32))
    if mode == "P":
        return base.convert("RGB").quantize(16)
    if mode == "PA":
        return base.convert("RGB").quantize(16).convert("PA")
    return base.convert(mode)


def make_exif(order: str, orientation: int, thumbnail: bytes = b"") -> bytes:
    """EXIF with an orientation, a description stored by offset, the picture's sides, and a thumbnail."""
    def entry(tag: int, kind: int, count: int, value: int) -> bytes:
        packed = struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value)
        return struct.pack(order + "HHI", tag, kind, count) + packed

    text = b"a description\0"
    main, detail, second = 8, 8 + 2 + 3 * 12 + 4, 8 + 2 + 3 * 12 + 4 + 2 + 2 * 12 + 4
    texts = second + 2 + 3 * 12 + 4
    return b"".join([
        b"II*\0" if order == "<" else b"MM\0*", struct.pack(order + "I", main),
        struct.pack(order + "H", 3), entry(0x010E, 2, len(text), texts), entry(0x0112, 3, 1, orientation),
        entry(0x8769, 4, 1, detail), struct.pack(order + "I", second if thumbnail else 0),
        struct.pack(order + "H", 2), entry(0xA002, 4, 1, 30), entry(0xA003, 3, 1, 20), struct.pack(order + "I", 0),
        struct.pack(order + "H", 3), entry(0x0112, 3, 1, orientation), entry(0x0201, 4, 1, texts + len(text)),
        entry(0x0202, 4, 1, len(thumbnail)), struct.pack(order + "I", 0), text, thumbnail,
    ])


def jpeg(array: np.ndarray, **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, "JPEG", quality=95, **options)
    return out.getvalue()
