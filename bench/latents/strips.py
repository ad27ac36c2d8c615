"""A figure of the same detail, made by several methods, side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def free_picture() -> np.ndarray:
    """What is shown in results that are published: a detail `uint8 [160, 160, 3]` of a photograph in the public domain
    (NASA's of Eileen Collins, from scikit-image)."""
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut()[80:240, 160:320])


def strips(pictures: dict[str, np.ndarray], path: Path) -> None:
    """Save `uint8 [H, W, 3]` pictures in a row, each under its name."""
    from matplotlib.figure import Figure

    height, width = next(iter(pictures.values())).shape[:2]
    figure = Figure(figsize=(1.8 * len(pictures), 1.8 * height / width + 0.3), layout="constrained")
    for axes, (name, pixels) in zip(figure.subplots(1, len(pictures), squeeze=False)[0], pictures.items(), strict=True):
        axes.imshow(pixels, interpolation="nearest")
        axes.set_title(name, fontsize=8)
        axes.set_axis_off()
    figure.savefig(path, dpi=130)
