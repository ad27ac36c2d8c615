"""The bottleneck: what a picture keeps where only some of its latents are kept, and at which level."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

import aecodec
from aecodec.latents.noise import NoiseGains
from aecodec.metrics import psnr

from ..autoencoders.tables import Row, Table, Target, timed
from ..pictures import read_pixels
from .inputs import Inputs

PICTURES = 6
CROP = 512  # pixels: what is measured is an average over places, not a picture's size
KEPT = (1, 3, 10, 32, 100, 192, 320)  # channels of a position, those with the most energy first
LEVELS = (0, 21, 42, 63)


def run(inputs: Inputs, out: Path) -> Table:
    """Files' latents, some channels set to their means, synthesis. PCA of 16x16 pixels beside it."""
    pictures = [_crop(read_pixels(path)) for path in inputs.clean(PICTURES)]
    codec = aecodec.Codec(device="cpu", threads=1)
    table = Table(
        "bottleneck", "The bottleneck: latents kept",
        f"Crops of {CROP}x{CROP} pixels from {len(pictures)} pictures, PSNR of what the synthesis makes of "
        "the latents that files hold, when at every position only some of the 320 are kept: the channels with the most "
        "energy over these pictures at that level, in pixels (`encoders.noise.gains` tells what they are worth there). "
        "The others are set to their means. Beside it PCA of blocks of 16x16 pixels (768 numbers), fitted to these "
        "very crops and not quantised: the best that a linear bottleneck can do. A network that was trained for rate "
        "spreads what it knows over its channels, and drops as many as it likes by quantising them.",
        {str(count): ".2f" for count in KEPT})
    principal, seconds = timed(lambda: _pca(pictures))
    table.rows.append(Row("PSNR, dB", "PCA of 16x16 pixels", principal, seconds))
    for level in LEVELS:
        values, seconds = timed(lambda level=level: _network(codec, pictures, level))  # type: ignore[misc]
        table.rows.append(Row("PSNR, dB", f"level {level}", values, seconds, ours=True))
    best = max(table.value(f"level {level}", "32") for level in LEVELS)
    table.targets = [Target("with 32 numbers a block, some level above PCA fitted to the test crops",
                            best > table.value("PCA of 16x16 pixels", "32"))]
    _figure(table, out / "bottleneck.png")
    table.figures["bottleneck.png"] = "PSNR against the number of latents kept"
    return table


def _crop(pixels: np.ndarray) -> np.ndarray:
    top, left = ((side - CROP) // 2 if side > CROP else 0 for side in pixels.shape[:2])
    part = pixels[top:top + CROP, left:left + CROP]
    return part[:part.shape[0] // 16 * 16, :part.shape[1] // 16 * 16]


def _network(codec: aecodec.Codec, pictures: list[np.ndarray], level: int) -> dict[str, float | None]:
    latents = [codec.latents(codec.encode(pixels, level=level)) for pixels in pictures]
    every = np.concatenate([one.y.reshape(one.y.shape[0], -1) for one in latents], axis=1)
    means = every.mean(axis=1)
    order = np.argsort(-every.var(axis=1) / NoiseGains(codec.coder).gains)
    result: dict[str, float | None] = {}
    for count in KEPT:
        decibels = []
        for one, pixels in zip(latents, pictures, strict=True):
            y = np.broadcast_to(means[:, None, None], one.y.shape).copy()
            y[order[:count]] = one.y[order[:count]]
            decibels.append(psnr(pixels, codec.coder.render(replace(one, y=y))))
        result[str(count)] = float(np.mean(decibels))
    return result


def _pca(pictures: list[np.ndarray]) -> dict[str, float | None]:
    blocks = [pixels.reshape(pixels.shape[0] // 16, 16, pixels.shape[1] // 16, 16, 3).transpose(0, 2, 1, 3, 4)
              .reshape(-1, 768).astype(np.float64) for pixels in pictures]
    every = np.concatenate(blocks)
    mean = every.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(every.T))
    result: dict[str, float | None] = {}
    for count in KEPT:
        basis = vectors[:, ::-1][:, :count]
        made = [np.rint((own - mean) @ basis @ basis.T + mean).clip(0, 255) for own in blocks]
        result[str(count)] = float(np.mean([psnr(own, back) for own, back in zip(blocks, made, strict=True)]))
    return result


def _figure(table: Table, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for row in table.rows:
        values = [table.value(row.method, str(count)) for count in KEPT]
        axes.plot(KEPT, values, "o-" if row.ours else "k--", label=row.method)
    axes.set_xscale("log")
    axes.set_xlabel("numbers kept of each 16x16 pixels")
    axes.set_ylabel("PSNR, dB")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)
