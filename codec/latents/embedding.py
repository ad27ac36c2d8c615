"""A picture as a few unit vectors that copies and crops of it have too: from latents, without a synthesis.

What is compared are a thumbnail of the brightness, which a linear map of the latents gives, and how much energy each
latent has. A linear discriminant analysis (Fisher, 1936; Rao, 1948) of photos under distortions says what of both is
worth comparing (`aecodec.training.embedding`). It finds copies and crops; it does not know dogs.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import models
from ..coder import Latents
from ..errors import UnknownModel
from ..format.constants import STRIDE

FILE = "embedding.safetensors"  # beside a model's weights: no .aec file depends on it
GRID = 8  # a part's brightness is averaged over so many cells each way
WAVES = 6  # and so many cosines of that are kept each way
QUIET = 1e-2  # of a latent's energy in photos: about what is lost when it is quantised
FLAT = 0.03  # contrast, of 0..1, below which brightness is not stretched any further
CHANNELS = 32  # whose energies are made at a time: what they take is a copy of so many

#: Of the sides of a picture, and how many places each way: the whole, and the crops of it that are looked for.
CROPS = ((1.0, 1), (0.8, 3), (0.6, 5))


#: Begin and end of the parts along a side, in shares of it, and which of them belong together.
INTERVALS = tuple((float(begin), float(begin + side)) for side, places in CROPS
                  for begin in np.linspace(0, 1 - side, places))
_FIRST = np.cumsum([0, *(places for _, places in CROPS)])
_PAIRS = np.array([(first + row, first + column) for first, (_, places) in zip(_FIRST, CROPS, strict=False)
                   for row in range(places) for column in range(places)])

#: Left, top, right and bottom of the parts of a picture that have a vector each, in shares of its sides; the first is
#: the whole.
PARTS = tuple((INTERVALS[column][0], INTERVALS[row][0], INTERVALS[column][1], INTERVALS[row][1])
              for row, column in _PAIRS.tolist())


@dataclass(frozen=True, eq=False)
class Metric:
    """What a model's latents are compared by; see `aecodec.training.embedding`, which learns it."""

    luma: np.ndarray  # float32 [M]: brightness, 0..1, as a linear map of the latents
    luma_bias: np.ndarray  # float32 [1]
    energies: np.ndarray  # float32 [M]: of the latents of photos
    even_mean: np.ndarray  # float32 [F]
    even: np.ndarray  # float32 [E, F]: what mirroring leaves as it is
    odd: np.ndarray  # float32 [O, 18]: what mirroring changes the sign of
    bundle_hash: str  # of the model, in hexadecimal digits
    same: float = 1.0  # similarity from which two pictures are taken for the same

    @property
    def size(self) -> int:
        """Length of a vector."""
        return len(self.even) + len(self.odd)

    @functools.cached_property
    def id(self) -> str:
        """What an index says it was made with: eight hexadecimal digits."""
        digest = hashlib.sha256(self.bundle_hash.encode())
        for tensor in (self.luma, self.luma_bias, self.energies, self.even_mean, self.even, self.odd):
            digest.update(np.ascontiguousarray(tensor, "<f4").data)
        return digest.hexdigest()[:8]

    def embed(self, latents: Latents) -> np.ndarray:
        """Unit vectors of a picture and of its parts, float32 `[len(PARTS), E + O]`."""
        even, odd = features(latents, self.luma, float(self.luma_bias[0]), self.energies)
        vectors = np.concatenate([(even - self.even_mean) @ self.even.T, odd @ self.odd.T], axis=1)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


def load(info: models.ModelInfo) -> Metric:
    """The metric that came with a model. Raises UnknownModel if it has none, or one of other weights."""
    return _load(info.path.parent / FILE, models.load(info).bundle_hash.hex())


@functools.lru_cache(maxsize=4)
def _load(path: Path, bundle_hash: str) -> Metric:
    from safetensors import SafetensorError, safe_open

    again = f"`aecodec export {path.parent} --embedding --data PHOTOS` makes one"
    try:
        with safe_open(str(path), framework="numpy") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        metric = Metric(**tensors, bundle_hash=about["bundle_hash"], same=float(about["same"]))
    except FileNotFoundError:
        raise UnknownModel(f"this model has no {FILE}, which search needs; {again}") from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise UnknownModel(f"{path} cannot be used ({error}); {again}") from None
    if metric.bundle_hash != bundle_hash:
        raise UnknownModel(f"{path} was made for other weights ({metric.bundle_hash}, here {bundle_hash}); {again}")
    return metric


