from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aecodec.bench import codecs, pictures, sweep, table
from aecodec.bench.codecs import Codec, Options, open_codec
from aecodec.bench.codecs.classic import PillowCodec
from aecodec.bench.metrics import METRICS
from aecodec.bench.pictures import Picture
from aecodec.bench.sweep import SweepStopped
from aecodec.bench.table import Row, setting_text
from aecodec.metrics import psnr, ssimulacra2

OPTIONS = Options()
QUICK = ("psnr_rgb", "psnr_y", "ms_ssim")


@pytest.fixture
def photos(folder: Path) -> list[Picture]:
    return pictures.from_folder(folder, "photos")[0]


@pytest.fixture
def two() -> list[Codec]:
    return [open_codec(name, OPTIONS) for name in ("jpeg", "webp")]


@pytest.fixture(autouse=True)
def _nothing_open() -> None:
    sweep._opened.clear()


def run(photos: Sequence[Picture], two: Sequence[Codec], out: Path, **options: object) -> sweep.Outcome:
    return sweep.sweep(photos, two, OPTIONS, out, **{"metrics": QUICK, **options})  # type: ignore[arg-type]


def without_times(rows: Sequence[Row]) -> list[tuple[object, ...]]:
    return sorted((*row.key, row.version, row.bytes, row.bpp, *row.metrics.items()) for row in rows)


def test_a_row_per_picture_codec_and_setting(photos: list[Picture], two: list[Codec], tmp_path: Path) -> None:
    outcome = run(photos, two, tmp_path)
    rows = table.read(tmp_path / sweep.TABLE)
    assert {row.key for row in rows} == {("photos", picture.name, codec.name, setting_text(setting))
                                         for picture in photos for codec in two for setting in codec.settings}
    assert (outcome.measured, outcome.kept, outcome.failures) == (len(rows), 0, {})
    by_name = {codec.name: codec for codec in two}
    sources = {picture.name: picture.pixels() for picture in photos}
    for row in rows:
        pixels = sources[row.image]
        data = by_name[row.codec].encode(pixels, float(row.setting))
        assert (row.height, row.width) == pixels.shape[:2]
        assert row.bytes == len(data)
        assert row.bpp == pytest.approx(8 * len(data) / (row.width * row.height), abs=1e-6)
        assert row.metrics["psnr_rgb"] == pytest.approx(psnr(pixels, by_name[row.codec].decode(data)), abs=1e-4)
        assert min(row.encode_s, row.decode_s) > 0
        assert (row.version, row.device, row.threads) == (by_name[row.codec].version, "cpu", 1)


def test_two_jobs_measure_the_same(photos: list[Picture], two: list[Codec], tmp_path: Path) -> None:
    run(photos, two, tmp_path / "one")
    run(photos, two, tmp_path / "two", jobs=2)
    one, both = (table.read(tmp_path / name / sweep.TABLE) for name in ("one", "two"))
    assert without_times(one) == without_times(both)


def test_a_broken_off_sweep_measures_only_what_is_missing(photos: list[Picture], two: list[Codec],
                                                          tmp_path: Path) -> None:
    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(SweepStopped, match=r"interrupted; what was measured is kept in .*same command"):
        run(photos, two, tmp_path, on_rows=interrupt)
    path = tmp_path / sweep.TABLE
    first = table.read(path)
    assert 0 < len(first) < 44
    path.write_bytes(path.read_bytes()[:-9])  # as if it had been killed while writing
    starts: list[int] = []
    outcome = run(photos, two, tmp_path, on_start=starts.append)
    assert outcome.kept == len(first) - 1
    assert outcome.measured == 44 - outcome.kept == starts[0]
    rows = table.read(path)
    assert len({row.key for row in rows}) == len(rows) == 44
    assert set(first[:-1]) <= set(rows), "rows that were there stay as they were"
    assert run(photos, two, tmp_path).measured == 0


def test_another_version_of_a_codec_is_measured_again(photos: list[Picture], two: list[Codec], tmp_path: Path) -> None:
    run(photos, two, tmp_path)
    two[0].version = "newer"
    assert run(photos, two, tmp_path).measured == 22
    assert run(photos, [two[1]], tmp_path).kept == 44, "a codec that is not asked for keeps its rows"


def test_another_picture_of_the_same_name_is_measured_again(folder: Path, photos: list[Picture], two: list[Codec],
                                                            tmp_path: Path) -> None:
    run(photos, two, tmp_path)
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(folder / "a.png")
    changed = pictures.from_folder(folder, "photos")[0]
    assert run(changed, two, tmp_path).measured == 22


