"""Learns what pictures are compared by: a linear discriminant analysis of photos and their distortions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from rich.progress import track

from .. import coder, models
from ..coder import Coder, Latents
from ..format.constants import DEFAULT_QUALITY, STRIDE, level_of
from ..latents import embedding
from ..latents.embedding import Metric
from ..latents.index import Index
from . import distortions
from .coding import spread
from .data import read_picture

LONG_SIDE = 384  # photos are scaled down to it: search works on small pictures too, and time is saved
EVEN, ODD = 64, 16  # directions that are kept
SHRINKAGE = 0.1  # towards the diagonal, of the scatter within photos
RIDGE = 1e-3
FALSE_PAIRS = 1e-5  # share of pairs of different photos that are taken for the same
LEAST_PHOTOS, PHOTOS = 32, 400  # a photo takes about a second of a core


class Features(NamedTuple):
    """What `embedding.features` gives of a picture: `[parts, F]` and `[parts, 18]`."""

    even: np.ndarray
    odd: np.ndarray


def variants(image: Image.Image, rng: np.random.Generator) -> Iterator[tuple[str, Image.Image, int]]:
    """A photo and distortions of it: names, pictures, quality levels."""
    level = level_of(DEFAULT_QUALITY)
    yield "photo", image, level
    for share in (0.8, 0.6, rng.uniform(0.55, 0.75)):
        yield "crop", distortions.crop(image, share, rng), level
    yield "mirror", distortions.mirror(image), level
    yield "other", distortions.grey(image), level
    yield "other", distortions.scale(image, 0.25), level
    yield "other", distortions.scale(image, rng.uniform(0.3, 0.7)), level
    yield "other", distortions.noise(image, rng.uniform(8, 25), rng), level
    yield "other", distortions.jpeg(image, int(rng.integers(15, 60))), level
    yield "other", distortions.gamma(image, float(np.exp(rng.uniform(-0.4, 0.4)))), level
    yield "other", image, int(rng.integers(4, 50))


def fit(path: Path, photos: Sequence[Path]) -> Metric:
    """Learn the metric of a model and write it beside its weights.

    Args:
        path: the folder of the model, or its weights file.
        photos: at most 400 of every other one, evenly spread, are learnt from; the rest are left to be reported on.

    Raises:
        UnknownModel: there is no such model.
        ValueError: too few photos.
    """
    info = models.find(path)
    codec = coder.load(info, "cpu", engine="onnx", threads=1)
    images = [image for photo in spread(list(photos)[::2], PHOTOS) if (image := _small(photo)) is not None]
    if len(images) < LEAST_PHOTOS:
        raise ValueError(f"{len(images)} photos that can be read are too few to learn from; name a folder with"
                         " a thousand")
    luma, bias, energies = fit_luma(codec, images[:300])
    even_classes: list[np.ndarray] = []
    odd_classes: list[np.ndarray] = []
    plain: list[Features] = []
    for n, image in enumerate(track(images, description="learning what to compare", transient=True)):
        coded = [(name, Features(*embedding.features(_coded(codec, picture, level), luma, bias, energies)))
                 for name, picture, level in variants(image, np.random.default_rng(n))]
        plain.append(coded[0][1])
        for even, odd in _classes(coded):
            even_classes.append(even)
            odd_classes.append(odd)
    even_mean, even_map = discriminants(even_classes, EVEN)
    _, odd_map = discriminants(odd_classes, ODD)
    metric = Metric(luma, np.array([bias], np.float32), energies, even_mean, even_map, odd_map,
                    codec.bundle_hash.hex())
    metric = replace(metric, same=threshold(metric, plain))
    embedding.write(metric, info.path.parent / embedding.FILE)
    return metric


def _small(path: Path) -> Image.Image | None:
    try:
        image = Image.fromarray(read_picture(path))
    except Exception:  # a decoder may raise anything on a broken file; training skipped it, too
        return None
    image.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
    return image


def _coded(codec: Coder, image: Image.Image, level: int) -> Latents:
    """The latents that a picture's file holds."""
    return codec.latents(codec.encode(np.asarray(image), level))