def write(metric: Metric, path: Path) -> None:
    """Write a metric where `load` looks for it."""
    from safetensors.numpy import save_file

    tensors = {name: np.ascontiguousarray(getattr(metric, name), np.float32)
               for name in ("luma", "luma_bias", "energies", "even_mean", "even", "odd")}
    save_file(tensors, path, {"bundle_hash": metric.bundle_hash, "same": f"{metric.same:.4f}"})


# -- what is compared ---------------------------------------------------------------------------------------------


def features(latents: Latents, luma: np.ndarray, bias: float, energies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What of a picture's parts can be compared, before it is known what of it is worth it.

    Args:
        luma, bias, energies: see `Metric`.

    Returns:
        `[len(PARTS), F]` that mirroring leaves as it is, as far as the latents of a mirrored picture are mirrored:
        cosines of the brightness that are even from left to right, in units of its contrast, and log energies; and
        `[len(PARTS), 18]` that it changes the sign of: odd cosines. Float32.
    """
    size = latents.height / STRIDE, latents.width / STRIDE  # what lies beyond is padding
    brightness = np.tensordot(luma, latents.y, 1)[None] + np.float32(bias)
    waves = _cosines(_means(brightness, size, GRID)[:, 0].astype(np.float64))
    contrast = np.sqrt((waves**2).sum(axis=(1, 2)) - waves[:, 0, 0]**2 + FLAT**2)
    level = waves[:, 0, 0].copy()
    waves /= contrast[:, None, None]
    waves[:, 0, 0] = level
    power = np.concatenate([_means(np.square(latents.y[first:first + CHANNELS]), size, 1)[..., 0, 0]
                            for first in range(0, len(latents.y), CHANNELS)], axis=1)
    even = np.concatenate([waves[:, :, 0::2].reshape(len(PARTS), -1), np.log(power / energies + QUIET)], axis=1)
    return even.astype(np.float32), waves[:, :, 1::2].reshape(len(PARTS), -1).astype(np.float32)


def _means(planes: np.ndarray, size: tuple[float, float], grid: int) -> np.ndarray:
    """Means of `[C, h, w]` over `grid` by `grid` cells of each part, float32 `[len(PARTS), C, grid, grid]`.

    Args:
        size: height and width of the picture, in positions.
    """
    rows, columns = (_shares(length, positions, grid) for length, positions in zip(size, planes.shape[1:], strict=True))
    cells = (rows @ (planes @ columns.T)).reshape(len(planes), len(INTERVALS), grid, len(INTERVALS), grid)
    return cells.transpose(1, 3, 0, 2, 4)[_PAIRS[:, 0], _PAIRS[:, 1]]


def _shares(length: float, positions: int, grid: int) -> np.ndarray:
    """What each position along a side counts in the mean of each cell of each interval: float32
    `[len(INTERVALS) * grid, positions]`, rows of the sum 1."""
    edges = np.array([np.linspace(begin, end, grid + 1) for begin, end in INTERVALS]) * length
    begin, end = (part.reshape(-1, 1) for part in (edges[:, :-1], edges[:, 1:]))
    place = np.arange(positions)
    covered = np.maximum(np.minimum(end, place + 1) - np.maximum(begin, place), 0)
    return (covered / covered.sum(1, keepdims=True)).astype(np.float32)


@functools.lru_cache(maxsize=1)
def _basis() -> np.ndarray:
    """Orthonormal cosines `[WAVES, GRID]`: of the DCT-II."""
    place = (np.arange(GRID) + 0.5) / GRID
    waves = np.cos(np.pi * np.arange(WAVES)[:, None] * place) * np.sqrt(2 / GRID)
    waves[0] /= np.sqrt(2)
    return waves


def _cosines(cells: np.ndarray) -> np.ndarray:
    """`[N, GRID, GRID]` to the leading coefficients of their two-dimensional DCT, `[N, WAVES, WAVES]`; of a constant
    plane, the first is the constant."""
    basis = _basis()
    return basis @ cells @ basis.T / GRID
