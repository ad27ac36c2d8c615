"""Rate-distortion curves and the Bjontegaard delta rate between them."""

from __future__ import annotations

import json
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np

from .metrics import BY_NAME
from .table import Row

MIN_POINTS = 4  # as many as VCEG-M33 takes
MIN_OVERLAP = 0.5


@dataclass(frozen=True)
class Curve:
    """Quality over rate: bits per pixel, and a metric on its `scale`, on which higher is better."""

    rate: tuple[float, ...]
    quality: tuple[float, ...]


@dataclass(frozen=True)
class Published:
    """A codec's Kodak curves as somebody else published them, means over the 24 pictures."""

    name: str
    label: str
    learned: bool
    source: str
    how: str
    curves: dict[str, Curve]  # metric -> curve


def rising(curve: Curve) -> Curve:
    """The points that more bits make better, by rate: what an interpolation over quality needs.

    A point whose quality is not above that of every cheaper one is dropped, as are lossless and missing ones.
    """
    rate: list[float] = []
    quality: list[float] = []
    for bpp, value in sorted(zip(curve.rate, curve.quality, strict=True)):
        if np.isfinite(value) and (not quality or value > quality[-1]):
            if rate and bpp == rate[-1]:
                rate.pop()
                quality.pop()
            rate.append(bpp)
            quality.append(value)
    return Curve(tuple(rate), tuple(quality))


def bd_rate(anchor: Curve, test: Curve, method: str = "akima") -> float | None:
    """By how many percent `test` needs more bits than `anchor` at equal quality, on average (negative: fewer).

    The logarithm of the rate is averaged over the qualities that both curves reach (Bjontegaard, VCEG-M33; Akima
    interpolation as in Herglotz et al. 2022).

    Returns:
        None ("n/a") if either curve has fewer than 4 rising points, or if they share less than half of the quality
        range of the shorter of the two.
    """
    from bjontegaard import bd_rate as bjontegaard_rate

    anchor, test = rising(anchor), rising(test)
    if min(len(anchor.rate), len(test.rate)) < MIN_POINTS:
        return None
    shared = min(anchor.quality[-1], test.quality[-1]) - max(anchor.quality[0], test.quality[0])
    shorter = min(anchor.quality[-1] - anchor.quality[0], test.quality[-1] - test.quality[0])
    if shared < MIN_OVERLAP * shorter:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of overlaps that the rule above has judged
        return float(bjontegaard_rate(anchor.rate, anchor.quality, test.rate, test.quality, method,
                                      require_matching_points=False, min_overlap=0))


def rate_at(curve: Curve, quality: float) -> float | None:
    """Bits per pixel at a quality, by PCHIP over the logarithm of the rate; None outside the curve."""
    from scipy.interpolate import PchipInterpolator

    curve = rising(curve)
    if len(curve.rate) < 2 or not curve.quality[0] <= quality <= curve.quality[-1]:
        return None
    return float(np.exp(PchipInterpolator(curve.quality, np.log(curve.rate))(quality)))


def quality_at(curve: Curve, rate: float) -> float | None:
    """Quality at so many bits per pixel, by PCHIP over the logarithm of the rate; None outside the curve."""
    from scipy.interpolate import PchipInterpolator

    curve = rising(curve)
    if len(curve.rate) < 2 or not curve.rate[0] <= rate <= curve.rate[-1]:
        return None
    return float(PchipInterpolator(np.log(curve.rate), curve.quality)(np.log(rate)))


def picture_curves(rows: Iterable[Row], metric: str) -> dict[str, dict[str, Curve]]:
    """The curve of every codec on every picture: codec -> image -> curve."""
    points: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        value = row.metrics.get(metric)
        if value is not None:
            points[row.codec][row.image].append((row.bpp, BY_NAME[metric].scale(value)))
    return {codec: {image: _curve(values) for image, values in images.items()} for codec, images in points.items()}


def mean_curves(rows: Sequence[Row], metric: str) -> dict[str, Curve]:
    """The curve of every codec over a dataset: at each setting, the mean rate and the mean quality over pictures.

    MS-SSIM is averaged first and put in dB then, as published. A setting that is missing on some picture, or is
    lossless on one, is no point of the curve.
    """
    images = {row.image for row in rows}
    points: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        value = row.metrics.get(metric)
        if value is not None and np.isfinite(value):
            points[row.codec, row.setting].append((row.bpp, value))
    curves: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for (codec, _), values in points.items():
        if len(values) == len(images):
            rate, quality = np.mean(values, axis=0)
            curves[codec].append((float(rate), BY_NAME[metric].scale(float(quality))))
    return {codec: _curve(values) for codec, values in curves.items()}


def _curve(points: list[tuple[float, float]]) -> Curve:
    points = sorted(points)
    return Curve(tuple(rate for rate, _ in points), tuple(quality for _, quality in points))


def mean_of_pictures(anchor: dict[str, Curve], test: dict[str, Curve],
                     method: str = "akima") -> tuple[float | None, int]:
    """The BD-rate as mean over the pictures of both codecs, and over how many it was defined."""
    rates = [bd_rate(anchor[image], test[image], method) for image in sorted(anchor.keys() & test.keys())]
    known = [rate for rate in rates if rate is not None]
    return (float(np.mean(known)) if known else None), len(known)


@lru_cache(maxsize=1)
def published() -> dict[str, Published]:
    """The curves on Kodak from the literature: name -> curves with their source."""
    text = resources.files(__package__).joinpath("anchors_kodak.json").read_text(encoding="utf-8")
    found = {}
    for name, entry in json.loads(text).items():
        curves = {metric: Curve(tuple(entry["bpp"]), tuple(BY_NAME[metric].scale(value) for value in entry[metric]))
                  for metric in ("psnr_rgb", "ms_ssim") if metric in entry}
        found[name] = Published(name, entry["label"], entry["learned"], entry["source"], entry["how"], curves)
    return found


def is_kodak(rows: Iterable[Row]) -> bool:
    """Whether the rows are of the whole Kodak set, so that published means may be laid beside theirs."""
    return {(row.image, row.width * row.height) for row in rows} == {(f"kodim{n:02d}", 768 * 512) for n in range(1, 25)}