def fit_luma(codec: Coder, images: Sequence[Image.Image]) -> tuple[np.ndarray, float, np.ndarray]:
    """The linear map from latents to brightness, 0..1, its constant, and the latents' energies `[M]`."""
    level, count = level_of(DEFAULT_QUALITY), 0
    gram: np.ndarray | float = 0.0
    cross: np.ndarray | float = 0.0
    for image in track(images, description="brightness of latents", transient=True):
        latents = _coded(codec, image, level)
        height, width = image.height // STRIDE, image.width // STRIDE
        if not height or not width:
            continue
        grey = np.asarray(image.convert("L"), np.float64)[:height * STRIDE, :width * STRIDE] / 255
        means = grey.reshape(height, STRIDE, width, STRIDE).mean((1, 3)).ravel()
        rows = latents.y[:, :height, :width].reshape(len(latents.y), -1).T.astype(np.float64)
        rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
        gram, cross, count = gram + rows.T @ rows, cross + rows.T @ means, count + len(rows)
    assert isinstance(gram, np.ndarray)
    solved = np.linalg.solve(gram + RIDGE * np.eye(len(gram)), cross)
    energies = np.maximum(np.diag(gram)[:-1] / count, 1e-12)
    return solved[:-1].astype(np.float32), float(solved[-1]), energies.astype(np.float32)


def _classes(coded: list[tuple[str, Features]]) -> Iterator[Features]:
    """What should be alike: the photo and its distortions; each crop and the part of the photo that it shows best."""
    photo = coded[0][1]
    waves = photo.odd.shape[1]  # as many even ones stand first among the even features
    even, odd = [], []
    for name, found in coded:
        if name == "crop":
            away = np.square(photo.even[:, :waves] - found.even[0, :waves]).sum(1)
            part = int(np.argmin(away + np.square(photo.odd - found.odd[0]).sum(1)))
            yield Features(np.stack([found.even[0], photo.even[part]]), np.stack([found.odd[0], photo.odd[part]]))
        else:
            even.append(found.even[0])
            odd.append(-found.odd[0] if name == "mirror" else found.odd[0])
    yield Features(np.array(even), np.array(odd))


def discriminants(classes: Sequence[np.ndarray], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Fisher's linear discriminants of classes `[n, F]`.

    Returns:
        The mean `[F]` and the directions `[count, F]` in which classes differ most for how much they scatter, scaled so
        that what scatters as much within classes as between them counts half.
    """
    means = np.array([rows.mean(0) for rows in classes], np.float64)
    mean = means.mean(0)
    within = np.concatenate([rows - rows.mean(0) for rows in classes]).astype(np.float64)
    scatter = within.T @ within / (len(within) - len(classes))
    scatter += SHRINKAGE * np.diag(np.diag(scatter)) + 1e-8 * np.eye(len(scatter))
    white = np.linalg.inv(np.linalg.cholesky(scatter))
    between = white @ ((means - mean).T @ (means - mean) / len(means)) @ white.T
    values, vectors = np.linalg.eigh(between)
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    directions = vectors.T @ white * np.sqrt(values / (values + 1))[:, None]
    return mean.astype(np.float32), directions.astype(np.float32)


def threshold(metric: Metric, photos: Sequence[Features]) -> float:
    """The similarity that one in 100,000 pairs of different photos exceeds."""
    vectors = np.stack([np.concatenate([(even - metric.even_mean) @ metric.even.T, odd @ metric.odd.T], axis=1)
                        for even, odd in photos])
    vectors /= np.maximum(np.linalg.norm(vectors, axis=2, keepdims=True), 1e-6)
    index = Index(metric, [str(n) for n in range(len(vectors))], vectors)
    pairs = len(vectors) * (len(vectors) - 1) // 2
    found = np.sort([likeness for _, _, likeness in index.pairs(0.5)])[::-1]
    allowed = round(FALSE_PAIRS * pairs)
    return float(found[allowed]) if allowed < len(found) else 0.5
