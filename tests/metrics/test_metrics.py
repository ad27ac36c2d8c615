"""PSNR, MS-SSIM and SSIMULACRA2, against independent implementations and on odd sizes."""

from __future__ import annotations

import io
import math
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageFilter

from aecodec import metrics
from aecodec.metrics import _ssimulacra2


def coded(pixels: np.ndarray, format_: str, **options: object) -> np.ndarray:
    """A picture after a lossy format."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format_, **options)
    return np.asarray(Image.open(file).convert("RGB"))


def noisy(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """A picture with Gaussian noise."""
    noise = np.random.default_rng(0).normal(0, sigma, pixels.shape)
    return np.clip(np.round(pixels + noise), 0, 255).astype(np.uint8)


def blurred(pixels: np.ndarray, radius: float) -> np.ndarray:
    """A picture out of focus."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def reference_ssimulacra2(first: np.ndarray, second: np.ndarray) -> float:
    """SSIMULACRA2 by the package of this name."""
    package = pytest.importorskip("ssimulacra2")
    files = []
    for pixels in (first, second):
        files.append(io.BytesIO())
        Image.fromarray(pixels).save(files[-1], "PPM")
    return float(package.compute_ssimulacra2(*files))


def test_psnr():
    black = np.zeros((5, 4, 3), np.uint8)
    assert metrics.psnr(black, black) == math.inf
    assert metrics.psnr(black, black + 255) == 0
    assert metrics.psnr(black, black + 16) == pytest.approx(20 * math.log10(255 / 16))
    assert metrics.psnr(black + 16, black) == metrics.psnr(black, black + 16)


@pytest.mark.parametrize("size", [(161, 190), (200, 300), (177, 171), (162, 163)])
def test_ms_ssim_is_that_of_the_reference(photo, size):
    reference = pytest.importorskip("pytorch_msssim")
    import torch

    first = photo[:size[0], :size[1]]
    second = coded(first, "JPEG", quality=20)
    planes = [torch.from_numpy(np.array(p)).permute(2, 0, 1)[None].float() for p in (first, second)]
    assert metrics.ms_ssim(first, second) == pytest.approx(float(reference.ms_ssim(*planes, data_range=255)), abs=1e-5)
    assert metrics.ms_ssim(first, first) == pytest.approx(1)
    with pytest.raises(ValueError, match="161"):
        metrics.ms_ssim(first[:160], second[:160])


def test_ssimulacra2_is_that_of_the_package_on_50_pairs(kodak, codec):
    """Five photographs, ten distortions each, from unusable to all but lossless."""
    found = []
    for n, path in enumerate(kodak[2::5]):
        pixels = np.asarray(Image.open(path))[64 * n:64 * n + 256, :384]
        distorted = [coded(pixels, "JPEG", quality=8), coded(pixels, "JPEG", quality=35),
                     coded(pixels, "JPEG", quality=97, subsampling=0), coded(pixels, "WEBP", quality=10),
                     coded(pixels, "WEBP", quality=85), coded(pixels, "AVIF", quality=20, speed=8),
                     coded(pixels, "AVIF", quality=75, speed=8), blurred(pixels, 0.6 + 0.4 * n),
                     noisy(pixels, 2 + 4 * n), codec.decode(codec.encode(pixels, level=12 * n), output="array")]
        found += [(metrics.ssimulacra2(pixels, other), reference_ssimulacra2(pixels, other)) for other in distorted]
    ours, theirs = np.array(found).T
    assert len(found) == 50
    assert theirs.min() < -20 and theirs.max() > 90  # noqa: PT018
    assert np.abs(ours - theirs).max() < 0.05


@pytest.mark.parametrize("size", [(8, 8), (8, 200), (200, 9), (33, 65), (63, 127), (65, 64), (129, 131), (200, 300)])
def test_ssimulacra2_of_odd_sizes(photo, size):
    """Sizes at which strips end, sides are odd at some scale, or scales are left out."""
    first = photo[:size[0], :size[1]]
    second = blurred(first, 1)
    assert metrics.ssimulacra2(first, second) == pytest.approx(reference_ssimulacra2(first, second), abs=0.05)


def test_ssimulacra2_of_an_equal_picture_is_100_and_falls_with_noise(photo):
    scores = [metrics.ssimulacra2(photo, noisy(photo, sigma)) for sigma in (0, 1, 3, 9, 27)]
    assert scores[0] == 100
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == len(scores)


def test_ssimulacra2_has_the_weights_of_the_package():
    package = pytest.importorskip("ssimulacra2.ssimulacra2")
    np.testing.assert_array_equal(_ssimulacra2._WEIGHTS.ravel(), package.weights)


def test_what_has_no_ssimulacra2_is_an_error(photo):
    with pytest.raises(ValueError, match="8 pixels each way; the picture is 300x7"):
        metrics.ssimulacra2(photo[:7], photo[:7])
    for measure in (metrics.ssimulacra2, metrics.ms_ssim):
        with pytest.raises(ValueError, match="different sizes: 300x200, 299x200"):
            measure(photo, photo[:, :-1])


def test_nothing_but_numpy_is_needed():
    script = ("import sys, numpy as np\n"
              "from aecodec import metrics\n"
              "picture = np.zeros((170, 170, 3), np.uint8)\n"
              "for name in ('ssimulacra2', 'ms_ssim', 'psnr'):\n"
              "    getattr(metrics, name)(picture, picture)\n"
              "print([name for name in ('torch', 'scipy', 'PIL', 'ssimulacra2') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
