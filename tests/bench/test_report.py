from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from aecodec.bench import document, plots, report, speed, tables
from aecodec.bench.bdrate import published
from aecodec.bench.document import Section, Table
from aecodec.bench.report import Results
from aecodec.bench.table import Row

from .conftest import make_curve_rows


def results_of(rows: list[Row], **record: object) -> Results:
    return Results(rows, dict(record), [])


def cells(found: Table, first: str) -> tuple[str, ...]:
    return next(row for row in found.rows if row[0].startswith(first))


def test_the_table_against_others(results_rows: list[Row]) -> None:
    photos = results_of(results_rows).of("photos")
    found = tables.against_table(photos, "aecodec-small")
    assert found.head == ("compared with", "PSNR RGB", "(PCHIP)", "(mean of pictures)", "PSNR Y", "MS-SSIM",
                          "butteraugli")
    assert cells(found, "JPEG") == ("JPEG 4:2:0", "-20.0 %", "-20.0 %", "-20.0 % (2)", "-20.0 %", "-20.0 %",
                                    "-20.0 %")
    assert cells(found, "WebP")[1] == "-11.1 %"
    assert len(found.rows) == 2, "neither aecodec itself nor a lossless codec"


def test_every_model_has_its_table_the_default_one_first(results_rows: list[Row]) -> None:
    rows = [*results_rows, *make_curve_rows("aecodec-alpha", 0.4)]
    photos = results_of(rows).of("photos")
    assert tables.subjects(photos) == ["aecodec-small", "aecodec-alpha"]
    assert cells(tables.against_table(photos, "aecodec-alpha"), "aecodec (small)")[1] == "-50.0 %"
    assert cells(tables.against_table(photos, "aecodec-small"), "aecodec (alpha)")[1] == "+100.0 %"
    text = document.markdown(report.sections(results_of(rows)))
    assert text.index("Bits that aecodec (small) needs") < text.index("Bits that aecodec (alpha) needs")
    colours = {line.get_label(): line.get_color() for line in
               plots.draw(report.lines_of(photos, "psnr_rgb"), "psnr_rgb", "title").axes[0].get_lines()}
    assert len(set(colours.values())) == len(colours) == 4


def test_a_model_that_lacks_a_picture_has_no_table(results_rows: list[Row]) -> None:
    rows = [*results_rows, *make_curve_rows("aecodec-alpha", 0.4, ("a",))]
    assert tables.subjects(results_of(rows).of("photos")) == ["aecodec-small"]
    only = [row for row in rows if row.codec != "aecodec-small"]
    text = document.markdown(report.sections(results_of(only)))
    assert "aecodec is not among these results: it was not measured on all of the pictures" in text


def test_a_codec_without_a_metric_has_an_empty_cell(results_rows: list[Row]) -> None:
    rows = [*results_rows, *(replace(row, codec="heic", metrics={"psnr_rgb": row.metrics["psnr_rgb"]})
                             for row in results_rows if row.codec == "webp" and row.dataset == "photos")]
    found = tables.against_table(results_of(rows).of("photos"), "aecodec-small")
    assert cells(found, "HEIC")[4:] == ("", "", "")
    assert cells(found, "WebP")[6] == "-11.1 %"


def test_published_curves_stand_beside_a_whole_kodak() -> None:
    names = tuple(f"kodim{n:02d}" for n in range(1, 25))
    rows = [row for codec, factor in (("jpeg", 1.0), ("aecodec-small", 0.8))
            for row in make_curve_rows(codec, factor, names, "kodak")]
    found = tables.against_table(rows, "aecodec-small")
    assert cells(found, "VTM 9.1 (VVC) (published)")[3] == ""
    drawn = {line.name: line for line in report.lines_of(rows, "psnr_rgb")}
    assert {"vtm", "mbt2018-mean", "cheng2020-anchor"} <= set(drawn)
    assert (drawn["vtm"].published, drawn["vtm"].learned) == (True, False)
    assert (drawn["aecodec-small"].published, drawn["aecodec-small"].learned) == (False, True)
    text = document.markdown(report.sections(results_of(rows)))
    for entry in published().values():
        assert entry.source in text


