"""Rate-distortion plots: learned codecs solid, classic ones dashed, published curves thin. PNG and SVG."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .bdrate import Curve
from .codecs import is_ours
from .metrics import BY_NAME

_OURS = ("#d1242f", "#ff8182", "#82071e")  # our models, in the order of their lines
_COLOURS = {
    "jpeg": "#8c6d31", "jpeg-444": "#bd9e39", "jpegli": "#e6a700", "webp": "#2ca02c",
    "avif": "#1f77b4", "avif-444": "#6baed6", "heic": "#7f7f7f", "jxl": "#9467bd", "jpeg2000": "#17becf",
    "bmshj2018-factorized": "#fdae6b", "bmshj2018-hyperprior": "#fd8d3c", "mbt2018-mean": "#e6550d",
    "mbt2018": "#a63603", "cheng2020-anchor": "#e377c2", "vtm": "#000000",
}
_TICKS = (0.03, 0.06, 0.125, 0.25, 0.5, 1, 2, 4, 8)
_RATES = (0.045, 5.2)  # what is shown, in bits per pixel


@dataclass(frozen=True)
class Line:
    """A curve to draw. `published`: from the literature, not measured here."""

    name: str
    label: str
    learned: bool
    published: bool
    curve: Curve

    @property
    def points(self) -> list[tuple[float, float]]:
        """(bits per pixel, quality)."""
        return list(zip(self.curve.rate, self.curve.quality, strict=True))


def digest(lines: Sequence[Line]) -> str:
    """What a figure is made of, as a hash: it is written into the figure, so that a stale one can be told."""
    content = [(line.name, [[round(rate, 6), round(quality, 4)] for rate, quality in line.points]) for line in lines]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def digest_in(svg: str) -> str | None:
    """The digest written into an SVG by `draw`; None if there is none."""
    found = re.search(r"curves ([0-9a-f]{16})", svg)
    return found.group(1) if found else None


def draw(lines: Sequence[Line], metric: str, title: str) -> Any:
    """A matplotlib figure: quality over the logarithm of bits per pixel. A line's group has the id `line:NAME`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 5.4), layout="constrained")
    axes = figure.add_subplot()
    shown = []
    models = [line.name for line in lines if is_ours(line.name)]
    colours = {**_COLOURS, **dict(zip(models, _OURS, strict=False))}
    for line in sorted(lines, key=lambda line: is_ours(line.name)):
        ours = is_ours(line.name)
        points = [(rate, quality) for rate, quality in line.points if _RATES[0] <= rate <= _RATES[1]]
        if not points:
            continue
        shown += points
        (artist,) = axes.plot(
            *zip(*points, strict=True), color=colours.get(line.name, "#555555"),
            linestyle="-" if line.learned else "--",
            linewidth=2.6 if ours else 1.0 if line.published else 1.5,
            marker="" if line.published else "o", markersize=4.5 if ours else 2.5,
            label=line.label + (" (published)" if line.published else ""))
        artist.set_gid(f"line:{line.name}")
    axes.set_xscale("log", base=2)
    axes.set_xlim(*_RATES)
    axes.set_xticks(_TICKS[1:-1], [f"{tick:g}" for tick in _TICKS[1:-1]])
    axes.minorticks_off()
    if shown:
        low, high = min(q for _, q in shown), max(q for _, q in shown)
        margin = 0.03 * (high - low) or 1.0
        axes.set_ylim(low - margin, high + margin)
    axes.set_xlabel("bits per pixel, whole file")
    axes.set_ylabel(BY_NAME[metric].axis)
    axes.set_title(title, fontsize=11)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda n: (
        not labels[n].startswith("aecodec"), "(published)" in labels[n], labels[n]))
    axes.legend([handles[n] for n in order], [labels[n] for n in order], fontsize=7.5, loc="upper left",
                framealpha=0.9)
    return figure


def svg(figure: Any, description: str) -> str:
    """The figure as SVG, the same bytes for the same curves."""
    import matplotlib

    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "aecodec", "svg.fonttype": "path"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Description": description})
    return re.sub(r"[ \t]+$", "", out.getvalue(), flags=re.MULTILINE)


def save(lines: Sequence[Line], metric: str, title: str, stem: Path) -> str:
    """Write `stem`.png and `stem`.svg; returns the SVG."""
    figure = draw(lines, metric, title)
    description = f"curves {digest(lines)}"
    figure.savefig(stem.with_suffix(".png"), dpi=120, metadata={"Description": description})
    text = svg(figure, description)
    stem.with_suffix(".svg").write_text(text, encoding="utf-8")
    return text
