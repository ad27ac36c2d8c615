from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from aecodec.bench import metrics
from aecodec.bench.drawings import photograph


def test_psnr_is_that_of_the_mean_squared_error() -> None:
    original = np.full((4, 6, 3), 100, np.uint8)
    decoded = original.copy()
    decoded[0, 0, 0] = 112  # squared error 144 in one of 72 samples: a mean of 2
    assert metrics.psnr(original, decoded) == pytest.approx(10 * math.log10(255 ** 2 / 2))


def test_psnr_does_not_wrap_around() -> None:
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert metrics.psnr(black, white) == metrics.psnr(white, black) == 0


def test_luma_weighs_the_primaries() -> None:
    primaries = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    assert metrics.luma(primaries)[0] == pytest.approx([76.245, 149.685, 29.07, 255])


def test_an_equal_picture_is_lossless() -> None:
    picture = photograph(200, 170)
    found = metrics.measure(picture, picture.copy())
    assert found.psnr_rgb == found.psnr_y == float("inf")
    assert found.ms_ssim == pytest.approx(1)
    assert (found.ssimulacra2, found.lpips) == (None, None)


def test_ms_ssim_falls_with_noise_and_is_undefined_on_small_pictures() -> None:
    picture = photograph(200, 170)
    random = np.random.default_rng(0)
    values = []
    for sigma in (2, 10, 40):
        noisy = np.clip(picture + random.normal(0, sigma, picture.shape), 0, 255).astype(np.uint8)
        values.append(metrics.measure(picture, noisy).ms_ssim)
    assert 1 > values[0] > values[1] > values[2] > 0
    assert metrics.measure(picture[:160], picture[:160]).ms_ssim is None
    assert metrics.measure(picture[:161], picture[:161]).ms_ssim == pytest.approx(1)


def test_ms_ssim_in_decibels() -> None:
    assert metrics.ms_ssim_db(0.99) == pytest.approx(20)
    assert metrics.ms_ssim_db(1.0) == float("inf")


def test_another_size_is_an_error() -> None:
    picture = photograph(20, 10)
    with pytest.raises(ValueError, match="decoded to"):
        metrics.measure(picture, picture[:, :-1])


def test_ssimulacra2_on_request() -> None:
    pytest.importorskip("ssimulacra2")
    picture = photograph(64, 48)
    assert metrics.measure(picture, picture.copy(), ssimulacra2=True).ssimulacra2 == pytest.approx(100)
    assert (metrics.measure(picture, picture // 16 * 16, ssimulacra2=True).ssimulacra2 or 100) < 90
    assert metrics.measure(picture[:7], picture[:7], ssimulacra2=True).ssimulacra2 is None


def test_lpips_says_which_weights_it_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("lpips")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    problem = metrics.lpips_problem() or ""
    assert metrics.LPIPS_BACKBONE in problem
    assert str(tmp_path) in problem