def test_a_metric_asked_for_later_is_added_to_the_rows(photos: list[Picture], two: list[Codec], tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    run(photos, two[:1], tmp_path, most_settings=4)
    before = {row.key: row for row in table.read(tmp_path / sweep.TABLE)}
    measured: list[tuple[str, ...]] = []
    measure = sweep.measure
    monkeypatch.setattr(sweep, "measure", lambda a, b, names: measured.append(tuple(names)) or measure(a, b, names))
    outcome = run(photos, two[:1], tmp_path, most_settings=4, metrics=(*QUICK, "ssimulacra2"))
    rows = table.read(tmp_path / sweep.TABLE)
    assert outcome.measured == len(rows) == 8
    sources = {picture.name: picture.pixels() for picture in photos}
    for row in rows:
        added = row.metrics["ssimulacra2"]
        pixels = sources[row.image]
        assert added == pytest.approx(ssimulacra2(pixels, two[0].decode(two[0].encode(pixels, float(row.setting)))),
                                      abs=1e-3)
        assert row == replace(before[row.key], metrics={**before[row.key].metrics, "ssimulacra2": added}), "times too"
    assert {name for names in measured for name in names} <= {"ssimulacra2", "ms_ssim"}, "no other is measured again"
    assert run(photos, two[:1], tmp_path, most_settings=4).measured == 0
    assert run(photos, two[:1], tmp_path, most_settings=4, metrics=(*QUICK, "ssimulacra2")).measured == 0


def test_a_row_whose_file_came_out_otherwise_is_measured_anew(photos: list[Picture], two: list[Codec],
                                                              tmp_path: Path) -> None:
    run(photos[:1], two[:1], tmp_path, most_settings=4)
    path = tmp_path / sweep.TABLE
    rows = table.read(path)
    table.write(path, [replace(row, bytes=row.bytes + 1, metrics={"psnr_rgb": 1.0}) for row in rows])
    assert run(photos[:1], two[:1], tmp_path, most_settings=4).measured == 4
    assert without_times(table.read(path)) == without_times(rows)


def test_a_metric_that_small_pictures_do_not_have_is_not_asked_for_again(two: list[Codec], tmp_path: Path) -> None:
    (tmp_path / "icons").mkdir()
    Image.fromarray(np.full((7, 30, 3), 90, np.uint8)).save(tmp_path / "icons" / "flat.png")
    icons = pictures.from_folder(tmp_path / "icons", "icons")[0]
    names = [metric.name for metric in METRICS if metric.problem() is None]
    assert run(icons, two[:1], tmp_path, metrics=names, most_settings=4).measured == 4
    assert all(set(row.metrics) == {"psnr_rgb", "psnr_y"} for row in table.read(tmp_path / sweep.TABLE))
    assert run(icons, two[:1], tmp_path, metrics=names, most_settings=4).measured == 0


def test_rows_of_another_model_survive(photos: list[Picture], two: list[Codec], tmp_path: Path) -> None:
    run(photos, two[:1], tmp_path)
    path = tmp_path / sweep.TABLE
    other = [replace(row, codec="aecodec-other", version="v1") for row in table.read(path)]
    table.write(path, other)
    assert run(photos, two[1:], tmp_path).kept == len(other)
    assert set(other) <= set(table.read(path))


class Failing(PillowCodec):
    """Fails on tall pictures."""

    def encode(self, pixels: np.ndarray, setting: float, timings: dict[str, float] | None = None) -> bytes:
        if pixels.shape[0] > pixels.shape[1]:
            raise RuntimeError("too tall")
        return super().encode(pixels, setting, timings)


class Shrinking(PillowCodec):
    """Decodes to another size than it was given."""

    def decode(self, data: bytes, timings: dict[str, float] | None = None) -> np.ndarray:
        return super().decode(data, timings)[:-1]


@pytest.mark.parametrize(("kind", "lost", "reason"), [(Failing, 1, "RuntimeError: too tall"),
                                                      (Shrinking, 2, "ValueError: decoded to")])
def test_a_codec_that_fails_is_recorded_and_the_sweep_goes_on(
        kind: type[PillowCodec], lost: int, reason: str, photos: list[Picture], two: list[Codec],
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = kind("bad", "JPEG", lambda q: {"quality": int(q)}, "v1", (10, 90), range(1, 100), 50)
    monkeypatch.setitem(codecs._OPEN, "bad", lambda options: bad)
    outcome = run(photos, [bad, *two], tmp_path)
    assert len(outcome.failures) == 2 * lost
    assert all(text.startswith(reason) for text in outcome.failures.values())
    assert outcome.measured == 44 + 2 * (2 - lost)
    assert sweep.read_record(tmp_path)["failures"] == outcome.failures


def test_a_picture_that_vanishes_is_recorded_and_the_sweep_goes_on(folder: Path, photos: list[Picture],
                                                                   two: list[Codec], tmp_path: Path) -> None:
    (folder / "a.png").unlink()
    outcome = run(photos, two, tmp_path)
    assert outcome.measured == 22
    assert set(outcome.failures) == {"photos/a jpeg", "photos/a webp"}


def test_thinned_keeps_both_ends() -> None:
    assert sweep.thinned(range(11), 5) == (0, 2, 5, 8, 10)
    assert sweep.thinned((1, 2, 3), 5) == (1, 2, 3)


def test_a_quick_sweep_is_part_of_the_whole(photos: list[Picture], two: list[Codec], tmp_path: Path) -> None:
    quick = run(photos, two, tmp_path, most_settings=sweep.QUICK_SETTINGS)
    assert quick.measured == 2 * 2 * sweep.QUICK_SETTINGS
    assert run(photos, two, tmp_path).kept == quick.measured


def test_the_record_says_what_was_measured_with(photos: list[Picture], two: list[Codec], tmp_path: Path) -> None:
    run(photos, two, tmp_path, record={"missing": {"jxl": "not installed"}})
    record = json.loads((tmp_path / sweep.RUN).read_text())
    assert record["libraries"]["numpy"] == np.__version__
    assert record["missing"] == {"jxl": "not installed"}
    assert record["pictures"] == {f"photos/{picture.name}": picture.digest for picture in photos}
    assert "logical cores" in record["machine"]
