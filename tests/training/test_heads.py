"""What is fitted to photos beside a model: it goes into the weights file, and changes nothing else of it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("accelerate")

import aecodec
from aecodec import metrics, models, thumbnail
from aecodec.format.opening import read_file
from aecodec.latents import noise
from aecodec.training import heads
from helpers import make_photo


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number in range(2):
        small = Image.fromarray(make_photo(128, 128, number))
        small.resize((256, 256), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def with_heads(exported, photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads") / "model"
    shutil.copytree(exported, folder)
    assert heads.add_heads(folder / models.WEIGHTS_FILE, photos) == 2
    return folder


def test_nothing_else_changes(exported, with_heads):
    before, after = models.load(models.find(exported)), models.load(models.find(with_heads))
    assert after.bundle_hash == before.bundle_hash
    assert after.tensors.keys() == before.tensors.keys()
    for name, tensor in before.tensors.items():
        np.testing.assert_array_equal(after.tensors[name], tensor)
    made = {thumbnail.PREFIX + name for name in ("points", "weight", "bias")}
    assert set(after.extras) == made | {noise.PREFIX + name for name in ("gains", "energies")}


def test_thumbnails_are_those_of_the_photos(with_heads, photos):
    codec = aecodec.Codec(device="cpu", model=with_heads)
    with Image.open(photos / "0.png") as image:
        wanted, data = np.asarray(image.reduce(8)), codec.encode(image, level=42)
    made = thumbnail.pixels(codec.coder, read_file(data, None))
    assert metrics.psnr(wanted, made) > 26


def test_gains_are_what_noise_does(with_heads, photos):
    codec = aecodec.Codec(device="cpu", model=with_heads)
    with Image.open(photos / "1.png") as image:
        clean = np.asarray(image).clip(40, 215)
    noisy = np.rint(clean + np.random.default_rng(5).normal(0, 8, clean.shape)).astype(np.uint8)
    change = np.square(codec.analyse(noisy, level=63).y - codec.analyse(clean, level=63).y).mean(axis=(1, 2))
    ratio = change / 64 / codec.coder.extras[f"{noise.PREFIX}gains"]
    assert 0.8 < np.median(ratio) < 1.25


def test_small_photos_alone_change_nothing(exported, tmp_path):
    Image.fromarray(make_photo(64, 64)).save(tmp_path / "a.png")
    before = (exported / models.WEIGHTS_FILE).read_bytes()
    assert heads.add_heads(exported / models.WEIGHTS_FILE, tmp_path) == 0
    assert (exported / models.WEIGHTS_FILE).read_bytes() == before
