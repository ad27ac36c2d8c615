from __future__ import annotations

import csv
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aecodec.bench import document, footprint, report, shell, speed, speed_report
from aecodec.bench.codecs import Options
from aecodec.bench.drawings import photograph
from aecodec.bench.speed import Measurement
from aecodec.engine.choice import has_fast_bfloat16_cpu, has_torch


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
    found = speed.run(["aecodec-small", "jpeg"], Options(), [(48, 32)], "a machine", photograph(), runs=1)
    engines = ["onnx", "torch float32", "torch bfloat16"] if has_torch() else ["onnx"]
    if not has_fast_bfloat16_cpu():
        engines = engines[:2]
    assert list(dict.fromkeys(row.codec for row in found)) == [*(f"aecodec-small on {e}" for e in engines), "jpeg"]
    assert all(row.seconds for row in found)


def test_other_work_lasts_as_long_as_what_is_measured() -> None:
    found, note = speed.measure_in_process("webp", Options(), photograph(384, 256), "a machine", runs=3, busy=1)
    assert note == ""
    assert {row.busy for row in found} == {1}
    started = []
    real = subprocess.Popen

    class Recorded(real):  # type: ignore[type-arg, valid-type, misc]
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            started.append(self)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(subprocess, "Popen", Recorded)
        with speed._other_work(2):
            time.sleep(0.3)
            assert [program.poll() for program in started] == [None, None]
    assert all(program.poll() is not None for program in started)


def test_the_command_is_measured_from_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "has_torch", lambda: False)  # which takes seconds to start
    names = ["aecodec-small", "webp", "compressai-mbt2018"]
    told: list[str] = []
    found = shell.run(names, Options(), photograph(), "a machine", 1, lambda name, rows: told.append(name))
    assert told == ["aecodec-small on onnx", "webp"]
    assert len(told) == shell.count(names)
    stages = ["shell:compress", "shell:decompress", "shell:info", "shell:compress", "shell:decompress"]
    assert [row.stage for row in found] == stages
    assert all(row.note == "" and row.seconds for row in found)
    memory = {(row.codec, row.stage): row.peak_mb or 0 for row in found}
    if memory["webp", "shell:compress"]:
        assert memory["aecodec-small on onnx", "shell:info"] < memory["aecodec-small on onnx", "shell:compress"] < 400


def test_a_command_that_fails_is_noted() -> None:
    row = shell._measure("info", "ours", [sys.executable, "-c", "raise SystemExit(3)"], "a machine", 2)
    assert (row.seconds, row.note) == (None, "failed (exit status 3)")


def test_an_install_takes_what_its_parts_take() -> None:
    base, missing = footprint.needed("aecodec")
    assert {"aecodec", "numpy", "pillow", "onnxruntime", "constriction", "safetensors", "click", "rich"} <= base
    assert "torch" not in base
    assert missing == set()
    with_torch, missing = footprint.needed("aecodec", "torch")
    assert base < with_torch | missing
    assert "torch" in with_torch | missing
    assert 5e6 < footprint.bytes_of("aecodec") < 40e6
    assert 10e6 < footprint.bytes_of("numpy") < 200e6
    rows = footprint.measure("a machine")
    assert [row.codec for row in rows] == ["aecodec", "aecodec[torch]"]
    assert 50 < (rows[0].disk_mb or 0) < 400


def test_the_tables_tell_of_all(tmp_path: Path) -> None:
    size = {"width": 1536, "height": 1024, "mp_per_s": 4.0}
    one = replace(made("encode", 1.6, 0.4, 300), **size)
    speed.write(tmp_path / "speed.csv", [
        one, replace(one, stage="decode", seconds=0.5), replace(one, busy=1, seconds=0.6),
        replace(one, busy=1, stage="decode", seconds=1.0), replace(one, stage="shell:compress", seconds=0.7),
        replace(one, stage="shell:info", seconds=0.07), replace(one, stage="shell:compress", codec="webp"),
        replace(one, codec="aecodec", stage="install", megapixels=None, seconds=None, disk_mb=212.4)])
    text = document.markdown([document.Section("Speed", tuple(speed_report.parts(
        report.read_speed(tmp_path / "speed.csv"))))])
    for expected in ("| aecodec (small) | 4.00 (300 MB) |",
                     "| aecodec (small) | 400 | 600 | 1.50 | 500 | 1000 | 2.00 |",
                     "| aecodec (small) | 0.70 (300 MB) | 0.07 (300 MB) |", "| WebP, Pillow | 0.40 (300 MB) |  |",
                     "| aecodec | 212 |"):
        assert expected in text, text


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
    found = speed.run(["jpeg", "no-such-codec"], Options(), [(48, 32), (96, 64)], "a machine", photograph(), runs=2,
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


def test_a_picture_of_ones_own_is_tiled() -> None:
    flat = np.full((32, 48, 3), 90, np.uint8)
    noise = speed.run(["jpeg"], Options(), [(96, 64)], "a machine", photograph(), runs=1)
    own = speed.run(["jpeg"], Options(), [(96, 64)], "a machine", flat, runs=1)
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
