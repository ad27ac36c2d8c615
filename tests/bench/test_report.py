from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from aecodec.bench import plots, report, speed, table
from aecodec.bench.bdrate import published
from aecodec.bench.report import BEGIN, END, Results, Section, Table
from aecodec.bench.sweep import TABLE, read_record
from aecodec.bench.table import Row

from .conftest import make_curve_rows

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "bench" / "results"


def results_of(rows: list[Row], **record: object) -> Results:
    return Results(rows, dict(record), [])


def cells(found: Table, first: str) -> tuple[str, ...]:
    return next(row for row in found.rows if row[0].startswith(first))


def test_the_table_against_others(results_rows: list[Row]) -> None:
    photos = results_of(results_rows).of("photos")
    found = report.against_table(photos)
    assert found.head == ("compared with", "PSNR RGB", "(PCHIP)", "(mean of pictures)", "PSNR Y", "MS-SSIM")
    assert cells(found, "JPEG") == ("JPEG 4:2:0", "-20.0 %", "-20.0 %", "-20.0 % (2)", "-20.0 %", "-20.0 %")
    assert cells(found, "WebP")[1] == "-11.1 %"
    assert len(found.rows) == 2, "neither aecodec itself nor a lossless codec"


def test_published_curves_stand_beside_a_whole_kodak() -> None:
    names = tuple(f"kodim{n:02d}" for n in range(1, 25))
    rows = [row for codec, factor in (("jpeg", 1.0), ("aecodec", 0.8))
            for row in make_curve_rows(codec, factor, names, "kodak")]
    found = report.against_table(rows)
    assert cells(found, "VTM 9.1 (VVC) (published)")[3] == ""
    drawn = {line.name: line for line in report.lines_of(rows, "psnr_rgb")}
    assert {"vtm", "mbt2018-mean", "cheng2020-anchor"} <= set(drawn)
    assert (drawn["vtm"].published, drawn["vtm"].learned) == (True, False)
    assert (drawn["aecodec"].published, drawn["aecodec"].learned) == (False, True)
    text = report.markdown(report.sections(results_of(rows)))
    for entry in published().values():
        assert entry.source in text


def test_the_losses_are_told(results_rows: list[Row]) -> None:
    text = report.markdown(report.sections(results_of(results_rows)))
    assert "## Where it loses" in text
    assert "| AVIF 4:2:0 (+300.0 %) |" in text, "on screenshots aecodec needs 4 times the bits of AVIF"
    assert "WebP needs 11.00 bits per pixel" in text


def test_what_is_missing_is_named(results_rows: list[Row]) -> None:
    rows = [row for row in results_rows if row.codec != "aecodec"]
    text = report.markdown(report.sections(results_of(
        rows, missing={"aecodec": "no weights", "jxl": "pip install it"}, left_out={"notes.txt": "no picture"},
        failures={"photos/a heic 5": "RuntimeError: odd"})))
    for expected in ("aecodec is not among these results: no weights", "jxl (pip install it)",
                     "notes.txt (no picture)", "photos/a heic 5 (RuntimeError: odd)"):
        assert expected in text


def test_markdown_tables_escape_bars() -> None:
    text = report.markdown_table(Table(("a", "b"), (("x|y", "1"),)))
    assert text == "| a | b |\n|---|---:|\n| x\\|y | 1 |"


def test_speed_is_reported(results_rows: list[Row], tmp_path: Path) -> None:
    whole = speed.Measurement("aecodec", "v1", "32", "encode", 768, 512, 0.393, 0.2, 0.19, 0.21, 7, 1.97, 700.0, 0.5,
                              "cpu", 2, "a machine")
    rows = [replace(whole, stage="load", width=None, height=None, megapixels=None, seconds=1.5, mp_per_s=None),
            whole, replace(whole, stage="encode:entropy", seconds=0.0125, mp_per_s=None, peak_mb=None),
            replace(whole, stage="decode", seconds=None, mp_per_s=None, peak_mb=None, note="skipped (about 99 s)")]
    speed.write(tmp_path / report.SPEED, rows)
    found = report.sections(Results(results_rows, {}, report.read_speed(tmp_path / report.SPEED)))
    text = report.markdown([section for section in found if section.title == "Speed"])
    for expected in ("on a machine; 2 thread(s)", "| aecodec (cpu) | 1.97 (700 MB) |",
                     "| aecodec (cpu) | skipped (about 99 s) |", "| aecodec | load | 1500.0 |",
                     "| aecodec | encode: entropy | 12.5 |"):
        assert expected in text


