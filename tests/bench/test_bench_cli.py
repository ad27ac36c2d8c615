from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aecodec.bench import sweep, table
from aecodec.bench.cli import bench
from aecodec.bench.drawings import photograph

FEW = ["--codecs", "jpeg,webp", "--jobs", "1", "--no-drawn", "--metrics", "ssimulacra2"]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(bench, [str(argument) for argument in arguments])


def test_a_folder_alone_is_swept_and_reported(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = call(folder, "--out", tmp_path / "out", *FEW)
    assert result.exit_code == 0, result.output
    assert "left out: broken.png" in result.output
    assert "44 rows measured, 0 were there" in result.output
    assert all(set(row.metrics) == {"psnr_rgb", "ssimulacra2"} for row in table.read(tmp_path / "out" / sweep.TABLE))
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        "results.csv", "run.json", "report.md", "report.html", "comparison.json", "rd_photos_psnr_rgb.png",
        "rd_photos_psnr_rgb.svg"}
    assert "broken.png" in (tmp_path / "out" / "report.md").read_text()
    again = call(folder, "--out", tmp_path / "out", *FEW, "--no-page")
    assert "0 rows measured, 44 were there" in again.output


def test_the_report_is_written_again_from_the_table(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert call(folder, "--out", out, *FEW, "--quick", "--no-page", "--name", "mine").exit_code == 0
    first = (out / "report.md").read_bytes()
    (out / "report.md").unlink()
    result = call("report", out)
    assert result.exit_code == 0, result.output
    assert (out / "report.md").read_bytes() == first
    assert b"mine: 2 pictures" in first
    assert not (out / "comparison.json").exists()
    assert call("report", out, "--pictures", folder, "--codecs", "jpeg").exit_code == 0
    assert (out / "comparison.json").exists()


def test_without_a_folder_the_drawn_pictures_are_measured(tmp_path: Path) -> None:
    result = call("--out", tmp_path, "--codecs", "jpeg", "--jobs", "1", "--quick", "--no-page")
    assert result.exit_code == 0, result.output
    assert {row.dataset for row in table.read(tmp_path / sweep.TABLE)} == {"screenshot", "tiny"}


def test_a_codec_that_is_missing_is_said_and_reported(folder: Path, tmp_path: Path) -> None:
    result = call(folder, "--out", tmp_path, "--codecs", "jpeg,aecodec-mine", "--quick", "--no-page", "--no-drawn",
                  "--jobs", "1")
    assert result.exit_code == 0, result.output
    assert "not measured: aecodec-mine: " in result.output
    assert "aecodec is not among these results: no model named mine" in (tmp_path / "report.md").read_text()


def test_judges_that_are_missing_are_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pycvvdp" else find(name))
    result = call(folder, "--out", tmp_path, "--codecs", "jpeg", "--jobs", "1", "--no-drawn", "--no-page",
                  "--settings", 2)
    assert result.exit_code == 0, result.output
    text = (tmp_path / "report.md").read_text()
    for line in ("cvvdp: not installed: pip install cvvdp", "butteraugli: no program butteraugli_main: install"):
        assert f"not measured: {line}" in result.output
        assert line.replace(": ", " (", 1) in text
    rows = table.read(tmp_path / sweep.TABLE)
    assert len(rows) == 4
    assert all(set(row.metrics) == {"psnr_rgb", "psnr_y", "ssimulacra2"} for row in rows), "too small for MS-SSIM"


def test_two_models_stand_in_one_table(folder: Path, tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    from aecodec import models

    path = models.find("small").path
    with safe_open(str(path), framework="numpy") as file:
        save_file(load_file(path), tmp_path / "mine.safetensors", {**file.metadata(), "name": "mine"})
    for given in ([], ["--model", tmp_path / "mine.safetensors"]):
        result = call(folder, "--out", tmp_path / "out", "--codecs", "aecodec", "--jobs", "1", "--no-drawn",
                      "--no-page", "--settings", 4, "--metrics", "psnr_rgb", "--device", "cpu", *given)
        assert result.exit_code == 0, result.output
    rows = table.read(tmp_path / "out" / sweep.TABLE)
    by_codec = {codec: [(row.image, row.setting, row.bytes) for row in rows if row.codec == codec]
                for codec in ("aecodec-small", "aecodec-mine")}
    assert len(by_codec["aecodec-small"]) == 8
    assert by_codec["aecodec-small"] == by_codec["aecodec-mine"]
    assert "Bits that aecodec (mine) needs" in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.parametrize(("arguments", "message"), [
    (["--codecs", "gif", "--no-drawn"], "no codec named gif; choose from aecodec"),
    (["--no-drawn", "--codecs", "jpeg"], "holds no picture that can be read"),
    (["--codecs", "jpeg", "--name", "text"], "text is the name of a drawn dataset; choose another with --name"),
    (["--compressai", "mbt2018:4"], "expected ARCHITECTURE:QUALITY:FILE"),
    (["--model", "nowhere"], "no model named nowhere"),
    (["--model", "small", "--model", "small"], "both named small; export one of them under another name"),
    (["--metrics", "ssim"], "no metric named ssim; choose from psnr_rgb, psnr_y"),
])
def test_mistakes_are_explained(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = call(tmp_path / "empty", "--out", tmp_path / "out", *arguments)
    assert result.exit_code != 0
    assert message in " ".join(result.output.split())
    assert isinstance(result.exception, SystemExit)


def test_random_weights_are_not_swept(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("compressai")
    result = call(folder, "--out", tmp_path, "--codecs", "compressai-bmshj2018-factorized")
    assert result.exit_code == 1
    assert "would have random weights; give a checkpoint with --compressai" in result.output


def test_a_report_without_results_says_how_to_get_them(tmp_path: Path) -> None:
    result = call("report", tmp_path)
    assert result.exit_code == 1
    assert f"no results in {tmp_path}; run `aecodec bench FOLDER" in result.output


@pytest.mark.parametrize("arguments", [["."], ["report", "."], ["speed"]])
def test_the_missing_extra_is_named(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bjontegaard" else find(name))
    result = call(*arguments)
    assert result.exit_code == 1
    assert "missing: bjontegaard" in result.output
    assert "pip install aecodec[bench]" in result.output


def test_speed_writes_its_table(tmp_path: Path) -> None:
    result = call("speed", "--out", tmp_path, "--codecs", "jpeg", "--largest", "0.4", "--runs", "1", "--threads", "1")
    assert result.exit_code == 0, result.output
    assert "1 thread(s), device cpu" in result.output or "device cuda" in result.output
    assert re.search(r"jpeg +768x512 +encode [\d.]+ MP/s, \d+ MB, decode [\d.]+ MP/s", result.output)
    assert (tmp_path / "speed.csv").read_text().count("\njpeg,") == 5
    assert "JPEG 4:2:0, Pillow" in result.output
    assert "| aecodec |" in (tmp_path / "speed.md").read_text()


def test_graphics_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aecodec.bench import graphics

    pictures = {"pixel art": lambda: graphics.pixel_art(1), "a photograph": lambda: photograph(96, 64)}
    monkeypatch.setattr(graphics, "GRAPHICS", pictures)
    result = call("graphics", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    art, photo = (tmp_path / "graphics.md").read_text().splitlines()[-2:]
    assert art.startswith("| pixel art | ")
    assert art.endswith(" without loss |")
    assert photo.endswith(" lossy |")
    numbers = [int(cell.replace(",", "")) for cell in photo.split(" | ")[1:-1] if cell != "none"]
    png, webp, _, lossy, *others = numbers
    assert png > webp > lossy
    assert all(webp > other > lossy / 2 for other in others)


def test_kernels_are_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aecodec.bench import kernels

    given: list[tuple[object, ...]] = []
    monkeypatch.setattr(kernels, "run", lambda output, **options: given.append((output, options)))
    assert call("kernels", "--out", tmp_path / "new").exit_code == 0
    assert call("kernels", "--out", tmp_path, "--sizes", "96x64,48x32", "--repeats", "3").exit_code == 0
    assert given == [(tmp_path / "new" / "kernels.csv", {}),
                     (tmp_path / "kernels.csv", {"sizes": ["96x64", "48x32"], "repeats": 3})]
    assert (tmp_path / "new").is_dir()


def test_help_imports_nothing_heavy() -> None:
    code = ("import sys; from aecodec.bench.cli import bench; "
            "bench(['--help'], standalone_mode=False); "
            "print([name for name in ('torch', 'matplotlib', 'scipy', 'PIL') if name in sys.modules])")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                           env={"PYTHONPATH": ":".join(sys.path), "PATH": ""})
    assert found.stdout.rstrip().endswith("[]")
    for command in ("sweep", "report", "sheets", "speed", "kernels"):
        assert command in found.stdout
