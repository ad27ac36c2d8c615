"""What is unlike good pictures, in which place: nearest neighbours of local energies and means of latents. NumPy alone.

Latents are whitened by their principal components in the good pictures. Where a picture is as the good ones are, the
energies of bands of components, taken over a neighbourhood, scatter around one; a defect changes some of them, up or
down. How unusual a place is, is its distance to the nearest place of the good pictures, as in Roth et al., "Towards
total recall in industrial anomaly detection" (CVPR 2022), each feature counted by how it scatters in them. A Gaussian
of the same numbers of whole pictures tells pictures of another kind.
"""

from __future__ import annotations

import io
import itertools
import zipfile
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from ..coder import Latents
from ..errors import AecError

VERSION = 1
BANDS, MEANS = 12, 4  # energies of so many bands, means of so many leading components
SIGMA, RADIUS = 1.0, 3  # of the neighbourhood, in latents
QUIET = 0.02  # of an energy of 1: below it a band is silent
SHRINKAGE = 0.3  # of the components' variances, towards their geometric mean
NEGLIGIBLE = 1e-4  # components with less of the first one's variance are left out
PLACES_EACH = 4  # component: with fewer, what is learnt is no more than these places
RIDGE = 1e-2  # of the features' variances
WORST = 0.02  # share of a picture's places that its score is the mean of
LEAST, FOLDS = 2, 4  # good pictures, and into how many parts they are divided: each is judged by the others
PLACES, BANK = 2000, 8000  # of a good picture, and of all of them, that others are compared with
BLOCK = 1 << 22  # distances that are made at a time
VARIANCE, DEVIATION = 1e-3, 0.05  # floors, where good pictures are all the same


class BadAnomalyModel(AecError):
    """A file that no `aecodec anomaly fit` wrote, or that was damaged."""


@dataclass(frozen=True, eq=False)
class Finding:
    """What is unusual of a picture."""

    score: float  # the greater of the two that follow
    local: float  # of its most unusual places, in standard deviations from the good pictures' mean
    whole: float  # of the picture as a whole, likewise
    map: np.ndarray  # float32 [h, w]: log of each place's squared distance from the nearest good one


