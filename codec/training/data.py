"""Training pictures: decoded once into memory at several scales, cut into crops on the device.

Photos are best seen at about the detail per pixel of what will be coded, so every photo is kept at its own size and
at smaller ones. Of two random crops the one with more detail is usually taken: smooth ones teach little.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..picture import reading
from .drawings import LEAST_SIDE, drawing

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".ppm"}
SCALES = ((0.35, 0.55), (0.55, 0.85), (1.0, 1.0))
DETAIL_SHARE = 0.7  # of the crops are the more detailed of two


def find_pictures(folder: Path) -> list[Path]:
    """All picture files below `folder`, by name. Raises FileNotFoundError if there are none."""
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise FileNotFoundError(f"no pictures below {folder}; pass the folder of your training photos")
    return found


def read_picture(path: Path) -> np.ndarray:
    """The RGB pixels of a file as the codec would code them, upright: `uint8 [H, W, 3]`."""
    return reading.read(path).pixels


def centred(pixels: np.ndarray) -> Tensor:
    """`uint8 [H, W, 3]` as a picture for a network: `[1, 3, H, W]` in -0.5..0.5, channels_last."""
    picture = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255 - 0.5
    return picture.contiguous(memory_format=torch.channels_last)


def _scaled(pixels: np.ndarray, least: int, rng: np.random.Generator) -> list[np.ndarray]:
    """The versions of a photo to train on whose shorter side is at least `least`."""
    versions = []
    for low, high in SCALES:
        scale = float(rng.uniform(low, high))
        height, width = (round(side * scale) for side in pixels.shape[:2])
        if min(height, width) < least:
            continue
        if scale == 1.0:
            versions.append(pixels)
        else:
            small = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
            versions.append(np.asarray(small))
    return versions


@dataclass
class PictureBank:
    """Photos in memory: one flat `uint8` tensor on the training device, and where each version lies in it."""

    pixels: Tensor  # [bytes] uint8
    versions: list[list[tuple[int, int, int]]]  # per photo, then per drawing: (offset, height, width)
    skipped: list[Path]
    photos: int

    @classmethod
    def load(cls, folder: Path, least: int, device: torch.device, seed: int, threads: int = 2,
             drawings: float = 0.0, part: tuple[int, int] = (0, 1)) -> PictureBank:
        """Decode every picture below `folder`; files that do not decode, or are smaller than `least`, are skipped.

        Args:
            drawings: how many drawings are made, as a share of all pictures.
            part: `(index, count)`: of so many processes, each of which holds every count-th picture.

        Raises:
            FileNotFoundError: no picture could be used.
        """
        index, count = part
        paths = find_pictures(folder)[index::count]

        def prepare(item: tuple[int, Path]) -> list[np.ndarray]:
            number, path = item
            try:
                return _scaled(read_picture(path), least, np.random.default_rng([seed, index + number * count]))
            except Exception:  # a decoder may raise anything on a broken file; it is counted and named
                return []

        chunks: list[Tensor] = []
        versions: list[list[tuple[int, int, int]]] = []
        skipped: list[Path] = []
        offset = 0
        with ThreadPoolExecutor(threads) as pool:
            for path, pictures in zip(paths, pool.map(prepare, enumerate(paths)), strict=True):
                if not pictures:
                    skipped.append(path)
                    continue
                places = []
                for picture in pictures:
                    chunks.append(torch.from_numpy(picture.reshape(-1).copy()))
                    places.append((offset, picture.shape[0], picture.shape[1]))
                    offset += picture.size
                versions.append(places)
        if not versions:
            share = f" (process {index + 1} of {count})" if count > 1 else ""
            raise FileNotFoundError(f"none of the {len(paths)} files below {folder} is a picture of {least} pixels "
                                    f"or more on its shorter side{share}")
        photos = len(versions)
        for number in range(round(photos * drawings / (1 - drawings)) if least <= LEAST_SIDE else 0):
            made = drawing(np.random.default_rng([seed, index + number * count, 1]))
            chunks.append(torch.from_numpy(made.reshape(-1).copy()))
            versions.append([(offset, made.shape[0], made.shape[1])])
            offset += made.size
        return cls(torch.cat(chunks).to(device), versions, skipped, photos)

    def __len__(self) -> int:
        return len(self.versions)

    def crop(self, photo: int, rng: np.random.Generator, size: int) -> Tensor:
        """A random crop `uint8 [size, size, 3]` of a random version of a photo."""
        places = self.versions[photo]
        fitting = [p for p in places if min(p[1], p[2]) >= size] or places[-1:]
        offset, height, width = fitting[rng.integers(len(fitting))]
        y, x = int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))
        whole = self.pixels[offset:offset + height * width * 3].view(height, width, 3)
        return whole[y:y + size, x:x + size]

    def batch(self, seed: np.random.SeedSequence | list[int], count: int, size: int) -> Tensor:
        """`[count, 3, size, size]` centred float32 crops in channels_last, a function of `seed` alone."""
        rng = np.random.default_rng(seed)
        photos = rng.integers(len(self), size=2 * count)
        crops = torch.stack([self.crop(int(photo), rng, size) for photo in photos])
        detail = detail_of(crops).view(2, count)
        second = (detail[1] > detail[0]) & torch.from_numpy(rng.random(count) < DETAIL_SHARE).to(detail.device)
        pair = crops.view(2, count, size, size, 3)
        chosen = torch.where(second[:, None, None, None], pair[1], pair[0]).permute(0, 3, 1, 2)
        turned = []
        for crop, (flip_y, flip_x, transpose) in zip(chosen, rng.random((count, 3)) < 0.5, strict=True):
            dims = [d for d, flip in ((1, flip_y), (2, flip_x)) if flip]
            crop = crop.flip(dims) if dims else crop
            turned.append(crop.transpose(1, 2) if transpose else crop)
        picture = torch.stack(turned).float().div_(255).sub_(0.5)
        return picture.contiguous(memory_format=torch.channels_last)


def detail_of(crops: Tensor) -> Tensor:
    """The mean absolute gradient of `uint8 [N, H, W, 3]` crops, `[N]`."""
    green = crops[:, ::2, ::2, 1].float()
    vertical = (green[:, 1:] - green[:, :-1]).abs().mean(dim=(1, 2))
    return vertical + (green[:, :, 1:] - green[:, :, :-1]).abs().mean(dim=(1, 2))


def validation_pictures(folder: Path, multiple: int = 64, limit: int = 24) -> Iterator[Tensor]:
    """Centred `[1, 3, H, W]` pictures of a folder, cropped to a multiple of the network's coarsest stride."""
    for path in find_pictures(folder)[:limit]:
        try:
            pixels = read_picture(path)
        except Exception as error:  # a decoder may raise anything on a broken file
            print(f"{path} is left out: {error}", flush=True)
            continue
        height, width = (side // multiple * multiple for side in pixels.shape[:2])
        if min(height, width):
            yield centred(pixels[:height, :width])