def test_the_losses_are_told(results_rows: list[Row]) -> None:
    text = document.markdown(report.sections(results_of(results_rows)))
    assert "## Where it loses" in text
    assert "| AVIF 4:2:0 (+300.0 %) |" in text, "on screenshots aecodec needs 4 times the bits of AVIF"
    assert "WebP needs 11.00 bits per pixel" in text


def test_what_is_missing_is_named(results_rows: list[Row]) -> None:
    rows = [row for row in results_rows if row.codec != "aecodec-small"]
    text = document.markdown(report.sections(results_of(
        rows, missing={"aecodec-small": "no weights", "jxl": "pip install it"}, left_out={"notes.txt": "no picture"},
        failures={"photos/a heic 5": "RuntimeError: odd"})))
    for expected in ("aecodec is not among these results: no weights", "jxl (pip install it)",
                     "notes.txt (no picture)", "photos/a heic 5 (RuntimeError: odd)"):
        assert expected in text


def test_markdown_tables_escape_bars() -> None:
    text = document.markdown_table(Table(("a", "b"), (("x|y", "1"),)))
    assert text == "| a | b |\n|---|---:|\n| x\\|y | 1 |"


def test_speed_is_reported(results_rows: list[Row], tmp_path: Path) -> None:
    whole = speed.Measurement("aecodec-small", "v1", "32", "encode", 768, 512, 0.393, 0.2, 0.19, 0.21, 7, 1.97, 700.0,
                              0.5, "cpu", 2, "a machine")
    rows = [replace(whole, stage="load", width=None, height=None, megapixels=None, seconds=1.5, mp_per_s=None),
            whole, replace(whole, stage="encode:entropy", seconds=0.0125, mp_per_s=None, peak_mb=None),
            replace(whole, stage="decode", seconds=None, mp_per_s=None, peak_mb=None, note="skipped (about 99 s)")]
    speed.write(tmp_path / report.SPEED, rows)
    found = report.sections(Results(results_rows, {}, report.read_speed(tmp_path / report.SPEED)))
    text = document.markdown([section for section in found if section.title == "Speed"])
    for expected in ("on a machine; 2 thread(s)", "| aecodec (small) | 1.97 (700 MB) |",
                     "| aecodec (small) | skipped (about 99 s) |", "| aecodec (small) | load | 1500.0 |",
                     "| aecodec (small) | encode: entropy | 12.5 |"):
        assert expected in text


def test_figures_carry_what_they_are_made_of(results_rows: list[Row], tmp_path: Path) -> None:
    results = results_of(results_rows)
    made = report.save_figures(results, tmp_path)
    assert set(made) == set(report.figure_lines(results))
    assert set(made) == {"rd_photos_psnr_rgb", "rd_photos_ms_ssim", "rd_photos_butteraugli"}
    for stem, lines in report.figure_lines(results).items():
        assert plots.digest_in((tmp_path / f"{stem}.svg").read_text()) == plots.digest(lines)
        assert (tmp_path / f"{stem}.png").stat().st_size > 10_000
        assert 'id="line:aecodec-small"' in made[stem]
    photos = results.of("photos")
    changed = [replace(row, metrics={"psnr_rgb": row.metrics["psnr_rgb"] + 0.01}) if row.codec == "webp" else row
               for row in photos]
    assert plots.digest(report.lines_of(changed, "psnr_rgb")) != plots.digest(report.lines_of(photos, "psnr_rgb"))


def test_figures_are_the_same_bytes_each_time(results_rows: list[Row], tmp_path: Path) -> None:
    first = report.save_figures(results_of(results_rows), tmp_path)
    assert report.save_figures(results_of(results_rows), tmp_path) == first


def test_learned_codecs_are_solid_and_classic_ones_dashed(results_rows: list[Row]) -> None:
    figure = plots.draw(report.lines_of(results_of(results_rows).of("photos"), "psnr_rgb"), "psnr_rgb", "title")
    styles = {line.get_label(): line.get_linestyle() for line in figure.axes[0].get_lines()}
    assert styles == {"aecodec (small)": "-", "JPEG 4:2:0": "--", "WebP": "--"}


def test_sections_keep_their_order(results_rows: list[Row]) -> None:
    found: list[Section] = report.sections(results_of(results_rows))
    assert [section.title for section in found] == [
        "photos: 2 pictures", "photos: rate-distortion curves", "photos: all codecs", "Where it loses",
        "How it was measured"]
