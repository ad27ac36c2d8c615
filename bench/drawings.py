"""Pictures that are no photographs, drawn with Pillow alone: the same pixels wherever Pillow's version is the same."""

from __future__ import annotations

from typing import Any

import numpy as np

NAMES = {
    "screenshot": ("window", "editor"),
    "text": ("page", "table"),
    "tiny": ("icon-16", "icon-32", "icon-64"),
}
_PROSE = ("the river bends below an old stone bridge where every morning boats carry salt wool and letters to the "
          "harbour and nobody counts them twice because the ledger was lost in a flood long before anyone now alive "
          "had learnt to read it")
_WORDS = _PROSE.split()


def draw(dataset: str, name: str) -> np.ndarray:
    """A drawing by its dataset and name, `uint8 [H, W, 3]`. Raises ValueError if there is none."""
    if name not in NAMES.get(dataset, ()):
        raise ValueError(f"no drawing {dataset}/{name}; there are {NAMES}")
    if dataset == "tiny":
        return _icon(int(name.removeprefix("icon-")))
    return {"window": _window, "editor": _editor, "page": _page, "table": _table}[name]()


def photograph(width: int = 768, height: int = 512, seed: int = 0) -> np.ndarray:
    """A stand-in for a photo where none is at hand: noise whose power falls as that of natural pictures (1/f^2).

    Returns:
        `uint8 [height, width, 3]`; neighbouring colours are strongly correlated.
    """
    random = np.random.default_rng(seed)
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    amplitude = 1 / np.maximum(np.hypot(fy, fx), 1 / max(width, height)) ** 1.2
    planes = []
    for _ in range(3):
        spectrum = np.fft.rfft2(random.standard_normal((height, width))) * amplitude
        plane = np.fft.irfft2(spectrum, s=(height, width))
        planes.append(plane / (plane.std() or 1))
    y, u, v = planes
    rgb = 120 + 45 * np.stack([y + 0.25 * u, y - 0.1 * u - 0.1 * v, y + 0.25 * v], axis=2)
    return np.clip(rgb, 0, 255).round().astype(np.uint8)


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _canvas(width: int, height: int, colour: str) -> tuple[Any, Any]:
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (width, height), colour)
    return image, ImageDraw.Draw(image)


def _sentence(random: np.random.Generator, words: int) -> str:
    return " ".join(random.choice(_WORDS, words))


def _window() -> np.ndarray:
    """A mail program: title bar, list, message, buttons and a small photograph."""
    from PIL import Image

    random = np.random.default_rng(1)
    image, draw = _canvas(960, 640, "#f4f5f7")
    for y in range(34):
        draw.line([(0, y), (960, y)], fill=(58 + y, 66 + y, 84 + y))
    for n, colour in enumerate(("#e5534b", "#d9a400", "#37a24a")):
        draw.ellipse([14 + 24 * n, 10, 28 + 24 * n, 24], fill=colour)
    draw.text((440, 8), "Inbox", font=_font(16), fill="white")
    draw.rectangle([0, 34, 290, 640], fill="white", outline="#d0d4da")
    for n in range(11):
        top = 42 + 54 * n
        if n == 2:
            draw.rectangle([1, top - 6, 289, top + 46], fill="#dbe9ff")
        draw.ellipse([10, top, 46, top + 36], fill=tuple(int(value) for value in random.integers(60, 200, 3)))
        draw.text((56, top), _sentence(random, 2).title(), font=_font(14), fill="#1b1f24")
        draw.text((56, top + 19), _sentence(random, 5)[:34], font=_font(12), fill="#6a737d")
    draw.text((316, 52), _sentence(random, 4).capitalize(), font=_font(24), fill="#1b1f24")
    for n in range(9):
        draw.text((316, 100 + 20 * n), _sentence(random, 13)[:82], font=_font(14), fill="#30363d")
    image.paste(Image.fromarray(photograph(300, 200, seed=2)), (316, 300))
    for n, label in enumerate(("Reply", "Forward", "Delete")):
        draw.rounded_rectangle([316 + 120 * n, 560, 420 + 120 * n, 596], 6, fill="#2f6fed" if n == 0 else "#e3e6ea")
        draw.text((342 + 120 * n, 568), label, font=_font(15), fill="white" if n == 0 else "#24292f")
    return np.array(image)


def _editor() -> np.ndarray:
    """A dark code editor with coloured words and a chart of thin lines."""
    random = np.random.default_rng(3)
    image, draw = _canvas(960, 640, "#1e1e1e")
    draw.rectangle([0, 0, 56, 640], fill="#252526")
    colours = ("#d4d4d4", "#569cd6", "#ce9178", "#4ec9b0", "#dcdcaa", "#6a9955")
    for n in range(34):
        y = 8 + 18 * n
        draw.text((18, y), f"{n + 1:3d}", font=_font(13), fill="#858585")
        x = 68.0 + 24 * int(random.integers(0, 4))
        for word in random.choice(_WORDS, int(random.integers(2, 8))):
            draw.text((x, y), str(word), font=_font(13), fill=str(random.choice(colours)))
            x += draw.textlength(f"{word} ", font=_font(13))
    draw.rectangle([600, 30, 940, 300], fill="#101010", outline="#3c3c3c")
    for n in range(1, 9):
        draw.line([(600, 30 + 30 * n), (940, 30 + 30 * n)], fill="#2c2c2c")
    for colour in ("#f14c4c", "#3794ff", "#89d185"):
        walk = 165 + np.cumsum(random.normal(0, 6, 340)).clip(-120, 120)
        draw.line([(600 + x, float(y)) for x, y in enumerate(walk)], fill=colour)
    return np.array(image)


def _page() -> np.ndarray:
    """A page of black text on white."""
    random = np.random.default_rng(4)
    image, draw = _canvas(720, 960, "white")
    draw.text((60, 50), _sentence(random, 4).capitalize(), font=_font(30), fill="black")
    for n in range(40):
        if n % 9 != 8:
            draw.text((60, 110 + 20 * n), _sentence(random, 16)[:84], font=_font(14), fill="black")
    return np.array(image)


def _table() -> np.ndarray:
    """A table of figures, with rules and a shaded head, on paper that is not quite white."""
    random = np.random.default_rng(5)
    image, draw = _canvas(800, 600, "#fbf8ef")
    draw.rectangle([20, 20, 780, 52], fill="#294b6b")
    for column in range(7):
        x = 30 + 108 * column
        draw.text((x, 27), str(random.choice(_WORDS)), font=_font(16), fill="white")
        for row in range(26):
            y = 58 + 20 * row
            colour = "#b3261e" if row % 5 == 4 else "#111"
            draw.text((x, y), f"{random.normal(0, 900):,.2f}", font=_font(13), fill=colour)
            draw.line([(20, y + 18), (780, y + 18)], fill="#d8d2c0")
        draw.line([(x - 8, 20), (x - 8, 578)], fill="#a9a18a")
    return np.array(image)


def _icon(side: int) -> np.ndarray:
    """A launcher icon: a rounded tile with a letter."""
    from PIL import Image

    scale = 8
    image, draw = _canvas(side * scale, side * scale, "white")
    last = side * scale - 1
    draw.rounded_rectangle([0, 0, last, last], last // 5, fill="#14746f")
    draw.ellipse([last * 0.52, last * 0.1, last * 0.9, last * 0.48], fill="#ffd166")
    draw.text((last * 0.12, last * 0.2), "A", font=_font(int(last * 0.7)), fill="white")
    return np.array(image.resize((side, side), Image.Resampling.LANCZOS))
