"""What a model's latents are good for besides decoding, fitted to photos: the linear head that makes thumbnails, and
what noise does to latents. Both lie outside the bundle hash: they may be made anew for a model that is in use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.progress import track

from .. import coder, files, models, thumbnail
from ..coder import Coder
from ..format.constants import STRIDE
from ..format.container import operating_point
from ..latents import noise
from .data import find_pictures, read_picture

CROP = 256  # side of the crops, pixels
FITTED = (0, 21, 42, 63)  # quality levels that the thumbnail head is fitted at
RIDGE = 1e-4  # of a feature's own energy
DEVIATION = 10.0  # of the noise that is added, where pixels are far enough from 0 and 255 for it
PHOTOS = 300


def crops(photos: list[Path], seed: int = 0) -> Iterator[np.ndarray]:
    """A crop `uint8 [CROP, CROP, 3]` of every photo that is large enough; none of a broken one."""
    rng = np.random.default_rng(seed)
    for path in photos:
        try:
            pixels = read_picture(path)
        except Exception:  # a decoder may raise anything on a broken file; training skipped it, too
            continue
        if min(pixels.shape[:2]) >= CROP:
            top, left = (int(rng.integers(side - CROP + 1)) for side in pixels.shape[:2])
            yield pixels[top:top + CROP, left:left + CROP].copy()


def neighbourhoods(latents: np.ndarray) -> np.ndarray:
    """`[M, h, w]` to `[h * w, M * 9 + 1]`: each position's 3x3 latents and a 1."""
    radius = thumbnail.RADIUS
    padded = np.pad(latents, ((0, 0), (radius, radius), (radius, radius)), mode="edge")
    side = 2 * radius + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, (latents.shape[0], side, side))[0]
    rows = windows.reshape(latents.shape[1] * latents.shape[2], -1)
    return np.concatenate([rows, np.ones((len(rows), 1), np.float32)], axis=1)


def wanted(pixels: np.ndarray) -> np.ndarray:
    """What the head is to give for `uint8 [H, W, 3]`: means of 8x8 pixels as `[h * w, 12]`, colours first."""
    height, width, side, scale = pixels.shape[0] // STRIDE, pixels.shape[1] // STRIDE, thumbnail.SIDE, thumbnail.SCALE
    means = pixels.reshape(height * side, scale, width * side, scale, 3).mean(axis=(1, 3), dtype=np.float32)
    return means.reshape(height, side, width, side, 3).transpose(0, 2, 4, 1, 3).reshape(height * width, -1)


def fit_thumbnail(codec: Coder, pictures: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of the thumbnail head, by least squares on the latents that files of the pictures hold."""
    weights, biases = [], []
    points = [(tune, level) for tune in codec.tunes for level in FITTED]
    for tune, level in points:
        gram: np.ndarray | float = 0.0
        cross: np.ndarray | float = 0.0
        for pixels in track(pictures, description=f"thumbnails, {tune} {level}", transient=True):
            rows = neighbourhoods(codec.latents(codec.encode(pixels, level, tune=tune)).y)
            gram = gram + rows.T @ rows
            cross = cross + rows.T @ wanted(pixels)
        matrix = np.asarray(gram, np.float64)
        matrix[np.diag_indices_from(matrix)] *= 1 + RIDGE
        matrix[np.diag_indices_from(matrix)] += 1e-6 * len(pictures)  # a channel may be silent at a low level
        solution = np.linalg.solve(matrix, np.asarray(cross, np.float64)).T.astype(np.float32)
        side = 2 * thumbnail.RADIUS + 1
        weights.append(solution[:, :-1].reshape(len(solution), -1, side, side))
        biases.append(solution[:, -1])
    return {"points": np.array([operating_point(level, tune) for tune, level in points], np.uint8),
            "weight": np.stack(weights).astype(np.float16),
            "bias": np.stack(biases)}


def fit_noise(codec: Coder, pictures: list[np.ndarray]) -> dict[str, np.ndarray]:
    """What noise does to latents, by random probes of the analysis's Jacobian: latents with and without it."""
    rng = np.random.default_rng(0)
    gains: np.ndarray | float = 0.0
    energies: np.ndarray | float = 0.0
    for pixels in track(pictures, description="noise gains", transient=True):
        room = np.clip(pixels, 3 * DEVIATION, 255 - 3 * DEVIATION)
        noisy = np.clip(np.rint(room + rng.normal(0, DEVIATION, pixels.shape)), 0, 255).astype(np.uint8)
        clean, probed, whole = (codec.analyse(x, noise.LEVEL, noise.tune_of(codec.tunes)).y
                                for x in (np.rint(room).astype(np.uint8), noisy, pixels))
        gains = gains + np.square(probed - clean).mean(axis=(1, 2)) / DEVIATION**2 / len(pictures)
        energies = energies + np.square(whole).mean(axis=(1, 2)) / len(pictures)
    return {"gains": np.asarray(gains, np.float32), "energies": np.asarray(energies, np.float32)}


def add_heads(path: Path, data: Path, photos: int = PHOTOS) -> int:
    """Fit a model's heads to photos, and put them into its weights file; all else in it stays as it is.

    Gives how many photos were large enough to be used; without any, nothing is done.

    Args:
        path: the weights file.
        data: the training photos.

    Raises:
        FileNotFoundError: no pictures.
        UnknownModel: no such weights.
    """
    from safetensors import safe_open
    from safetensors.numpy import save

    from .coding import spread

    pictures = list(crops(spread(find_pictures(data), photos)))
    if not pictures:
        return 0
    codec = coder.load(models.read_info(path), "cpu")
    made = {thumbnail.PREFIX + name: tensor for name, tensor in fit_thumbnail(codec, pictures).items()}
    made |= {noise.PREFIX + name: tensor for name, tensor in fit_noise(codec, pictures[::4]).items()}
    made = {name: np.ascontiguousarray(tensor) for name, tensor in made.items()}  # as safetensors takes them to be
    with safe_open(str(path), framework="numpy") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    kept = {name: tensor for name, tensor in tensors.items()
            if not name.startswith((thumbnail.PREFIX, noise.PREFIX))}
    tensors = kept | made
    metadata["checksum"] = models.checksum(tensors)
    weights = save(tensors, metadata)
    files.write_atomically(path, lambda stream: stream.write(weights))
    return len(pictures)
