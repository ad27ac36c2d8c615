"""Masked pictures: a quarter of the cells of 16x16 pixels hidden, and filled in again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import aecodec
from aecodec.latents.inpaint import inpaint_picture
from aecodec.metrics import psnr
from aecodec.picture.reading import Picture

from ..autoencoders.tables import Row, Table, Target, timed
from ..pictures import read_pixels
from .inputs import Inputs, MissingData
from .strips import free_picture, strips

SHARE = 0.25
CELL = 16
OURS = "aecodec"


def run(inputs: Inputs, out: Path) -> Table:
    """PSNR of what was hidden."""
    paths = inputs.clean()
    codec = aecodec.Codec(device="cpu", threads=1)
    methods = _methods(codec)
    table = Table(
        "inpaint", "Masked pictures",
        f"{len(paths)} pictures with {SHARE:.0%} of their cells of 16x16 pixels hidden, at random; PSNR inside them in "
        "dB, mean and least over the pictures. Beside it scikit-image's biharmonic equation and OpenCV's Telea "
        "(radius 5), which suit holes as small as these.", {"PSNR": ".2f", "least": ".2f"})
    found: dict[str, list[float]] = {name: [] for name in methods}
    seconds = dict.fromkeys(methods, 0.0)
    for number, path in enumerate(paths):
        pixels = read_pixels(path)
        missing = hidden_cells(pixels.shape[0], pixels.shape[1], np.random.default_rng(number))
        masked = np.where(missing[:, :, None], 0, pixels).astype(np.uint8)
        for name, method in methods.items():
            made, took = timed(partial(method, masked, missing))
            seconds[name] += took
            found[name].append(psnr(pixels[missing], made[missing]))
    for name, values in found.items():
        table.rows.append(Row(f"{len(paths)} pictures", name, {"PSNR": float(np.mean(values)), "least": min(values)},
                              seconds[name], name == OURS))
    for other in ("biharmonic", "Telea"):
        gain = table.value(OURS, "PSNR") - table.value(other, "PSNR")
        table.targets.append(Target(f"at least 1 dB above {other} ({gain:+.2f} dB)", gain >= 1))
    detail = free_picture()
    missing = hidden_cells(detail.shape[0], detail.shape[1], np.random.default_rng(0))
    masked = np.where(missing[:, :, None], 0, detail).astype(np.uint8)
    strips({"masked": masked, **{name: method(masked, missing) for name, method in methods.items()},
            "original": detail}, out / "inpainting.png")
    table.figures["inpainting.png"] = "A detail with a quarter of its cells hidden, and filled in"
    return table


def hidden_cells(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Where a quarter of the cells are: bool `[height, width]`."""
    rows, columns = -(-height // CELL), -(-width // CELL)
    chosen = np.zeros(rows * columns, bool)
    chosen[rng.permutation(chosen.size)[:round(SHARE * chosen.size)]] = True
    return chosen.reshape(rows, columns).repeat(CELL, axis=0).repeat(CELL, axis=1)[:height, :width]


def _methods(codec: aecodec.Codec) -> dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    try:
        import cv2
        from skimage.restoration import inpaint_biharmonic
    except ImportError as error:
        raise MissingData(f"it takes {error.name}; install it with: pip install 'aecodec[bench]'") from None

    def biharmonic(masked: np.ndarray, missing: np.ndarray) -> np.ndarray:
        made = inpaint_biharmonic(masked / 255.0, missing, channel_axis=-1)
        return np.rint(np.clip(made, 0, 1) * 255).astype(np.uint8)

    def telea(masked: np.ndarray, missing: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.inpaint(masked, missing.astype(np.uint8), 5, cv2.INPAINT_TELEA))

    def ours(masked: np.ndarray, missing: np.ndarray) -> np.ndarray:
        return inpaint_picture(codec, Picture(masked), missing).pixels

    return {"biharmonic": biharmonic, "Telea": telea, OURS: ours}
