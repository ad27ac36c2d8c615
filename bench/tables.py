"""The tables of the report, made from rows of results."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from aecodec.models import DEFAULT_MODEL

from .bdrate import (
    Curve,
    bd_rate,
    is_kodak,
    mean_curves,
    mean_of_pictures,
    picture_curves,
    published,
    quality_at,
    rate_at,
)
from .codecs import LOSSLESS, OURS_PREFIX, SWEEP, is_ours, label, order
from .document import Table
from .metrics import BY_NAME, METRICS
from .table import Row

NOT_DEFINED = "n/a"
ANCHORS = ("jpeg", "webp", "avif", "vtm")
DRAWN_AT = {"screenshot": (32, 38, 1.0), "text": (26, 34, 1.0), "tiny": (24, 30, 4.0)}  # dB, dB, bits per pixel
_PUBLISHED = "published "  # what a published curve's key begins with


def percent(rate: float | None) -> str:
    """A BD-rate as text: -12.3 %, or n/a."""
    return NOT_DEFINED if rate is None else f"{rate:+.1f} %"


def number(value: float | None, digits: int = 2) -> str:
    """A number as text, or n/a."""
    return NOT_DEFINED if value is None else f"{value:.{digits}f}"


def ordered(names: Iterable[str]) -> list[str]:
    """Codecs in the order of the report, without lossless ones."""
    return sorted((name for name in names if name not in LOSSLESS), key=order)


def subjects(rows: Sequence[Row]) -> list[str]:
    """Our codecs that were measured on all the pictures, the one with the default model first."""
    names = filter(is_ours, mean_curves(rows, "psnr_rgb"))
    return sorted(names, key=lambda name: (name != OURS_PREFIX + DEFAULT_MODEL, name))


def with_published(rows: Sequence[Row], metric: str) -> dict[str, tuple[str, Curve]]:
    """Measured codecs, and on Kodak published ones: key -> label and mean curve."""
    curves = mean_curves(rows, metric)
    found = {name: (label(name), curves[name]) for name in ordered(curves)}
    if is_kodak(rows):
        for name, entry in published().items():
            if metric in entry.curves and name not in ("jpeg", "webp", "jpeg2000"):
                found[_PUBLISHED + name] = (f"{entry.label} (published)", entry.curves[metric])
    return found


def against_table(rows: Sequence[Row], subject: str) -> Table:
    """By how much `subject` needs more or fewer bits than each other codec at equal quality."""
    curves = {metric.name: with_published(rows, metric.name) for metric in METRICS
              if subject in mean_curves(rows, metric.name)}
    by_picture = picture_curves(rows, "psnr_rgb")
    metrics = [name for name in curves if name != "psnr_rgb"]
    body = []
    for key, (name, anchor) in curves["psnr_rgb"].items():
        if key == subject:
            continue
        test = curves["psnr_rgb"][subject][1]
        mean, count = mean_of_pictures(by_picture.get(key, {}), by_picture[subject])
        cells = [name, percent(bd_rate(anchor, test)), percent(bd_rate(anchor, test, "pchip")),
                 "" if key not in by_picture else f"{percent(mean)} ({count})"]
        body.append((*cells, *(_against(curves[metric], key, subject) for metric in metrics)))
    return Table(("compared with", BY_NAME["psnr_rgb"].label, "(PCHIP)", "(mean of pictures)",
                  *(BY_NAME[metric].label for metric in metrics)), tuple(body))


def short_table(rows: Sequence[Row], subject: str, metrics: Sequence[str]) -> Table:
    """The same with the codecs that people can install, in these metrics alone. Empty: not measured."""
    curves = {metric: with_published(rows, metric) for metric in metrics}
    names = ordered({row.codec for row in rows if row.codec in SWEEP})
    return Table(("compared with", *(BY_NAME[metric].label for metric in metrics)), tuple(
        (label(name), *(_against(curves[metric], name, subject) for metric in metrics)) for name in names))


def _against(curves: dict[str, tuple[str, Curve]], key: str, subject: str) -> str:
    """The BD-rate of `subject` against a codec; nothing where one of them has no curve."""
    return percent(bd_rate(curves[key][1], curves[subject][1])) if key in curves and subject in curves else ""


def anchor_table(rows: Sequence[Row]) -> Table:
    """Every codec against a few that everybody knows, in PSNR."""
    curves = with_published(rows, "psnr_rgb")
    keys = [next((key for key in (name, _PUBLISHED + name) if key in curves), None) for name in ANCHORS]
    anchors = [key for key in keys if key is not None]
    return Table(("codec", *(f"vs {curves[key][0]}" for key in anchors)), tuple(
        (name, *(percent(0.0 if key == anchor else bd_rate(curves[anchor][1], curve)) for anchor in anchors))
        for key, (name, curve) in curves.items()))


def rate_table(rows: Sequence[Row], qualities: Sequence[float], metric: str = "psnr_rgb", unit: str = " dB") -> Table:
    """Bits per pixel at given means of a metric where higher is better, and the best of the sweep."""
    curves = mean_curves(rows, metric)
    return Table(("codec", *(f"{quality}{unit}" for quality in qualities), "best of the sweep"), tuple(
        (label(name), *(number(rate_at(curves[name], quality), 3) for quality in qualities),
         f"{max(curves[name].quality):.1f}{unit} at {max(curves[name].rate):.2f} bpp")
        for name in ordered(curves)))


def worst_pictures(rows: Sequence[Row], subject: str, count: int = 5) -> Table:
    """The pictures on which `subject` does worst, by BD-rate in PSNR RGB."""
    curves = picture_curves(rows, "psnr_rgb")
    ours = curves.get(subject, {})
    anchors = [name for name in ("avif", "webp", "jpeg") if name in curves]
    found = []
    for image, curve in ours.items():
        rates = [bd_rate(curves[name][image], curve) if image in curves[name] else None for name in anchors]
        known = [rate for rate in rates if rate is not None]
        if known:
            found.append((known[0], image, rates))
    found.sort(reverse=True)
    return Table(("picture", *(f"vs {label(name)}" for name in anchors)), tuple(
        (image, *(percent(rate) for rate in rates)) for _, image, rates in found[:count]))


def sweep_times(rows: Sequence[Row]) -> Table:
    """Median times of a sweep."""
    decode = {name: statistics.median(row.decode_s for row in rows if row.codec == name)
              for name in ordered({row.codec for row in rows})}
    encode = {name: statistics.median(row.encode_s for row in rows if row.codec == name) for name in decode}
    pixels = statistics.median(row.width * row.height for row in rows) / 1e6
    anchor = decode.get("avif")
    places = {row.codec: f"{row.device}, {row.threads} thread{'s' if row.threads > 1 else ''}" for row in rows}
    return Table(("codec", "encode MP/s", "decode MP/s", "decode time, AVIF = 1", "on"), tuple(
        (label(name), f"{pixels / encode[name]:.2f}", f"{pixels / decode[name]:.2f}",
         number(decode[name] / anchor if anchor else None, 1), places[name]) for name in decode))


def drawn_table(rows: Sequence[Row], dataset: str) -> Table:
    """Rates and qualities on drawn pictures, and the BD-rate of the first of ours in brackets."""
    low, high, rate = DRAWN_AT[dataset]
    curves = mean_curves(rows, "psnr_rgb")
    subject = next(iter(subjects(rows)), "")
    ours = curves.get(subject)
    body = []
    for name in ordered(curves):
        curve = curves[name]
        against = f" ({percent(bd_rate(curve, ours))})" if ours and name != subject else ""
        body.append((label(name) + against, number(rate_at(curve, low), 3), number(rate_at(curve, high), 3),
                     number(quality_at(curve, rate), 1)))
    lossless = [row.bpp for row in rows if row.codec in LOSSLESS]
    if lossless:
        mean = f"{statistics.mean(lossless):.3f}"
        body.append(("WebP lossless", mean, mean, "lossless"))
    count = len({row.image for row in rows})
    return Table((f"{dataset} ({count})", f"bpp at {low} dB", f"bpp at {high} dB", f"dB at {rate:g} bpp"), tuple(body))


def smallest_files(rows: Sequence[Row]) -> Table:
    """Bytes of every codec's smallest file of each picture."""
    images = sorted({(row.width * row.height, row.image, row.width, row.height) for row in rows})
    codecs = ordered({row.codec for row in rows})
    body = []
    for name in codecs:
        smallest = []
        for _, image, _, _ in images:
            sizes = [row.bytes for row in rows if row.codec == name and row.image == image]
            smallest.append(str(min(sizes)) if sizes else NOT_DEFINED)
        body.append((label(name), *smallest))
    return Table(("codec", *(f"{image} ({width}x{height})" for _, image, width, height in images)), tuple(body))
