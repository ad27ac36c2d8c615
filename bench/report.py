"""The report on a table of results: its sections and figures."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import plots, speed_report
from .bdrate import is_kodak, mean_curves, published
from .codecs import COMPRESSAI_MODELS, LOSSLESS, is_learned, is_ours, label
from .document import Figure, Section, Table
from .metrics import BY_NAME, NAMES
from .pictures import DRAWN
from .plots import Line
from .table import Row
from .tables import (
    against_table,
    anchor_table,
    drawn_table,
    ordered,
    rate_table,
    smallest_files,
    subjects,
    sweep_times,
    worst_pictures,
)

MARKDOWN, SPEED = "report.md", "speed.csv"
DRAWN_PUBLISHED = (*COMPRESSAI_MODELS, "vtm")
_UNDRAWN = ("jpeg-444", "avif-444", "jpeg-default", "webp-default")  # beside a curve that is all but the same
_QUALITIES = (28, 30, 32, 34, 36, 38, 40)
_HIGH = (40, 42, 44, 46)
_SCORES = (30, 50, 60, 70, 80, 85, 90)


@dataclass(frozen=True)
class Results:
    """Everything a report is made from."""

    rows: list[Row]
    record: dict[str, Any]
    speed: list[dict[str, str]]

    @property
    def datasets(self) -> list[str]:
        """The names of the datasets, photographs first."""
        names = sorted({row.dataset for row in self.rows})
        return sorted(names, key=lambda name: (DRAWN.index(name) if name in DRAWN else -1, name))

    @property
    def photos(self) -> list[str]:
        """The datasets that are not drawn."""
        return [name for name in self.datasets if name not in DRAWN]

    def of(self, dataset: str) -> list[Row]:
        """The rows of a dataset."""
        return [row for row in self.rows if row.dataset == dataset]


def read_speed(path: Path) -> list[dict[str, str]]:
    """The rows that `aecodec bench speed` wrote; none if there is no such file."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _pictures(count: int) -> str:
    return f"{count} picture{'' if count == 1 else 's'}"


# -- figures ----------------------------------------------------------------------------------------------------


def lines_of(rows: Sequence[Row], metric: str) -> list[Line]:
    """The curves to draw for a dataset: those measured, and on Kodak the published ones beside them."""
    curves = mean_curves(rows, metric)
    lines = [Line(name, label(name), is_learned(name), False, curves[name])
             for name in ordered(curves) if name not in _UNDRAWN]
    if is_kodak(rows):
        for name in DRAWN_PUBLISHED:
            entry = published()[name]
            if metric in entry.curves:
                lines.append(Line(name, entry.label, entry.learned, True, entry.curves[metric]))
    return lines


def figure_lines(results: Results) -> dict[str, list[Line]]:
    """What every figure of the report shows: stem -> lines."""
    return {figure_stem(dataset, metric): lines_of(results.of(dataset), metric)
            for dataset in results.photos for metric in _drawn_metrics(results.of(dataset))}


def save_figures(results: Results, out: Path) -> dict[str, str]:
    """Write every figure of the report as PNG and SVG; returns stem -> SVG."""
    made = {}
    for dataset in results.photos:
        rows = results.of(dataset)
        title = f"{dataset}, mean over {_pictures(len({row.image for row in rows}))}"
        for metric in _drawn_metrics(rows):
            stem = figure_stem(dataset, metric)
            made[stem] = plots.save(lines_of(rows, metric), metric, title, out / stem)
    return made


def _drawn_metrics(rows: Sequence[Row]) -> list[str]:
    return [metric for metric in NAMES if metric != "psnr_y" and mean_curves(rows, metric)]


# -- sections ---------------------------------------------------------------------------------------------------


def sections(results: Results) -> list[Section]:
    """The whole report."""
    found = []
    for dataset in results.photos:
        found += _photo_sections(results, dataset)
    found.append(Section("Where it loses", tuple(_losses(results))))
    if results.speed:
        found.append(Section("Speed", tuple(speed_report.parts(results.speed))))
    found.append(Section("How it was measured", tuple(_method(results))))
    return found


