"""Denoising and inpainting, in Python and from the shell."""

from __future__ import annotations

import json
import types

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec import metrics, models
from aecodec.engine.choice import has_torch
from aecodec.engine.shrinkage import Shrinkage
from aecodec.latents.denoise import denoise_picture
from aecodec.latents.fill import smooth_fill
from aecodec.latents.inpaint import inpaint_picture
from aecodec.latents.noise import NoiseGains
from aecodec.picture.reading import Picture
from helpers import make_photo


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    return make_photo(160, 208)


@pytest.fixture(scope="module")
def noisy(clean) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, 20, clean.shape)
    return np.rint(clean + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def restored(codec, noisy):
    return denoise_picture(codec, Picture(noisy))


def test_noise_is_found_and_taken_out(restored, clean, noisy):
    picture, noise = restored
    assert 14 < noise.deviation < 24
    assert metrics.psnr(clean, picture.pixels) > metrics.psnr(clean, noisy) + 5


def test_a_picture_without_noise_is_left_as_it_is(codec):
    smooth = np.asarray(Image.fromarray(make_photo(40, 52)).resize((208, 160), Image.Resampling.BICUBIC))
    picture, noise = denoise_picture(codec, Picture(smooth))
    assert noise.deviation == 0
    assert picture.pixels is smooth


def test_both_engines_agree(restored, noisy):
    if not has_torch():
        pytest.skip("there is one engine")
    codecs = [aecodec.Codec(device="cpu", engine=engine, precision="float32") for engine in ("onnx", "torch")]
    pictures = [denoise_picture(codec, Picture(noisy), 20.0)[0] for codec in codecs]
    assert np.abs(pictures[0].pixels.astype(int) - pictures[1].pixels).max() <= 1


def test_strips_make_no_difference(noisy):
    from aecodec.engine.onnx_engine import OnnxEngine

    file = models.load(models.find())
    pixels = np.ascontiguousarray(np.tile(noisy, (4, 1, 1)))
    made = []
    for rows in (16, 40):
        engine = OnnxEngine(file, strip_rows=rows)
        strips = engine.analyse(pixels, 63)
        z = engine.hyper_latents(strips, 63)
        index = engine.indices(z, 63, 40, 13)
        shrinkage = Shrinkage(file.extras["encoders.noise.gains"], np.full((40, 13), 400, np.float32),
                              np.ones(64, np.float32))
        made.append(engine.to_array(engine.shrink(strips, z, index, 63, shrinkage)))
        assert strips == []
    np.testing.assert_allclose(made[0], made[1], atol=1e-3)


def test_stronger_noise_shrinks_more_and_none_not_at_all():
    residual = np.array([[[-3.0, 0.5, 8.0]]], np.float32)
    index = np.array([[[1, 1, 1]]], np.uint8)
    everything = slice(None), slice(None), slice(None)
    gain = np.ones((1, 1, 1), np.float32)
    found = [Shrinkage(np.ones(1, np.float32), np.full((1, 3), noise, np.float32), np.array([0, 4], np.float32))(
        residual, gain, index, *everything) for noise in (0, 1, 3, 1e6)]
    np.testing.assert_array_equal(found[0], residual)
    assert (np.abs(found[1]) < np.abs(residual)).all()
    assert (np.abs(found[2]) <= np.abs(found[1])).all()
    assert not found[3].any()


def test_tweedie_is_the_posterior_mean():
    """Clean values and noise drawn, logistic as a whole: the formula has the least error of all such shrinkings."""
    rng = np.random.default_rng(0)
    clean = rng.normal(0, 1.5, 200000)
    noisy = clean + rng.normal(0, 1, clean.size)
    values = noisy.astype(np.float32).reshape(1, 1, -1)
    variance = np.float32(noisy.var())
    shrinkage = Shrinkage(np.ones(1, np.float32), np.ones((1, values.size), np.float32),
                          np.array([0, variance], np.float32))
    made = shrinkage(values, np.ones((1, 1, 1), np.float32), np.ones(values.shape, np.uint8), slice(None), slice(None),
                     slice(None)).ravel()
    best = np.mean((noisy * 1.5**2 / (1.5**2 + 1) - clean) ** 2)
    assert best <= np.mean((made - clean) ** 2) < 1.1 * best


def test_grey_stays_grey_and_metadata_stay(codec, clean):
    rng = np.random.default_rng(2)
    image = Image.fromarray(np.rint(clean[:64, :96, 0] + rng.normal(0, 15, (64, 96))).clip(0, 255).astype(np.uint8))
    image.info["icc_profile"] = None
    exif = Image.Exif()
    exif[271] = "maker"
    image.info["exif"] = exif.tobytes()
    made = aecodec.denoise(image, 15, codec=codec)
    assert made.mode == "L"
    assert made.getexif()[271] == "maker"
    assert metrics.psnr(clean[:64, :96, 0], np.asarray(made)) > metrics.psnr(clean[:64, :96, 0], np.asarray(image)) + 2


@pytest.mark.parametrize(("sigma", "error"), [("much", TypeError), (True, TypeError), (-1, ValueError),
                                              (500, ValueError)])
def test_a_sigma_that_cannot_be_is_refused(clean, sigma, error):
    with pytest.raises(error, match="sigma"):
        aecodec.denoise(clean, sigma)


def test_a_model_that_knows_no_noise_says_how_to_get_there():
    with pytest.raises(aecodec.UnknownModel, match="aecodec export"):
        NoiseGains(types.SimpleNamespace(extras={}, tunes=("visual",)))


def test_the_command_tells_what_it_took_out(aec, noisy, tmp_path):
    Image.fromarray(noisy[:96, :96]).save(tmp_path / "a.png")
    done = aec("denoise", tmp_path / "a.png", "--sigma", 20)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "noise of sigma 20.0 taken out" in done.stdout
    assert Image.open(tmp_path / "a.denoised.png").size == (96, 96)
    again = aec("denoise", tmp_path / "a.png")
    assert again.exit_code == 1
    assert "exists" in again.stderr


def test_compress_denoises_only_if_asked(aec, noisy, tmp_path):
    Image.fromarray(noisy[:96, :96]).save(tmp_path / "a.png")
    plain = aec("compress", tmp_path / "a.png", "-o", tmp_path / "plain.aec", "--json")
    asked = aec("compress", tmp_path / "a.png", "-o", tmp_path / "asked.aec", "--denoise", "20", "--json", "--verify")
    assert "sigma" not in json.loads(plain.stdout)["files"][0]
    assert json.loads(asked.stdout)["files"][0]["sigma"] == 20
    assert (tmp_path / "asked.aec").stat().st_size < 0.8 * (tmp_path / "plain.aec").stat().st_size


def test_a_sigma_on_the_command_line_must_be_one(aec, tmp_path):
    done = aec("denoise", tmp_path / "a.png", "--sigma", "loud")
    assert done.exit_code == 2
    assert "Traceback" not in done.output


# -- inpainting ----------------------------------------------------------------------------------------------------


def test_missing_pixels_are_filled_and_others_kept(codec, clean):
    missing = np.zeros(clean.shape[:2], bool)
    missing[64:80, 48:96] = True
    holes = np.where(missing[:, :, None], 0, clean).astype(np.uint8)
    made = inpaint_picture(codec, Picture(holes), missing).pixels
    np.testing.assert_array_equal(made[~missing], clean[~missing])
    plain = clean[~missing].mean(axis=0)
    assert metrics.psnr(clean[missing], made[missing]) > metrics.psnr(clean[missing], np.broadcast_to(
        plain, made[missing].shape).astype(np.uint8)) + 2


def test_a_smooth_fill_continues_a_gradient():
    gradient = np.broadcast_to(np.arange(40, 200, 2, dtype=np.uint8)[None, :, None], (64, 80, 3)).copy()
    missing = np.zeros((64, 80), bool)
    missing[20:36, 30:46] = True
    made = smooth_fill(np.where(missing[:, :, None], 0, gradient).astype(np.uint8), missing)
    assert np.abs(made.astype(int) - gradient).max() <= 1


def test_masks_that_cannot_be_are_refused(aec, clean, tmp_path):
    Image.fromarray(clean).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(tmp_path / "small.png")
    Image.fromarray(np.full(clean.shape[:2], 255, np.uint8)).save(tmp_path / "all.png")
    for mask, words in (("small.png", "10x10 pixels, the picture 208x160"), ("all.png", "hides the whole picture")):
        done = aec("inpaint", tmp_path / "a.png", "--mask", tmp_path / mask)
        assert done.exit_code == 1
        assert words in done.stderr
        assert "Traceback" not in done.output
    assert not (tmp_path / "a.inpainted.png").exists()