def test_figures_carry_what_they_are_made_of(results_rows: list[Row], tmp_path: Path) -> None:
    results = results_of(results_rows)
    made = report.save_figures(results, tmp_path)
    assert set(made) == {"rd_photos_psnr_rgb", "rd_photos_ms_ssim"} == set(report.figure_lines(results))
    for stem, lines in report.figure_lines(results).items():
        assert plots.digest_in((tmp_path / f"{stem}.svg").read_text()) == plots.digest(lines)
        assert (tmp_path / f"{stem}.png").stat().st_size > 10_000
        assert 'id="line:aecodec"' in made[stem]
    photos = results.of("photos")
    changed = [replace(row, psnr_rgb=row.psnr_rgb + 0.01) if row.codec == "webp" else row for row in photos]
    assert plots.digest(report.lines_of(changed, "psnr_rgb")) != plots.digest(report.lines_of(photos, "psnr_rgb"))


def test_figures_are_the_same_bytes_each_time(results_rows: list[Row], tmp_path: Path) -> None:
    first = report.save_figures(results_of(results_rows), tmp_path)
    assert report.save_figures(results_of(results_rows), tmp_path) == first


def test_learned_codecs_are_solid_and_classic_ones_dashed(results_rows: list[Row]) -> None:
    figure = plots.draw(report.lines_of(results_of(results_rows).of("photos"), "psnr_rgb"), "psnr_rgb", "title")
    styles = {line.get_label(): line.get_linestyle() for line in figure.axes[0].get_lines()}
    assert styles == {"aecodec": "-", "JPEG 4:2:0": "--", "WebP": "--"}


def test_the_readme_gets_its_block(results_rows: list[Row], tmp_path: Path) -> None:
    readme, out = tmp_path / "README.md", tmp_path / "bench" / "results"
    out.mkdir(parents=True)
    readme.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nThe end.\n")
    results = results_of(results_rows)
    report.write_readme(readme, results, out)
    text = readme.read_text()
    assert text.startswith("# Title\n")
    assert text.endswith("\n\nThe end.\n")
    assert "old" not in text
    assert "| JPEG 4:2:0 | -20.0 % | -20.0 % | -20.0 % |" in text
    assert "(bench/results/rd_photos_psnr_rgb.svg)" in text
    assert report.block_in(text) == report.readme_block(results, "bench/results")
    report.write_readme(readme, results, out)
    assert readme.read_text() == text


def test_a_readme_without_a_place_is_an_error(results_rows: list[Row], tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# Title\n")
    with pytest.raises(ValueError, match="add the lines <!-- results:begin -->"):
        report.write_readme(readme, results_of(results_rows), tmp_path)
    with pytest.raises(ValueError, match="no rows of aecodec"):
        report.readme_block(results_of([row for row in results_rows if row.codec != "aecodec"]), "results")


def test_the_readme_agrees_with_the_committed_results() -> None:
    rows = table.read(COMMITTED / TABLE)
    if not rows:
        pytest.skip("no results are committed")
    results = Results(rows, read_record(COMMITTED), report.read_speed(COMMITTED / report.SPEED))
    again = "run `aecodec bench report bench/results --readme README.md`"
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert report.block_in(text) == report.readme_block(results, "bench/results"), again
    for stem, lines in report.figure_lines(results).items():
        svg = (COMMITTED / f"{stem}.svg").read_text(encoding="utf-8")
        assert plots.digest_in(svg) == plots.digest(lines), f"{stem}.svg is stale: {again}"
    assert (COMMITTED / report.MARKDOWN).read_text(encoding="utf-8") == report.markdown(report.sections(results)), again


def test_sections_keep_their_order(results_rows: list[Row]) -> None:
    found: list[Section] = report.sections(results_of(results_rows))
    assert [section.title for section in found] == [
        "photos: 2 pictures", "photos: rate-distortion curves", "photos: all codecs", "Where it loses",
        "How it was measured"]
