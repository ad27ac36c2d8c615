"""Photos and distortions of them as .aec files, kept in a cache folder: coding nine thousand takes a while."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import aecodec
from aecodec.training import distortions

from ..pictures import read_pixels

LONG_SIDE = 384
QUALITY = 50
PHOTO = "photo"
Distort = Callable[[Image.Image, np.random.Generator], Image.Image]

#: In the order of the table. The last one is coded at another quality.
DISTORTIONS: dict[str, Distort] = {
    "crop 80 %": lambda image, rng: distortions.crop(image, 0.8, rng),
    "crop 60 %": lambda image, rng: distortions.crop(image, 0.6, rng),
    "mirror": lambda image, _: distortions.mirror(image),
    "grey": lambda image, _: distortions.grey(image),
    "4x scale": lambda image, _: distortions.scale(image, 0.25),
    "noise 15": lambda image, rng: distortions.noise(image, 15, rng),
    "JPEG 30": lambda image, _: distortions.jpeg(image, 30),
    "quality 20": lambda image, _: image,
}


def cache() -> Path:
    """`$AECODEC_BENCH_CACHE`, or `aecodec/bench` in the user's cache."""
    given = os.environ.get("AECODEC_BENCH_CACHE")
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else user / "aecodec" / "bench"


def picture(path: Path, name: str, number: int) -> Image.Image:
    """A photo of at most 384 pixels a side, or a distortion of it; always the same for the same number."""
    image = Image.fromarray(read_pixels(path, LONG_SIDE))
    if name == PHOTO:
        return image
    seed = [number, list(DISTORTIONS).index(name)]
    return DISTORTIONS[name](image, np.random.default_rng(seed))


def coded(codec: aecodec.Codec, photos: Sequence[Path], name: str, every: int = 1) -> list[bytes]:
    """The files of every so manyth photo under a distortion, in their order."""
    folder = cache() / "distorted" / codec.coder.bundle_hash.hex() / hashlib.sha256(name.encode()).hexdigest()[:8]
    folder.mkdir(parents=True, exist_ok=True)
    return [_file(codec, folder, path, name, number) for number, path in enumerate(photos) if number % every == 0]


def _file(codec: aecodec.Codec, folder: Path, path: Path, name: str, number: int) -> bytes:
    kept = folder / f"{number:05d}-{path.stem}.aec"
    try:
        return kept.read_bytes()
    except FileNotFoundError:
        quality = 20 if name == "quality 20" else QUALITY
        data = codec.encode(picture(path, name, number), quality, lossless=False)
        temporary = kept.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_bytes(data)
        os.replace(temporary, kept)
        return data
