"""The figures of the tables: rows of small pictures, and maps of codes in two dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .data import CLASSES, SIDE


def strips(rows: dict[str, NDArray[np.floating]], path: Path) -> None:
    """One labelled row of pictures for each entry, `[N, 784]` within 0..1."""
    from matplotlib.figure import Figure

    count = max(len(pictures) for pictures in rows.values())
    names = 0.5 + 0.075 * max(map(len, rows))  # inches
    figure = Figure(figsize=(names + 0.62 * count, 0.66 * len(rows)))
    figure.subplots_adjust(left=names / figure.get_figwidth(), right=0.99, top=0.98, bottom=0.02, hspace=0.08)
    for axes, (name, pictures) in zip(figure.subplots(len(rows), 1, squeeze=False)[:, 0], rows.items(), strict=True):
        line = np.concatenate([_framed(picture) for picture in pictures], axis=1)
        axes.imshow(line.clip(0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_axis_off()
        axes.text(-8, SIDE / 2, name, ha="right", va="center", fontsize=8)
    figure.savefig(path, dpi=110)


def _framed(picture: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.pad(picture.reshape(SIDE, SIDE), 1, constant_values=1)


def maps(named: dict[str, NDArray[np.floating]], classes: NDArray[np.integer], path: Path,
         names: Sequence[str] = CLASSES) -> None:
    """Codes `[N, 2]` as points, coloured by class, side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(named) + 1.2, 4.8), layout="constrained")
    for axes, (name, codes) in zip(figure.subplots(1, len(named), squeeze=False)[0], named.items(), strict=True):
        for index, label in enumerate(names):
            chosen = codes[classes == index]
            axes.scatter(chosen[:, 0], chosen[:, 1], s=2, alpha=0.5, color=f"C{index}", label=label, linewidths=0)
        axes.set_title(name, fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
    axes.legend(markerscale=5, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=100)
