"""The report on a table of results: sections of tables and figures, as Markdown, and the README's share of it."""

from __future__ import annotations

import csv
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import plots
from .bdrate import (
    METRICS,
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
from .codecs import COMPRESSAI_MODELS, LABELS, LEARNED, LOSSLESS
from .pictures import DRAWN
from .plots import Line
from .table import Row

SUBJECT = "aecodec"
MARKDOWN, SPEED = "report.md", "speed.csv"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
NOT_DEFINED = "n/a"
ANCHORS = ("jpeg", "webp", "avif", "vtm")
DRAWN_PUBLISHED = (*COMPRESSAI_MODELS, "vtm")
_UNDRAWN = ("jpeg-444", "avif-444", "jpeg-default", "webp-default")  # beside a curve that is all but the same
_QUALITIES = (28, 30, 32, 34, 36, 38, 40)
_HIGH = (40, 42, 44, 46)
_DRAWN_AT = {"screenshot": (32, 38, 1.0), "text": (26, 34, 1.0), "tiny": (24, 30, 4.0)}  # dB, dB, bits per pixel


@dataclass(frozen=True)
class Table:
    """Cells of text; the first column is left-aligned, and unless the others are `numbers`, so are they."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: bool = True


@dataclass(frozen=True)
class Figure:
    """A plot by the stem of its files."""

    stem: str
    caption: str


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, in order: paragraphs, tables, figures."""

    title: str
    parts: tuple[str | Table | Figure, ...]


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


# -- figures in tables -------------------------------------------------------------------------------------------


def percent(rate: float | None) -> str:
    """A BD-rate as text: -12.3 %, or n/a."""
    return NOT_DEFINED if rate is None else f"{rate:+.1f} %"


def number(value: float | None, digits: int = 2) -> str:
    """A number as text, or n/a."""
    return NOT_DEFINED if value is None else f"{value:.{digits}f}"


def _pictures(count: int) -> str:
    return f"{count} picture{'' if count == 1 else 's'}"


def label(name: str) -> str:
    """How a codec is called in text."""
    return LABELS.get(name, name)


def _ordered(names: Sequence[str]) -> list[str]:
    """Codecs as `LABELS` has them, without lossless ones."""
    order = list(LABELS)
    return sorted((name for name in names if name not in LOSSLESS), key=lambda name: (order.index(name), name)
                  if name in order else (len(order), name))


def lines_of(rows: Sequence[Row], metric: str) -> list[Line]:
    """The curves to draw for a dataset: those measured, and on Kodak the published ones beside them."""
    curves = mean_curves(rows, metric)
    lines = [Line(name, label(name), name in LEARNED, False, curves[name])
             for name in _ordered(list(curves)) if name not in _UNDRAWN]
    if is_kodak(rows):
        for name in DRAWN_PUBLISHED:
            entry = published()[name]
            if metric in entry.curves:
                lines.append(Line(name, entry.label, entry.learned, True, entry.curves[metric]))
    return lines


def _others(rows: Sequence[Row], metric: str) -> dict[str, tuple[str, Curve]]:
    """Measured codecs, and on Kodak published ones: key -> label and mean curve."""
    curves = mean_curves(rows, metric)
    found = {name: (label(name), curves[name]) for name in _ordered(list(curves))}
    if is_kodak(rows):
        for name, entry in published().items():
            if metric in entry.curves and name not in ("jpeg", "webp", "jpeg2000"):
                found[f"published {name}"] = (f"{entry.label} (published)", entry.curves[metric])
    return found


def against_table(rows: Sequence[Row], subject: str = SUBJECT) -> Table:
    """By how much `subject` needs more or fewer bits than each other codec at equal quality."""
    metrics = [metric for metric in METRICS if mean_curves(rows, metric).get(subject)]
    curves = {metric: _others(rows, metric) for metric in metrics}
    by_picture = picture_curves(rows, "psnr_rgb")
    names = {"psnr_y": "PSNR Y", "ms_ssim": "MS-SSIM", "ssimulacra2": "SSIMULACRA2", "lpips": "LPIPS"}
    head = ["compared with", "PSNR RGB", "(PCHIP)", "(mean of pictures)"]
    body = []
    for key, (name, anchor) in curves["psnr_rgb"].items():
        if key == subject:
            continue
        test = curves["psnr_rgb"][subject][1]
        mean, count = mean_of_pictures(by_picture.get(key, {}), by_picture[subject])
        body.append([name, percent(bd_rate(anchor, test)), percent(bd_rate(anchor, test, "pchip")),
                     "" if key not in by_picture else f"{percent(mean)} ({count})"])
        for metric in metrics[1:]:
            other = curves[metric].get(key)
            body[-1].append(percent(bd_rate(other[1], curves[metric][subject][1])) if other else "")
    return Table((*head, *(names[metric] for metric in metrics[1:])), tuple(tuple(cells) for cells in body))


def anchor_table(rows: Sequence[Row]) -> Table:
    """Every codec against a few that everybody knows, in PSNR."""
    curves = _others(rows, "psnr_rgb")
    keys = [next((key for key in (name, f"published {name}") if key in curves), None) for name in ANCHORS]
    anchors = [key for key in keys if key is not None]
    return Table(("codec", *(f"vs {curves[key][0]}" for key in anchors)), tuple(
        (name, *(percent(0.0 if key == anchor else bd_rate(curves[anchor][1], curve)) for anchor in anchors))
        for key, (name, curve) in curves.items()))


def rate_table(rows: Sequence[Row], qualities: Sequence[float]) -> Table:
    """Bits per pixel at given PSNR, and the best PSNR of the sweep."""
    curves = mean_curves(rows, "psnr_rgb")
    return Table(("codec", *(f"{quality} dB" for quality in qualities), "best of the sweep"), tuple(
        (label(name), *(number(rate_at(curves[name], quality), 3) for quality in qualities),
         f"{max(curves[name].quality):.1f} dB at {max(curves[name].rate):.2f} bpp")
        for name in _ordered(list(curves))))


# -- sections ----------------------------------------------------------------------------------------------------


def sections(results: Results) -> list[Section]:
    """The whole report."""
    found = []
    for dataset in results.photos:
        found += _photo_sections(results, dataset)
    found.append(Section("Where it loses", tuple(_losses(results))))
    if results.speed:
        found.append(Section("Speed", tuple(_speed(results.speed))))
    found.append(Section("How it was measured", tuple(_method(results))))
    return found


def _photo_sections(results: Results, dataset: str) -> list[Section]:
    rows = results.of(dataset)
    count = len({row.image for row in rows})
    first: list[str | Table | Figure] = []
    if any(row.codec == SUBJECT for row in rows):
        first.append("Bits that aecodec needs at equal quality, compared with each other codec (BD-rate; negative: "
                     "aecodec's files are smaller). Over mean curves with Akima interpolation; beside it PCHIP, and "
                     "the mean of the BD-rates of single pictures (of how many). n/a: the curves share too little.")
        first.append(against_table(rows))
    else:
        first.append("aecodec is not among these results: "
                     + results.record.get("missing", {}).get(SUBJECT, "it was not asked for") + ".")
    found = [Section(f"{dataset}: {_pictures(count)}", tuple(first))]
    figures = [Figure(figure_stem(dataset, metric), f"{plots.AXES[metric]}, mean over {_pictures(count)} of {dataset}")
               for metric in _drawn_metrics(rows)]
    found.append(Section(f"{dataset}: rate-distortion curves", (
        "Learned codecs solid, classic ones dashed" + ("; thin: published curves." if is_kodak(rows) else "."),
        *figures)))
    found.append(Section(f"{dataset}: all codecs", (
        "BD-rate in PSNR RGB, mean curves, Akima.", anchor_table(rows),
        "Bits per pixel at a mean PSNR RGB.", rate_table(rows, _QUALITIES))))
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
        worst = _worst_pictures(rows)
        if worst.rows:
            parts += [f"The pictures of {dataset} on which aecodec does worst: BD-rate in PSNR RGB.", worst]
        parts += [f"Median time in this sweep ({dataset}): one run each, other work beside it.", _sweep_times(rows)]
    drawn = [dataset for dataset in results.datasets if dataset in DRAWN]
    if drawn:
        parts += ["Pictures that are no photographs, drawn by the bench: screenshots, text, and tiny pictures (icons "
                  "and thumbnails). Bits per pixel at a mean PSNR RGB, and PSNR at a rate; in brackets the BD-rate of "
                  "aecodec against the codec."]
        parts += [_drawn_table(results.of(dataset), dataset) for dataset in drawn]
        smallest = _smallest_files(results.of("tiny"))
        if smallest.rows:
            parts += ["What a tiny picture costs at least: bytes of the smallest file in the sweep.", smallest]
    return parts


def _worst_pictures(rows: Sequence[Row], count: int = 5) -> Table:
    curves = picture_curves(rows, "psnr_rgb")
    ours = curves.get(SUBJECT, {})
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


def _sweep_times(rows: Sequence[Row]) -> Table:
    decode = {name: statistics.median(row.decode_s for row in rows if row.codec == name)
              for name in _ordered(sorted({row.codec for row in rows}))}
    encode = {name: statistics.median(row.encode_s for row in rows if row.codec == name) for name in decode}
    pixels = statistics.median(row.width * row.height for row in rows) / 1e6
    anchor = decode.get("avif")
    places = {row.codec: f"{row.device}, {row.threads} thread{'s' if row.threads > 1 else ''}" for row in rows}
    return Table(("codec", "encode MP/s", "decode MP/s", "decode time, AVIF = 1", "on"), tuple(
        (label(name), f"{pixels / encode[name]:.2f}", f"{pixels / decode[name]:.2f}",
         number(decode[name] / anchor if anchor else None, 1), places[name]) for name in decode))


def _drawn_table(rows: Sequence[Row], dataset: str) -> Table:
    low, high, rate = _DRAWN_AT[dataset]
    curves = mean_curves(rows, "psnr_rgb")
    ours = curves.get(SUBJECT)
    body = []
    for name in _ordered(list(curves)):
        curve = curves[name]
        against = f" ({percent(bd_rate(curve, ours))})" if ours and name != SUBJECT else ""
        body.append((label(name) + against, number(rate_at(curve, low), 3), number(rate_at(curve, high), 3),
                     number(quality_at(curve, rate), 1)))
    lossless = [row.bpp for row in rows if row.codec in LOSSLESS]
    if lossless:
        mean = f"{statistics.mean(lossless):.3f}"
        body.append(("WebP lossless", mean, mean, "lossless"))
    count = len({row.image for row in rows})
    return Table((f"{dataset} ({count})", f"bpp at {low} dB", f"bpp at {high} dB", f"dB at {rate:g} bpp"), tuple(body))


def _smallest_files(rows: Sequence[Row]) -> Table:
    images = sorted({(row.width * row.height, row.image, row.width, row.height) for row in rows})
    codecs = _ordered(sorted({row.codec for row in rows}))
    body = []
    for name in codecs:
        smallest = []
        for _, image, _, _ in images:
            sizes = [row.bytes for row in rows if row.codec == name and row.image == image]
            smallest.append(str(min(sizes)) if sizes else NOT_DEFINED)
        body.append((label(name), *smallest))
    return Table(("codec", *(f"{image} ({width}x{height})" for _, image, width, height in images)), tuple(body))


def _speed(speed: Sequence[dict[str, str]]) -> list[str | Table | Figure]:
    first = speed[0]
    parts: list[str | Table | Figure] = [
        f"Medians after a warm-up, every codec and size in a process of its own, on {first['machine']}; "
        f"{first['threads']} thread(s). Peak memory is that of the whole process, Python and libraries included."]
    sizes = sorted({float(row["megapixels"]) for row in speed if row["megapixels"]})
    names = list(dict.fromkeys(row["codec"] for row in speed))
    cells = {(row["codec"], row["stage"], float(row["megapixels"])): row for row in speed if row["megapixels"]}
    for stage, title in (("encode", "Encoding"), ("decode", "Decoding")):
        body = []
        for name in names:
            texts = []
            for size in sizes:
                texts.append(_speed_cell(cells.get((name, stage, size))))
            device = next(row["device"] for row in speed if row["codec"] == name)
            body.append((label(name) + (f" ({device})" if name in LEARNED else ""), *texts))
        parts += [f"{title}: megapixels per second (peak memory).",
                  Table(("codec", *(f"{size:.1f} MP" for size in sizes)), tuple(body))]
    smallest = sizes[0] if sizes else 0.0
    stages = [row for row in speed if row["codec"] in LEARNED and row["seconds"] and (
        row["stage"] == "load" or (":" in row["stage"] and float(row["megapixels"] or 0) == smallest))]
    if stages:
        parts += [f"Where the time goes: loading (libraries and model), and the stages at {smallest:.1f} MP.",
                  Table(("codec", "stage", "ms"), tuple(
                      (label(row["codec"]), row["stage"].replace(":", ": "), f"{1000 * float(row['seconds']):.1f}")
                      for row in stages))]
    return parts


def _speed_cell(row: dict[str, str] | None) -> str:
    if row is None or row["note"]:
        return row["note"] if row else ""
    memory = f" ({float(row['peak_mb']):.0f} MB)" if row["peak_mb"] else ""
    return f"{float(row['mp_per_s']):.2f}{memory}"


def _method(results: Results) -> list[str | Table | Figure]:
    record = results.record
    versions = {row.codec: row.version for row in results.rows}
    parts: list[str | Table | Figure] = [
        "Every codec is charged the bytes of its whole file and decoded from those bytes alone. Metadata is removed "
        "first; every picture is 8-bit RGB. PSNR is that of each picture's mean squared error on 8-bit samples, then "
        "the mean over pictures; Y is BT.601 luma; MS-SSIM is averaged over pictures and put in dB for curves.",
        f"Measured on {record.get('machine', 'an unknown machine')}, Python {record.get('python', '?')}, "
        f"{record.get('date', 'at an unknown date')}.",
        Table(("codec", "version"), tuple((label(name), versions[name]) for name in [
            *_ordered(list(versions)), *(name for name in versions if name in LOSSLESS)]), numbers=False),
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


# -- Markdown ----------------------------------------------------------------------------------------------------


def markdown_table(table: Table) -> str:
    """A table as GitHub's Markdown."""
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = "|---" + ("|---:" if table.numbers else "|---") * (len(table.head) - 1) + "|"
    return "\n".join([line(table.head), rule, *map(line, table.rows)])


def markdown(found: Sequence[Section]) -> str:
    """The report as Markdown, beside its figures."""
    blocks = ["# aecodec against other codecs"]
    for section in found:
        blocks.append(f"## {section.title}")
        for part in section.parts:
            if isinstance(part, Table):
                blocks.append(markdown_table(part))
            elif isinstance(part, Figure):
                blocks.append(f"![{part.caption}]({part.stem}.svg)")
            else:
                blocks.append(part)
    return "\n\n".join(blocks) + "\n"


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
    return [metric for metric in METRICS if metric != "psnr_y" and mean_curves(rows, metric)]


# -- the README --------------------------------------------------------------------------------------------------


def readme_block(results: Results, folder: str) -> str:
    """What stands between the README's markers: the table against other codecs on the first dataset, and its figure.

    Args:
        folder: the results' folder as the README links to it.

    Raises ValueError if aecodec is not among the results.
    """
    if not results.photos:
        raise ValueError("the results have no photographs; run `aecodec bench FOLDER` with a folder of them")
    dataset = results.photos[0]
    rows = results.of(dataset)
    if not any(row.codec == SUBJECT for row in rows):
        raise ValueError(f"the results on {dataset} have no rows of {SUBJECT}; run `aecodec bench FOLDER` again")
    table = against_table(rows)
    keep = [n for n, name in enumerate(table.head) if name not in ("(PCHIP)", "(mean of pictures)")]
    short = Table(tuple(table.head[n] for n in keep), tuple(tuple(row[n] for n in keep) for row in table.rows))
    count = len({row.image for row in rows})
    return "\n\n".join([
        f"Bits that aecodec needs compared with other codecs at equal quality, on the {count} pictures of "
        f"{dataset} (BD-rate over mean curves, whole files, 8-bit pixels; negative: aecodec's files are smaller):",
        markdown_table(short),
        f"![Rate-distortion curves on {dataset}]({folder}/{figure_stem(dataset, 'psnr_rgb')}.svg)",
        f"The whole report, with what it loses on: [{folder}/{MARKDOWN}]({folder}/{MARKDOWN}). Measured with "
        f"`aecodec bench FOLDER --out {folder}`; written here with `aecodec bench report {folder} --readme "
        "README.md`."])


def block_in(text: str) -> str | None:
    """What stands between the markers of a README; None without markers."""
    if BEGIN not in text or END not in text:
        return None
    return text.split(BEGIN, 1)[1].split(END, 1)[0].strip("\n")


def write_readme(path: Path, results: Results, out: Path) -> None:
    """Put the results between the README's markers. Raises ValueError if it has none."""
    text = path.read_text(encoding="utf-8")
    if block_in(text) is None:
        raise ValueError(f"{path} has no place for the results; add the lines {BEGIN} and {END} where they belong")
    folder = Path(os.path.relpath(out.resolve(), path.resolve().parent)).as_posix()
    before, after = text.split(BEGIN, 1)[0], text.split(END, 1)[1]
    block = readme_block(results, folder)
    path.write_text(f"{before}{BEGIN}\n{block}\n{END}{after}", encoding="utf-8")
