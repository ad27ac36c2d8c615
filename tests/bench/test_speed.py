from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from aecodec.bench import speed
from aecodec.bench.codecs import Options
from aecodec.bench.drawings import photograph
from aecodec.bench.speed import Measurement
from aecodec.engine.choice import has_torch


def made(stage: str, megapixels: float | None, seconds: float, peak: float, device: str = "cpu") -> Measurement:
    return Measurement("aecodec-small", "v1", "32", stage, None, None, megapixels, seconds, seconds, seconds, 3, None,
                       peak, None, device, 1, "a machine")


def test_enlarged_pictures_are_mirrored_tiles() -> None:
    picture = photograph(7, 5)
    large = speed.enlarged(picture, 18, 12)
    assert large.shape == (12, 18, 3)
    assert np.array_equal(large[:5, :7], picture)
    assert np.array_equal(large[:5, 7:14], picture[:, ::-1])
    assert np.array_equal(large[5:10, :7], picture[::-1])
    assert np.array_equal(large[10:, 14:], picture[:2, :4])


def test_sizes_go_from_small_to_24_megapixels() -> None:
    pixels = [width * height / 1e6 for width, height in speed.SIZES]
    assert pixels == sorted(pixels)
    assert pixels[0] == pytest.approx(0.4, abs=0.01)
    assert pixels[-1] == 24


def test_a_codec_is_measured_in_a_process_of_its_own() -> None:
    found, note = speed.measure_in_process("jpeg", Options(), photograph(96, 64), "a machine", runs=3)
    assert note == ""
    assert [row.stage for row in found] == ["load", "encode", "decode"]
    for row in found[1:]:
        assert row.low <= row.seconds <= row.high  # type: ignore[operator]
        assert row.mp_per_s == pytest.approx(96 * 64 / 1e6 / row.seconds)  # type: ignore[operator]
        assert (row.width, row.height, row.runs, row.threads, row.machine) == (96, 64, 3, 1, "a machine")
        assert row.peak_mb is None or 5 < row.peak_mb < 5000
        assert (row.bpp or 0) > 0


def test_ours_is_measured_on_each_engine() -> None:
    found = speed.run(["aecodec-small", "jpeg"], Options(), [(48, 32)], "a machine", runs=1)
    engines = ["onnx", "torch"] if has_torch() else ["onnx"]
    assert list(dict.fromkeys(row.codec for row in found)) == [*(f"aecodec-small on {e}" for e in engines), "jpeg"]
    assert all(row.seconds for row in found)


def test_the_stages_of_a_learned_codec_are_told_apart() -> None:
    from aecodec import models

    if not models.shipped():
        pytest.skip("no weights in this checkout")
    found, note = speed.measure_in_process("aecodec-small", Options(), photograph(96, 64), "a machine", runs=2)
    assert note == ""
    parts = {row.stage: row.seconds for row in found}
    assert {"load", "encode", "decode", "encode:analysis", "encode:entropy", "decode:entropy",
            "decode:synthesis"} <= set(parts)
    assert sum(seconds or 0 for stage, seconds in parts.items() if stage.startswith("decode:")) > 0.5 * (
        parts["decode"] or 0)


def test_a_process_that_dies_is_noted() -> None:
    found, note = speed.measure_in_process("no-such-codec", Options(), photograph(8, 8), "a machine")
    assert found == []
    assert note == "failed (exit status 1)"


def test_every_codec_and_size_gets_rows(tmp_path: Path) -> None:
    told: list[tuple[str, tuple[int, int], int]] = []
    found = speed.run(["jpeg", "no-such-codec"], Options(), [(48, 32), (96, 64)], "a machine", runs=2,
                      on_done=lambda name, size, rows: told.append((name, size, len(rows))))
    assert [(row.codec, row.stage, row.width, row.note) for row in found] == [
        ("jpeg", "load", None, ""), ("jpeg", "encode", 48, ""), ("jpeg", "decode", 48, ""),
        ("jpeg", "encode", 96, ""), ("jpeg", "decode", 96, ""),
        *(("no-such-codec", stage, width, "failed (exit status 1)") for width in (48, 96)
          for stage in ("encode", "decode"))]
    assert told == [("jpeg", (48, 32), 3), ("jpeg", (96, 64), 2),
                    ("no-such-codec", (48, 32), 2), ("no-such-codec", (96, 64), 2)]
    speed.write(tmp_path / "speed.csv", found)
    with open(tmp_path / "speed.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["note"] for row in rows] == [row.note for row in found]
    assert float(rows[1]["mp_per_s"]) == pytest.approx(found[1].mp_per_s, abs=1e-4)


def test_a_picture_of_ones_own_is_tiled(tmp_path: Path) -> None:
    from PIL import Image

    flat = np.full((32, 48, 3), 90, np.uint8)
    Image.fromarray(flat).save(tmp_path / "flat.png")
    noise = speed.run(["jpeg"], Options(), [(96, 64)], "a machine", runs=1)
    own = speed.run(["jpeg"], Options(), [(96, 64)], "a machine", picture=tmp_path / "flat.png", runs=1)
    assert (own[1].bpp or 0) < 0.9 * (noise[1].bpp or 0)


def test_what_would_take_too_long_is_skipped() -> None:
    last = [made("load", None, 1, 100), made("encode", 0.4, 1.0, 300), made("decode", 0.4, 2.0, 300)]
    assert speed._too_much(last, 1.6, limit=13) == ""
    assert speed._too_much(last, 1.6, limit=11) == "skipped (about 12 s)"
    assert speed._too_much([], 24, limit=1) == ""


def test_what_would_not_fit_into_memory_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_available_mb", lambda: 2000.0)
    last = [made("load", None, 1, 100), made("encode", 0.4, 0.1, 300), made("decode", 0.4, 0.1, 500)]
    assert speed._too_much(last, 1.6, limit=30) == "", "about 1.7 GB"
    assert speed._too_much(last, 6.4, limit=30) == "skipped (about 6 GB)"
    on_gpu = [made("load", None, 1, 100, "cuda"), made("encode", 0.4, 0.1, 500, "cuda"),
              made("decode", 0.4, 0.1, 500, "cuda")]
    assert speed._too_much(on_gpu, 6.4, limit=30) == ""


def test_slow_work_is_repeated_less() -> None:
    calls: list[int] = []
    totals, stages = speed._repeat(lambda timings: (calls.append(1), timings.update(part=0.5)), lambda: None, 7, 30)
    assert (len(totals), len(calls)) == (7, 8), "one to warm up"
    assert stages == {"part": [0.5] * 7}
    totals, _ = speed._repeat(lambda timings: sum(range(200_000)), lambda: None, 7, limit=1e-6)
    assert len(totals) == 1
