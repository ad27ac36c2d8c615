"""The README's share of a report: a short table and a figure between two markers."""

from __future__ import annotations

import os
from pathlib import Path

from .bdrate import mean_curves
from .codecs import OURS_PREFIX
from .document import markdown_table
from .report import MARKDOWN, Results, figure_stem
from .tables import short_table, subjects

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
METRICS = ("psnr_rgb", "ssimulacra2", "butteraugli", "cvvdp", "ms_ssim")
FIGURES = ("ssimulacra2", "psnr_rgb")  # the first of them that was measured


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
    subject = next(iter(subjects(rows)), None)
    if subject is None:
        raise ValueError(f"the results on {dataset} have no curve of aecodec over all its pictures; run `aecodec bench "
                         "FOLDER` again")
    measured = [metric for metric in METRICS if subject in mean_curves(rows, metric)]
    table = short_table(rows, subject, measured)
    figure = next(metric for metric in FIGURES if metric in measured)
    count = len({row.image for row in rows})
    return "\n\n".join([
        f"Bits that aecodec needs compared with other codecs at equal quality, on the {count} pictures of "
        f"{dataset} (BD-rate over mean curves, whole files, 8-bit pixels; negative: aecodec's files are smaller; "
        f"empty: not measured; model `{subject.removeprefix(OURS_PREFIX)}`):",
        markdown_table(table),
        f"![Rate-distortion curves on {dataset}]({folder}/{figure_stem(dataset, figure)}.svg)",
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
