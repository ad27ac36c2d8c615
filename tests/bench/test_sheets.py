"""The sheets of crops: where they look, that files are of equal size, and the command."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from aecodec.bench import sheets
from aecodec.bench.cli import bench
from aecodec.bench.codecs import Options, open_codec
from aecodec.bench.drawings import photograph


def call(*arguments: object) -> Result:
    return CliRunner().invoke(bench, ["sheets", *map(str, arguments)])


@pytest.mark.parametrize(("top", "left"), [(0, 0), (104, 200), (160, 256)])
def test_the_crop_lies_where_the_detail_is(top: int, left: int) -> None:
    picture = np.full((256, 352, 3), 120, np.uint8)
    picture[top:top + 96, left:left + 96] += np.random.default_rng(0).integers(0, 40, (96, 96, 3), np.uint8)
    assert sheets.detail(picture, 96) == (top, left, 96, 96)


def test_one_outline_does_not_win_over_texture() -> None:
    picture = np.zeros((128, 256, 3), np.uint8)
    picture[:, 200:] = 255
    picture[:64, :64] = np.random.default_rng(0).integers(0, 30, (64, 64, 3), np.uint8)
    assert sheets.detail(picture, 64)[:2] == (0, 0)


def test_a_picture_smaller_than_a_crop_is_shown_whole() -> None:
    assert sheets.detail(photograph(50, 30)) == (0, 0, 30, 50)


def test_labels_say_bytes_and_score_of_the_files_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    codecs = [open_codec(name, Options()) for name in ("aecodec-small", "webp")]
    picture = photograph(160, 120)
    found: list[list[tuple[str, str, np.ndarray]]] = []
    assembled = sheets._assembled
    monkeypatch.setattr(sheets, "_assembled", lambda rows, *more: found.extend(rows) or assembled(rows, *more))
    sheet = sheets.draw(picture, codecs, [0.5, 1.5], "name")
    assert sheet.width > 3 * 2 * 160
    assert [[cell[0] for cell in row] for row in found] == 2 * [["name: original", "aecodec (small)", "WebP"]]
    sizes = []
    for row in found:
        assert np.array_equal(row[0][2], picture)
        sizes.append([int(re.match(r"([\d,]+) bytes, [\d.]+ bpp, SSIMULACRA2 -?[\d.]+$", cell[1]).group(1)  # type: ignore
                          .replace(",", "")) for cell in row[1:]])
    for (ours, other), rate in zip(sizes, (0.5, 1.5), strict=True):
        assert ours == pytest.approx(rate * 160 * 120 / 8, rel=0.06)
        assert other == pytest.approx(ours, rel=0.06)


def test_the_command_makes_a_sheet_of_each_picture_the_same_each_time(folder: Path, tmp_path: Path) -> None:
    for out in ("one", "two"):
        result = call(folder, "--out", tmp_path / out, "--rates", "0.5,2", "--device", "cpu")
        assert result.exit_code == 0, result.output
    names = ["crops_a.png", "crops_b.png"]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
        with Image.open(tmp_path / "one" / name) as sheet:
            assert np.asarray(sheet).std() > 10


def test_one_sheet_of_all_pictures(folder: Path, tmp_path: Path) -> None:
    result = call(folder, "--out", tmp_path / "out", "--rates", "1", "--device", "cpu", "--codecs", "jpeg,aecodec",
                  "--together", "all.webp")
    assert result.exit_code == 0, result.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["all.webp"]
    with Image.open(tmp_path / "out" / "all.webp") as sheet, Image.open(next(folder.iterdir())) as picture:
        assert sheet.width > 3 * min(picture.width, sheets.SMALL_CROP)
        assert sheet.height > 2 * min(picture.height, sheets.SMALL_CROP)


@pytest.mark.parametrize(("arguments", "message"), [
    (["--rates", "high"], "expected bits per pixel"), (["--rates", "0"], "expected bits per pixel"),
    (["--model", "nowhere"], "no model named nowhere")])
def test_mistakes_are_explained(arguments: list[str], message: str, folder: Path, tmp_path: Path) -> None:
    result = call(folder, "--out", tmp_path / "out", *arguments)
    assert result.exit_code != 0
    assert message in " ".join(result.output.split())


def test_originals_are_not_mixed_with_sheets(folder: Path) -> None:
    result = call(folder, "--out", folder)
    assert result.exit_code != 0
    assert "name another folder" in " ".join(result.output.split())
    assert len(list(folder.iterdir())) == 2
