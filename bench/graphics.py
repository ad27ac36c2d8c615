"""What pictures that are no photographs take at the default quality, as aecodec writes them and in other formats."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from aecodec.metrics import ssimulacra2

from . import drawings
from .document import Table

if TYPE_CHECKING:
    from .codecs import Codec

OTHERS = ("webp", "avif")  # lossy, at the quality of our lossy file


def chart() -> np.ndarray:
    """Bars, lines and labels, `uint8 [320, 480, 3]`."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (480, 320), "white")
    draw = ImageDraw.Draw(image)
    for n, colour in enumerate(("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728")):
        draw.rectangle([40 + 100 * n, 300 - 60 * (n + 1), 110 + 100 * n, 300], fill=colour)
        draw.text((50 + 100 * n, 302), f"group {n}", fill="black")
    draw.line([(20, 300), (470, 300)], fill="black")
    return np.array(image)


def pixel_art(scale: int = 8) -> np.ndarray:
    """Symmetric squares of six colours, `uint8 [64 scale, 48 scale, 3]`."""
    palette = np.array([(0, 0, 0), (29, 43, 83), (126, 37, 83), (255, 241, 232), (255, 0, 77), (41, 173, 255)],
                       np.uint8)
    small = np.random.default_rng(1).integers(0, 6, (32, 24)).repeat(2, axis=0)
    return palette[np.hstack([small, small[:, ::-1]])].repeat(scale, axis=0).repeat(scale, axis=1)


def scan() -> np.ndarray:
    """A page as a scanner gives it: a little blurred, with noise; `uint8 [300, 300, 3]`."""
    from PIL import Image, ImageFilter

    page = Image.fromarray(drawings.draw("text", "page")).crop((0, 0, 300, 300)).filter(ImageFilter.GaussianBlur(0.7))
    noise = np.random.default_rng(0).normal(0, 4, (300, 300, 3))
    return np.clip(np.array(page) + noise, 0, 255).round().astype(np.uint8)


GRAPHICS: dict[str, Callable[[], np.ndarray]] = {
    "a mail program": lambda: drawings.draw("screenshot", "window"),
    "a code editor": lambda: drawings.draw("screenshot", "editor"),
    "a page of text": lambda: drawings.draw("text", "page"),
    "a table of figures": lambda: drawings.draw("text", "table"),
    "a chart": chart, "pixel art": pixel_art, "a scanned page": scan,
    "an icon of 64x64": lambda: drawings.draw("tiny", "icon-64"),
}


def table(on_done: Callable[[], None] = lambda: None) -> Table:
    """Bytes of each: without loss, lossy at one SSIMULACRA2, and what aecodec writes."""
    from aecodec import Codec, read_header

    from .codecs import Options, label, open_codec

    codec = Codec(device="cpu")
    others = [open_codec(name, Options()) for name in OTHERS]
    body = []
    for name, draw in GRAPHICS.items():
        pixels = draw()
        written, lossy = codec.encode(pixels), codec.encode(pixels, lossless=False)
        score = ssimulacra2(pixels, np.asarray(codec.decode(lossy).convert("RGB")))
        how = "without loss" if read_header(written).lossless else "lossy"
        body.append((name, _number(_size(pixels, "PNG", optimize=True)),
                     _number(_size(pixels, "WEBP", lossless=True, exact=True)), f"{score:.0f}", _number(len(lossy)),
                     *(_number(_at_least(other, pixels, score)) for other in others), f"{_number(len(written))} {how}"))
        on_done()
    return Table(("picture", "PNG", "WebP lossless", "SSIMULACRA2", "aecodec lossy",
                  *(f"{label(other.name)} at that" for other in others), "aecodec writes"), tuple(body))


def _number(size: int | None) -> str:
    return "none" if size is None else f"{size:,}"


def _size(pixels: np.ndarray, name: str, **options: bool) -> int:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, name, **options)
    return out.tell()


def _at_least(codec: Codec, pixels: np.ndarray, score: float) -> int | None:
    """The bytes of the smallest setting that reaches a score, by bisection; None if none does."""
    found = None
    low, high = 0, len(codec.fine) - 1
    while low <= high:
        between = (low + high) // 2
        data = codec.encode(pixels, codec.fine[between])
        if ssimulacra2(pixels, codec.decode(data)) >= score:
            found, high = len(data), between - 1
        else:
            low = between + 1
    return found
