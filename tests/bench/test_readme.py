"""The README's share of the report, and that the committed one is up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

from aecodec.bench import document, plots, readme, report, table
from aecodec.bench.readme import BEGIN, END
from aecodec.bench.report import Results
from aecodec.bench.sweep import TABLE, read_record
from aecodec.bench.table import Row

from .conftest import make_curve_rows

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "bench" / "results"


def test_the_readme_gets_its_block(results_rows: list[Row], tmp_path: Path) -> None:
    path, out = tmp_path / "README.md", tmp_path / "bench" / "results"
    out.mkdir(parents=True)
    path.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nThe end.\n")
    results = Results(results_rows, {}, [])
    readme.write_readme(path, results, out)
    text = path.read_text()
    assert text.startswith("# Title\n")
    assert text.endswith("\n\nThe end.\n")
    assert "old" not in text
    assert "| compared with | PSNR RGB | butteraugli | MS-SSIM |" in text, "metrics that were measured, in this order"
    assert "| JPEG 4:2:0 | -20.0 % | -20.0 % | -20.0 % |" in text
    assert "(bench/results/rd_photos_psnr_rgb.svg)" in text
    assert readme.block_in(text) == readme.readme_block(results, "bench/results")
    readme.write_readme(path, results, out)
    assert path.read_text() == text


def test_a_readme_without_a_place_is_an_error(results_rows: list[Row], tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("# Title\n")
    with pytest.raises(ValueError, match="add the lines <!-- results:begin -->"):
        readme.write_readme(path, Results(results_rows, {}, []), tmp_path)
    with pytest.raises(ValueError, match="no curve of aecodec"):
        readme.readme_block(Results([row for row in results_rows if row.codec != "aecodec-small"], {}, []), "results")


def test_its_table_has_the_codecs_that_people_can_install() -> None:
    """At most ten, and neither networks nor published curves."""
    names = tuple(f"kodim{n:02d}" for n in range(1, 25))
    codecs = ("aecodec-small", "aecodec-other", "jpeg", "jpeg-444", "jpegli", "webp", "avif", "avif-444", "heic", "jxl",
              "jpeg2000", "compressai-mbt2018", "webp-lossless")
    rows = [row for codec in codecs for row in make_curve_rows(codec, 1.0, names, "kodak")]
    lines = [line for line in readme.readme_block(Results(rows, {}, []), "results").splitlines() if line[:1] == "|"]
    assert len(lines) == 2 + 9
    assert not any("published" in line or "mbt2018" in line or "aecodec" in line for line in lines)


def test_the_readme_agrees_with_the_committed_results() -> None:
    rows = table.read(COMMITTED / TABLE)
    if not rows:
        pytest.skip("no results are committed")
    results = Results(rows, read_record(COMMITTED), report.read_speed(COMMITTED / report.SPEED))
    again = "run `aecodec bench report bench/results --readme README.md`"
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.block_in(text) == readme.readme_block(results, "bench/results"), again
    for stem, lines in report.figure_lines(results).items():
        svg = (COMMITTED / f"{stem}.svg").read_text(encoding="utf-8")
        assert plots.digest_in(svg) == plots.digest(lines), f"{stem}.svg is stale: {again}"
    written = (COMMITTED / report.MARKDOWN).read_text(encoding="utf-8")
    assert written == document.markdown(report.sections(results)), again
