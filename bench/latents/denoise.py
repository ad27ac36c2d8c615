"""Denoising: noisy pictures to clean ones, beside what others do; and clean ones left clean."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import aecodec
from aecodec.latents.denoise import denoise_picture
from aecodec.metrics import psnr
from aecodec.picture.reading import Picture

from ..autoencoders.tables import Row, Table, Target, timed
from ..pictures import read_pixels
from .inputs import Inputs, MissingData
from .strips import free_picture, strips

SIGMAS = (10, 20, 30)
CLEAN = "clean"
OURS = "aecodec"
BEST_NLM = "non-local means"


def run(inputs: Inputs, out: Path) -> Table:
    """Noise of equal strength everywhere, and a sensor's shot and read noise, of the same strength on the whole."""
    paths = inputs.clean()
    codec = aecodec.Codec(device="cpu", threads=1)
    columns = {f"sigma {sigma}": ".2f" for sigma in SIGMAS} | {CLEAN: ".2f"}
    table = Table(
        "denoise", "Denoising",
        f"PSNR to the clean picture in dB, means over {len(paths)} pictures with noise, in 8 bits. `white`: Gaussian, "
        "of standard deviation sigma in every pixel. `sensor`: of linear light x with variance a x + b, as shot and "
        "read noise have it (b = 0.05 a), a such that the standard deviation in sRGB over the picture is sigma. Nobody "
        "is told of sigma: scikit-image's wavelets (BayesShrink, YCbCr) and non-local means (5x5 "
        "patches, 13x13 windows, h = 0.6 sigma) use its `estimate_sigma`, OpenCV's coloured non-local means the same; "
        "aecodec estimates by itself. `clean`: the picture without noise put in; empty where it comes back as it was. "
        "Seconds are for all columns of a row.", columns)
    methods = _methods(codec)
    for kind, add in (("white", white), ("sensor", sensor)):
        totals: dict[str, dict[str, list[float]]] = {name: {column: [] for column in columns} for name in methods}
        seconds = dict.fromkeys(methods, 0.0)
        untouched: list[float] = []
        for number, path in enumerate(paths):
            pixels = read_pixels(path)
            pairs = {f"sigma {sigma}": add(pixels, sigma, np.random.default_rng(number)) for sigma in SIGMAS}
            if kind == "white":
                pairs[CLEAN] = pixels
            for name, method in methods.items():
                for column, noisy in pairs.items():
                    made, took = timed(partial(method, noisy))
                    seconds[name] += took
                    value = psnr(pixels, made)
                    if np.isfinite(value):
                        totals[name][column].append(value)
                    if name == OURS and column == CLEAN:
                        untouched.append(float(np.isinf(value)))
        for name in methods:
            note = f"{sum(untouched):.0f} of {len(paths)} clean ones untouched" if name == OURS and untouched else ""
            table.rows.append(Row(kind, name, {column: float(np.mean(found)) if found else None
                                               for column, found in totals[name].items()},
                                  None if name == "noisy" else seconds[name], name == OURS, note))
    for kind in ("white", "sensor"):
        gains = [table.value(OURS, f"sigma {sigma}", kind) - table.value(BEST_NLM, f"sigma {sigma}", kind)
                 for sigma in SIGMAS]
        table.targets.append(Target(f"{kind}: at least 1.0 dB above non-local means ({_signed(gains)} dB)",
                                    min(gains) >= 1.0))
    clean = next(row.values[CLEAN] for row in table.rows if row.method == OURS)
    loss = 0.0 if clean is None else None
    table.targets.append(Target("clean pictures lose nothing" if loss == 0 else
                                f"clean pictures lose nothing: {clean:.2f} dB are left of those that were touched",
                                loss == 0))
    detail = free_picture()
    noisy = sensor(detail, 20, np.random.default_rng(0))
    strips({**{name: method(noisy) for name, method in methods.items()}, "clean": detail}, out / "denoising.png")
    table.figures["denoising.png"] = "A detail with sensor noise of sigma 20, and what is made of it"
    return table


def _methods(codec: aecodec.Codec) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    try:
        import cv2
        import pywt  # noqa: F401 (scikit-image asks for it when it is too late)
        from skimage.restoration import denoise_nl_means, denoise_wavelet, estimate_sigma
    except ImportError as error:
        raise MissingData(f"it takes {error.name}; install it with: pip install 'aecodec[bench]'") from None

    def sigma_of(noisy: np.ndarray) -> float:
        return float(estimate_sigma(noisy / 255.0, channel_axis=-1, average_sigmas=True))

    def wavelets(noisy: np.ndarray) -> np.ndarray:
        made = denoise_wavelet(noisy / 255.0, sigma=sigma_of(noisy), channel_axis=-1, convert2ycbcr=True,
                               method="BayesShrink", rescale_sigma=True)
        return _eight_bits(made)

    def means(noisy: np.ndarray) -> np.ndarray:
        sigma = sigma_of(noisy)
        made = denoise_nl_means((noisy / 255.0).astype(np.float32), patch_size=5, patch_distance=6, h=0.6 * sigma,
                                sigma=sigma, fast_mode=True, channel_axis=-1)
        return _eight_bits(made)

    def opencv(noisy: np.ndarray) -> np.ndarray:
        strength = 255 * sigma_of(noisy)
        return np.asarray(cv2.fastNlMeansDenoisingColored(noisy, None, strength, strength, 5, 13))

    def ours(noisy: np.ndarray) -> np.ndarray:
        return denoise_picture(codec, Picture(noisy))[0].pixels

    return {"noisy": lambda noisy: noisy, "wavelets": wavelets, BEST_NLM: means, "OpenCV": opencv, OURS: ours}


def _eight_bits(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def _signed(values: list[float]) -> str:
    return ", ".join(f"{value:+.2f}" for value in values)


# -- noise ---------------------------------------------------------------------------------------------------------


def white(pixels: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of a standard deviation, rounded and clipped to 8 bits."""
    return np.rint(pixels + rng.normal(0, sigma, pixels.shape)).clip(0, 255).astype(np.uint8)


def sensor(pixels: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of linear light whose variance grows with it, of a standard deviation in sRGB over the picture."""
    draw = rng.normal(0, 1, pixels.shape)
    few = slice(None, None, 4)
    low, high = 1e-6, 1.0
    for _ in range(16):
        shot = float(np.sqrt(low * high))
        error = _exposed(pixels[few, few], shot, draw[few, few]).astype(np.float32) - pixels[few, few]
        if np.sqrt(np.mean(np.square(error))) < sigma:
            low = shot
        else:
            high = shot
    return _exposed(pixels, shot, draw)


def _exposed(pixels: np.ndarray, shot: float, draw: np.ndarray) -> np.ndarray:
    linear = to_linear(pixels / 255.0)
    light = np.clip(linear + np.sqrt(shot * linear + 0.05 * shot) * draw, 0, 1)
    return np.rint(from_linear(light) * 255).astype(np.uint8)


def to_linear(values: np.ndarray) -> np.ndarray:
    """sRGB within 0..1 to linear light."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def from_linear(values: np.ndarray) -> np.ndarray:
    """Linear light within 0..1 to sRGB."""
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * np.maximum(values, 1e-9) ** (1 / 2.4) - 0.055)
