from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from aecodec.bench import metrics
from aecodec.bench.drawings import photograph
from aecodec.bench.metrics import BY_NAME, METRICS, NAMES

HERE = [metric for metric in METRICS if metric.problem() is None]


def test_psnr_is_that_of_the_mean_squared_error() -> None:
    original = np.full((4, 6, 3), 100, np.uint8)
    decoded = original.copy()
    decoded[0, 0, 0] = 112  # squared error 144 in one of 72 samples: a mean of 2
    found = metrics.measure(original, decoded, ("psnr_rgb",))
    assert found == {"psnr_rgb": pytest.approx(10 * math.log10(255 ** 2 / 2))}


def test_luma_weighs_the_primaries() -> None:
    primaries = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    assert metrics.luma(primaries)[0] == pytest.approx([76.245, 149.685, 29.07, 255])


@pytest.mark.parametrize("metric", HERE, ids=lambda metric: metric.name)
def test_every_metric_falls_with_noise_on_its_scale(metric: metrics.Metric) -> None:
    picture = photograph(200, 170)
    random = np.random.default_rng(0)
    noisy = [np.clip(picture + random.normal(0, sigma, picture.shape), 0, 255).astype(np.uint8)
             for sigma in (2, 10, 40)]
    best, *values = (metric.scale(metric.measure(picture, other)) for other in (picture, *noisy))
    assert best > values[0] > values[1] > values[2]


@pytest.mark.parametrize(("name", "equal"), [("psnr_rgb", math.inf), ("psnr_y", math.inf), ("ms_ssim", 1),
                                             ("ssimulacra2", 100), ("butteraugli", 0), ("cvvdp", 10)])
def test_an_equal_picture_has_the_best_value(name: str, equal: float) -> None:
    if problem := BY_NAME[name].problem():
        pytest.skip(problem)
    picture = photograph(200, 170)
    assert metrics.measure(picture, picture.copy(), (name,)) == {name: pytest.approx(equal)}


@pytest.mark.parametrize("metric", HERE, ids=lambda metric: metric.name)
def test_what_is_too_small_has_no_value(metric: metrics.Metric) -> None:
    picture = photograph(300, 200)[:metric.side]
    assert np.isfinite(metrics.measure(picture, picture // 2, (metric.name,))[metric.name])
    if metric.side > 1:
        assert metrics.measure(picture[1:], picture[1:], (metric.name,)) == {}


def test_ms_ssim_in_decibels() -> None:
    assert metrics.ms_ssim_db(0.99) == pytest.approx(20)
    assert metrics.ms_ssim_db(1.0) == float("inf")


def test_another_size_is_an_error() -> None:
    picture = photograph(20, 10)
    with pytest.raises(ValueError, match="decoded to"):
        metrics.measure(picture, picture[:, :-1])


def test_every_metric_has_a_name_of_its_own() -> None:
    assert len(set(NAMES)) == len(METRICS) == len({metric.label for metric in METRICS})


def test_judges_that_are_not_installed_say_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "libjxl-devtools" in (BY_NAME["butteraugli"].problem() or "")
    find = metrics.importlib.util.find_spec
    monkeypatch.setattr(metrics.importlib.util, "find_spec", lambda name: None if name == "pycvvdp" else find(name))
    assert BY_NAME["cvvdp"].problem() == "not installed: pip install cvvdp"


def test_a_part_of_a_judge_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setitem(sys.modules, "pycvvdp", None)
    metrics._cvvdp.cache_clear()
    assert "pycvvdp" in (BY_NAME["cvvdp"].problem() or "")
    metrics._cvvdp.cache_clear()


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell script")
@pytest.mark.parametrize("script", ["echo no such file >&2; exit 1", "echo 1.5"])
def test_a_judge_that_fails_is_an_error(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / metrics.BUTTERAUGLI
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    picture = photograph(20, 10)
    with pytest.raises(RuntimeError, match="butteraugli_main failed"):
        metrics.measure(picture, picture, ("butteraugli",))