class _Scatter:
    """Weighted sums of rows and of their products."""

    def __init__(self, size: int) -> None:
        self.count, self.sum, self.gram = 0.0, np.zeros(size), np.zeros((size, size))

    def add(self, columns: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Take in `[size, n]`, each of weight 1 or `weights [n]`."""
        weighted = columns if weights is None else columns * weights
        self.count += columns.shape[1] if weights is None else float(weights.sum())
        self.sum += weighted.sum(1)
        self.gram += weighted @ columns.T

    def __add__(self, other: _Scatter) -> _Scatter:
        result = _Scatter(len(self.sum))
        result.count, result.sum, result.gram = self.count + other.count, self.sum + other.sum, self.gram + other.gram
        return result

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance."""
        mean = self.sum / self.count
        return mean, self.gram / self.count - np.outer(mean, mean)


class Moments:
    """First pass over the good pictures: how their latents scatter, in folds of pictures."""

    def __init__(self) -> None:
        self.pictures = 0
        self._folds: list[_Scatter] = []

    def add(self, latents: Latents) -> int:
        """Take a picture in; gives its fold."""
        if len(self._folds) < FOLDS:
            self._folds.append(_Scatter(len(latents.y)))
        fold = self.pictures % FOLDS
        self.pictures += 1
        self._folds[fold].add(latents.y.reshape(len(latents.y), -1).astype(np.float64))
        return fold

    def whitenings(self) -> list[Whitening]:
        """That of all pictures, then those of all but one fold each.

        Raises:
            ValueError: fewer than two pictures, or blank ones.
        """
        if self.pictures < LEAST:
            raise ValueError(f"one good picture is too little to learn from; name at least {LEAST}")
        whole = self._folds[0]
        for fold in self._folds[1:]:
            whole = whole + fold
        made = [_whitening(whole)]
        for left_out in self._folds:
            rest = [fold for fold in self._folds if fold is not left_out]
            total = rest[0]
            for fold in rest[1:]:
                total = total + fold
            made.append(_whitening(total))
        return made


def _whitening(scatter: _Scatter) -> Whitening:
    mean, covariance = scatter.moments()
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = int((values > max(NEGLIGIBLE * values[0], 1e-12)).sum())
    kept = min(kept, int(scatter.count) // PLACES_EACH)
    if kept < 2 * BANDS:
        raise ValueError("the good pictures are too small or blank: there is nothing that others could differ from")
    values = values[:kept] + SHRINKAGE * np.exp(np.log(values[:kept]).mean())
    return Whitening(mean.astype(np.float32), (vectors[:, :kept] / np.sqrt(values)).T.astype(np.float32))


@dataclass(frozen=True, eq=False)
class Whitening:
    """From latents to principal components of variance one."""

    mean: np.ndarray  # float32 [M]
    basis: np.ndarray  # float32 [K, M]

    @property
    def edges(self) -> np.ndarray:
        """Where bands of components begin and end: each is wider than the one before."""
        edges = np.unique(np.round(np.geomspace(1, len(self.basis), BANDS + 1)).astype(int))
        edges[0] = 0
        return edges

    def parts(self, latents: Latents) -> tuple[np.ndarray, np.ndarray]:
        """Energies of the bands `[B, h, w]` and leading components `[MEANS, h, w]`."""
        flat = latents.y.reshape(len(latents.y), -1)
        components = self.basis @ (flat - self.mean[:, None])
        edges = self.edges
        energies = np.stack([np.square(components[first:last]).mean(0)
                             for first, last in itertools.pairwise(edges)])
        shape = latents.y.shape[1:]
        return energies.reshape(-1, *shape), components[:MEANS].reshape(-1, *shape)

    def local(self, latents: Latents) -> tuple[np.ndarray, np.ndarray]:
        """Features of every place `[F, h, w]`, and `[h, w]` how much each is an average of, 1 within the picture."""
        energies, leading = self.parts(latents)
        smoothed, weight = _smooth(np.concatenate([energies, leading]))
        smoothed[:len(energies)] = np.log(smoothed[:len(energies)] + QUIET)
        return smoothed, weight

    def whole(self, latents: Latents) -> np.ndarray:
        """Features of the picture `[F]`."""
        energies, leading = self.parts(latents)
        return np.concatenate([np.log(energies.mean((1, 2)) + QUIET), leading.mean((1, 2))]).astype(np.float64)


def _smooth(planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means over a Gaussian neighbourhood, of what of it lies within the picture, and their weight: the number
    of independent places that such a mean is worth, as a share of what it is far from the edges."""
    height, width = planes.shape[1:]
    down, across = _kernel(height), _kernel(width)
    total = np.outer(down.sum(1), across.sum(1))
    means = np.matmul(np.matmul(down, planes), across.T) / total
    worth = total**2 / np.outer((down**2).sum(1), (across**2).sum(1))
    kernel = np.exp(-np.arange(-RADIUS, RADIUS + 1)**2 / (2 * SIGMA**2))
    most = (kernel.sum()**2 / (kernel**2).sum())**2
    return means, worth / most


def _kernel(length: int) -> np.ndarray:
    """A Gaussian around every place: `[length, length]`, zero beyond the radius."""
    away = np.subtract.outer(np.arange(length), np.arange(length))
    return np.where(np.abs(away) <= RADIUS, np.exp(-away**2 / (2 * SIGMA**2)), 0.0)


class Statistics:
    """Second pass over the good pictures: how their features scatter, and how far each is from the others."""

    def __init__(self, moments: Moments) -> None:
        """Raises ValueError as `Moments.whitenings` does."""
        self._whitenings = moments.whitenings()
        self._scatters = [_Scatter(len(whitening.edges) - 1 + MEANS) for whitening in self._whitenings]
        self._banks: list[list[np.ndarray]] = [[] for _ in self._whitenings]
        self._left_out: list[tuple[int, np.ndarray, np.ndarray]] = []
        self._whole: list[list[np.ndarray]] = []
        self._rng = np.random.default_rng(0)

    def add(self, latents: Latents, fold: int) -> None:
        """Take a picture of a fold in. What is kept of it are its features, 64 bytes for every place."""
        for n, (whitening, scatter) in enumerate(zip(self._whitenings, self._scatters, strict=True)):
            features, weight = whitening.local(latents)
            if n == fold + 1:  # it is to be looked at by what was learnt from the others
                self._left_out.append((n, features.astype(np.float32), weight))
                continue
            rows = features.reshape(len(features), -1)
            scatter.add(rows, weight.ravel())
            chosen = self._rng.permutation(rows.shape[1])[:PLACES]
            self._banks[n].append(np.concatenate([rows, weight.reshape(1, -1)])[:, chosen].astype(np.float32))
        self._whole.append([whitening.whole(latents) for whitening in self._whitenings])

    def model(self, cell: int, bundle_hash: str) -> AnomalyModel:
        """What the good pictures are like.

        Args:
            cell: pixels that a latent stood for, each way.
            bundle_hash: of the codec's model, in hexadecimal digits.
        """
        places = [self._places(n) for n in range(len(self._whitenings))]
        distances = [places[n].distances(features, weight) for n, features, weight in self._left_out]
        good_whole = []
        for picture, (n, _, _) in enumerate(self._left_out):
            rows = np.array([whole[n] for whole in self._whole])
            good_whole.append(_whole_distance(rows[picture], *_gaussian(np.delete(rows, picture, axis=0))))
        everywhere = np.concatenate([distance.ravel() for distance in distances])
        return AnomalyModel(
            self._whitenings[0].mean, self._whitenings[0].basis, *places[0],
            *_gaussian(np.array([whole[0] for whole in self._whole])),
            np.array([_worst(distance) for distance in distances]), np.array(good_whole),
            np.quantile(everywhere, (0.5, 0.99)), np.array(cell), np.array(bundle_hash))

    def _places(self, n: int) -> Places:
        mean, covariance = self._scatters[n].moments()
        root = np.linalg.cholesky(np.linalg.inv(covariance + np.diag(RIDGE * np.diag(covariance) + 1e-9)))
        columns = np.concatenate(self._banks[n], axis=1)
        columns = columns[:, self._rng.permutation(columns.shape[1])[:BANK]]
        bank = ((columns[:-1] - mean[:, None]) * np.sqrt(columns[-1])).T @ root
        return Places(mean, root, bank.astype(np.float32))


class Places(NamedTuple):
    """Places of the good pictures."""

    mean: np.ndarray  # [F]: of the features
    root: np.ndarray  # [F, F]: makes them independent and of variance one
    bank: np.ndarray  # float32 [N, F]: of places, made so

    def distances(self, features: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Log of the squared distance `[h, w]` of every place of `[F, h, w]` from the nearest one of the bank."""
        # Towards the edges a mean is of fewer places, so it scatters more.
        scaled = ((features - self.mean[:, None, None]) * np.sqrt(weight)).reshape(len(features), -1)
        rows = (scaled.T @ self.root).astype(np.float32)
        norms = np.square(self.bank).sum(1)
        step = max(1, BLOCK // len(self.bank))
        nearest = [(norms - 2 * (part @ self.bank.T)).min(1) + np.square(part).sum(1)
                   for part in (rows[first:first + step] for first in range(0, len(rows), step))]
        squares = np.maximum(np.concatenate(nearest), 0) / len(features)
        return np.log(squares.reshape(weight.shape) + 1e-6).astype(np.float32)


def _gaussian(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and precision of few rows `[N, F]`, shrunk towards independent features."""
    count, size = rows.shape
    mean = rows.mean(0)
    scatter = (rows - mean).T @ (rows - mean) / max(count - 1, 1)
    shrunk = (count * scatter + size * np.diag(np.diag(scatter))) / (count + size)
    return mean, np.linalg.inv(shrunk + VARIANCE * np.eye(size))


def _whole_distance(row: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> float:
    return float(np.log((row - mean) @ precision @ (row - mean) / len(row) + 1e-6))


def _worst(distances: np.ndarray) -> float:
    count = max(1, round(WORST * distances.size))
    return float(np.partition(distances.ravel(), -count)[-count:].mean())


@dataclass(frozen=True, eq=False)
class AnomalyModel:
    """What good pictures are like."""

    mean: np.ndarray  # float32 [M]: see `Whitening`
    basis: np.ndarray  # float32 [K, M]
    local_mean: np.ndarray  # [F]: see `Places`
    local_root: np.ndarray  # [F, F]
    bank: np.ndarray  # float32 [N, F]
    whole_mean: np.ndarray  # [F]
    whole_precision: np.ndarray  # [F, F]
    good_local: np.ndarray  # [N]: of the most unusual places of each good picture
    good_whole: np.ndarray  # [N]
    usual: np.ndarray  # [2]: median and 99 % quantile of the good pictures' maps
    cell: np.ndarray  # []: pixels that a latent stands for, each way
    bundle_hash: np.ndarray  # []: of the codec's model

    def find(self, latents: Latents) -> Finding:
        """What of a picture is unusual."""
        whitening = Whitening(self.mean, self.basis)
        distances = Places(self.local_mean, self.local_root, self.bank).distances(*whitening.local(latents))
        local = _standard(_worst(distances), self.good_local)
        whole = _standard(_whole_distance(whitening.whole(latents), self.whole_mean, self.whole_precision),
                          self.good_whole, len(self.whole_mean))
        return Finding(max(local, whole), local, whole, distances)

    def shade(self, distances: np.ndarray) -> np.ndarray:
        """A map as shares 0..1: 0 for what 99 % of the good pictures' places do not exceed, 1 for what is as far above
        that again as that is above the usual."""
        usual, rare = self.usual
        return ((distances - rare) / max(float(rare - usual), 1e-6)).clip(0, 1)

    def dump(self) -> bytes:
        """The file that `load` reads: an .npz archive."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, about=np.array(f"aecodec anomaly {VERSION}"),
                            **{field.name: getattr(self, field.name) for field in fields(self)})
        return buffer.getvalue()

    @classmethod
    def load(cls, data: bytes, bundle_hash: str) -> AnomalyModel:
        """A model from the bytes of its file, for a codec of these weights. Raises BadAnomalyModel."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                about = str(arrays["about"])
                if about != f"aecodec anomaly {VERSION}":
                    raise ValueError(about)
                made = cls(**{field.name: arrays[field.name] for field in fields(cls)})
            made._check()
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, TypeError) as error:
            raise BadAnomalyModel(f"it is not what this release's `aecodec anomaly fit` writes ({error})") from None
        if str(made.bundle_hash) != bundle_hash:
            raise BadAnomalyModel(f"it was made with other weights ({made.bundle_hash}, here {bundle_hash}); make it "
                                  "again with `aecodec anomaly fit`")
        return made

    def _check(self) -> None:
        bands, size = len(Whitening(self.mean, self.basis).edges) - 1, len(self.local_mean)
        shapes = {"basis": (len(self.basis), len(self.mean)), "local_mean": (bands + MEANS,),
                  "local_root": (size, size), "bank": (len(self.bank), size), "whole_mean": (size,),
                  "whole_precision": (size, size),
                  "good_whole": self.good_local.shape, "usual": (2,), "cell": ()}
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype.kind not in "fi" or not np.isfinite(array).all():
                raise ValueError(f"{name} is damaged")


def _standard(value: float, good: np.ndarray, fitted: int = 0) -> float:
    """In standard deviations of good ones, wider by what a Gaussian of `fitted` numbers is unsure of after so few."""
    deviation = max(float(good.std()), DEVIATION) * np.sqrt(1 + fitted / len(good))
    return float((value - good.mean()) / deviation)
