"""The figures of the tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MARKERS = "ox+^vs*DP"


def copies(points: NDArray[np.floating], names: Sequence[str], path: Path) -> None:
    """Photos and their distortions as points `[1 + len(names), photos, 2]`, a colour for each photo."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(8.6, 6.2), layout="constrained")
    axes = figure.subplots()
    colours = colormaps["tab20"](np.arange(points.shape[1]) % 20)
    axes.scatter(points[0, :, 0], points[0, :, 1], s=170, color=colours, alpha=0.35, linewidths=0)
    for marker, rows in zip(MARKERS, points[1:], strict=False):
        axes.scatter(rows[:, 0], rows[:, 1], s=22, color=colours, marker=marker, linewidths=1)
    shown = [Line2D([], [], marker=marker, color="0.3", linestyle="", label=name)
             for marker, name in zip(MARKERS, names, strict=False)]
    axes.legend(handles=shown, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.set_xticks([])
    axes.set_yticks([])
    figure.savefig(path, dpi=100)


def maps(rows: Sequence[Sequence[NDArray[np.floating]]], titles: Sequence[str], path: Path) -> None:
    """Rows of pictures and of what was found in them: first a picture 0..255 and where its defect is, then maps, each
    drawn from its column's least to its greatest value."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.5 * len(titles), 1.55 * len(rows) + 0.2), layout="constrained")
    cells = figure.subplots(len(rows), len(titles), squeeze=False)
    for column, title in enumerate(titles):
        cells[0, column].set_title(title, fontsize=8)
        values = [row[column] for row in rows]
        low, high = (0, 255) if column == 0 else (min(v.min() for v in values), max(v.max() for v in values))
        for axes, value in zip(cells[:, column], values, strict=True):
            axes.imshow(value, cmap="gray" if column < 2 else "inferno", vmin=low, vmax=high)
            axes.set_axis_off()
    figure.savefig(path, dpi=100)


def pictures(shown: Sequence[NDArray[np.uint8]], path: Path) -> None:
    """Pictures side by side, pixel for pixel."""
    from PIL import Image

    gap = 8
    tall = max(picture.shape[0] for picture in shown)
    wide = sum(picture.shape[1] + gap for picture in shown) - gap
    sheet = np.full((tall, wide, 3), 255, np.uint8)
    left = 0
    for picture in shown:
        sheet[:picture.shape[0], left:left + picture.shape[1]] = picture
        left += picture.shape[1] + gap
    Image.fromarray(sheet).save(path)