def _photo_sections(results: Results, dataset: str) -> list[Section]:
    rows = results.of(dataset)
    count = len({row.image for row in rows})
    first: list[str | Table | Figure] = []
    for subject in subjects(rows):
        first.append(f"Bits that {label(subject)} needs at equal quality, compared with each other codec (BD-rate; "
                     "negative: its files are smaller). Over mean curves with Akima interpolation; beside it PCHIP, "
                     "and the mean of the BD-rates of single pictures (of how many). n/a: the curves share too "
                     "little.")
        first.append(against_table(rows, subject))
    if not first:
        missing = {name: reason for name, reason in results.record.get("missing", {}).items() if is_ours(name)}
        first.append("aecodec is not among these results: " + (
            "; ".join(missing.values()) or "it was not measured on all of the pictures") + ".")
    found = [Section(f"{dataset}: {_pictures(count)}", tuple(first))]
    over = f"mean over {_pictures(count)} of {dataset}"
    figures = [Figure(figure_stem(dataset, metric), f"{BY_NAME[metric].axis}, {over}")
               for metric in _drawn_metrics(rows)]
    found.append(Section(f"{dataset}: rate-distortion curves", (
        "Learned codecs solid, classic ones dashed" + ("; thin: published curves." if is_kodak(rows) else "."),
        *figures)))
    all_codecs: list[str | Table | Figure] = [
        "BD-rate in PSNR RGB, mean curves, Akima.", anchor_table(rows),
        "Bits per pixel at a mean PSNR RGB.", rate_table(rows, _QUALITIES)]
    if mean_curves(rows, "ssimulacra2"):
        all_codecs += ["Bits per pixel at a mean SSIMULACRA2: 50 is fair, 70 good, 90 visually lossless.",
                       rate_table(rows, _SCORES, "ssimulacra2", "")]
    found.append(Section(f"{dataset}: all codecs", tuple(all_codecs)))
    return found


def figure_stem(dataset: str, metric: str) -> str:
    """The name of a figure's files, without their endings."""
    return f"rd_{dataset}_{metric}"


def _losses(results: Results) -> list[str | Table | Figure]:
    parts: list[str | Table | Figure] = []
    for dataset in results.photos:
        rows = results.of(dataset)
        parts += [f"Very high rates ({dataset}): bits per pixel at a mean PSNR RGB.", rate_table(rows, _HIGH)]
        lossless = [row.bpp for row in rows if row.codec in LOSSLESS]
        if lossless:
            parts.append(f"Without any loss, WebP needs {statistics.mean(lossless):.2f} bits per pixel.")
        for subject in subjects(rows):
            worst = worst_pictures(rows, subject)
            if worst.rows:
                parts += [f"The pictures of {dataset} on which {label(subject)} does worst: BD-rate in PSNR RGB.",
                          worst]
        parts += [f"Median time in this sweep ({dataset}): one run each, other work beside it.", sweep_times(rows)]
    drawn = [dataset for dataset in results.datasets if dataset in DRAWN]
    if drawn:
        parts += ["Pictures that are no photographs, drawn by the bench: screenshots, text, and tiny pictures (icons "
                  "and thumbnails). Bits per pixel at a mean PSNR RGB, and PSNR at a rate; in brackets the BD-rate "
                  "of aecodec, with its default model if it was measured, against the codec."]
        parts += [drawn_table(results.of(dataset), dataset) for dataset in drawn]
        smallest = smallest_files(results.of("tiny"))
        if smallest.rows:
            parts += ["What a tiny picture costs at least: bytes of the smallest file in the sweep.", smallest]
    return parts


def _method(results: Results) -> list[str | Table | Figure]:
    record = results.record
    versions = {row.codec: row.version for row in results.rows}
    parts: list[str | Table | Figure] = [
        "Every codec is charged the bytes of its whole file and decoded from those bytes alone. Metadata is removed "
        "first; every picture is 8-bit RGB. PSNR is that of each picture's mean squared error on 8-bit samples, then "
        "the mean over pictures; Y is BT.601 luma; MS-SSIM is averaged over pictures and put in dB for curves. "
        "SSIMULACRA2 is version 2.1; butteraugli is the 3-norm of `butteraugli_main` at 80 cd/m2; CVVDP is "
        "ColorVideoVDP in JOD on its display `standard_fhd`. A curve has the settings at which a metric was measured.",
        f"Measured on {record.get('machine', 'an unknown machine')}, Python {record.get('python', '?')}, "
        f"{record.get('date', 'at an unknown date')}.",
        Table(("codec", "version"), tuple((label(name), versions[name]) for name in [
            *ordered(versions), *(name for name in versions if name in LOSSLESS)]), numbers=False),
        "Libraries: " + ", ".join(f"{name} {version}" for name, version in record.get("libraries", {}).items()) + "."]
    for key, sentence in (("missing", "Codecs and metrics that could not be used here"),
                          ("left_out", "Files that were left out"), ("failures", "What failed")):
        entries = record.get(key, {})
        if entries:
            parts.append(f"{sentence}: " + "; ".join(f"{name} ({reason})" for name, reason in entries.items()) + ".")
    if any(is_kodak(results.of(dataset)) for dataset in results.photos):
        parts += ["Published Kodak curves, not measured here:", Table(("curve", "made with", "source"), tuple(
            (entry.label, entry.how, entry.source) for entry in published().values()), numbers=False)]
    return parts
