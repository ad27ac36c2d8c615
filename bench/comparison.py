"""Pictures to look at: the original and every codec's, at file sizes as equal as their settings allow."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aecodec.metrics import psnr

from .codecs import LOSSLESS, OURS, Codec, is_ours, label
from .pictures import Picture
from .table import setting_text

FILE = "comparison.json"
RATES = (0.25, 0.6)  # bits per pixel, about
VIEW = (768, 512)  # larger pictures are cut down to their middle, width by height
PICTURES = 4
CODECS = (OURS, "jpeg", "jpegli", "webp", "avif", "jxl")


def middle(pixels: np.ndarray) -> np.ndarray:
    """The middle of a picture, at most 768x512 (or 512x768): `uint8 [H, W, 3]`."""
    height, width = pixels.shape[:2]
    wide, high = VIEW if width >= height else VIEW[::-1]
    top, left = max(0, (height - high) // 2), max(0, (width - wide) // 2)
    return np.ascontiguousarray(pixels[top:top + high, left:left + wide])


def nearest(codec: Codec, pixels: np.ndarray, target: int, made: dict[int, bytes] | None = None) -> tuple[float, bytes]:
    """The setting whose file is nearest to `target` bytes, and that file; by bisection over `codec.fine`.

    `made` keeps the files of this picture for another search: index into `codec.fine` -> file.
    """
    made = {} if made is None else made

    def size(index: int) -> int:
        if index not in made:
            made[index] = codec.encode(pixels, codec.fine[index])
        return len(made[index])

    low, high = 0, len(codec.fine) - 1
    while low < high:
        between = (low + high) // 2
        if size(between) < target:
            low = between + 1
        else:
            high = between
    size(low)
    best = min(made, key=lambda index: abs(len(made[index]) - target))
    return codec.fine[best], made[best]


def evenly(pictures: Sequence[Picture], count: int) -> list[Picture]:
    """`count` of the pictures, spread over the list."""
    if len(pictures) <= count:
        return list(pictures)
    return [pictures[(2 * n + 1) * len(pictures) // (2 * count)] for n in range(count)]


def compare(pictures: Sequence[Picture], codecs: Sequence[Codec], rates: Sequence[float] = RATES,
            on_done: Callable[[], None] = lambda: None) -> list[dict[str, Any]]:
    """What the page shows, ready for JSON: a picture each, with its versions at each size.

    aecodec with the first of its models sets the size, as the nearest it comes to each rate, and the others follow.
    Files that browsers show are embedded as they are; the pictures of other codecs as lossless WebP.
    """
    shown = [codec for codec in codecs if codec.name not in LOSSLESS]
    found = []
    for picture in pictures:
        pixels = middle(picture.pixels())
        height, width = pixels.shape[:2]
        sizes = []
        for rate in rates:
            target = round(rate * height * width / 8)
            versions: list[dict[str, Any]] = []
            for codec in sorted(shown, key=lambda codec: not is_ours(codec.name)):
                setting, data = nearest(codec, pixels, target)
                if is_ours(codec.name) and not versions:
                    target = len(data)
                decoded = codec.decode(data)
                versions.append({
                    "codec": codec.name, "label": label(codec.name), "setting": setting_text(setting),
                    "bytes": len(data), "psnr": round(min(psnr(pixels, decoded), 99.0), 2),
                    "uri": _uri(codec.embeds, data) if codec.embeds else _lossless(decoded)})
                on_done()
            sizes.append({"rate": rate, "target": target, "versions": versions})
        found.append({"name": f"{picture.dataset}/{picture.name}", "width": width, "height": height,
                      "original": _lossless(pixels), "sizes": sizes})
    return found


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _lossless(pixels: np.ndarray) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="WEBP", lossless=True, exact=True)
    return _uri("image/webp", file.getvalue())


def read(out: Path) -> list[dict[str, Any]]:
    """The comparison kept in a results folder; empty if there is none."""
    path = out / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def write(out: Path, found: list[dict[str, Any]]) -> None:
    """Keep a comparison for later reports."""
    (out / FILE).write_text(json.dumps(found), encoding="utf-8")
