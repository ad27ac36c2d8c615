"""Learning what pictures are compared by."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from aecodec import models
from aecodec.latents import embedding
from aecodec.training import distortions
from aecodec.training import embedding as learning
from helpers import make_photo


def test_discriminants_are_what_classes_differ_in_and_do_not_scatter_in():
    rng = np.random.default_rng(0)
    centres = rng.normal(0, [1, 5, 3, 0.01], (200, 4))
    classes = [centre + rng.normal(0, [0.1, 50, 0.3, 1], (6, 4)) for centre in centres]
    mean, directions = learning.discriminants(classes, 2)
    assert mean.shape == (4,)
    weight = np.abs(directions) * np.array([0.1, 50, 0.3, 1])  # in units of the scatter within
    assert (weight[:, [1, 3]].max(1) < 0.2 * weight[:, [0, 2]].max(1)).all()


def test_distortions_are_what_their_names_say():
    image, rng = Image.fromarray(make_photo(100, 160)), np.random.default_rng(0)
    assert distortions.crop(image, 0.6, rng).size == (96, 60)
    assert distortions.scale(image, 0.25).size == (40, 25)
    assert distortions.scale(image, 0.05).size == (16, 16)
    np.testing.assert_array_equal(np.asarray(distortions.mirror(image)), np.asarray(image)[:, ::-1])
    grey = np.asarray(distortions.grey(image))
    assert (grey[..., :1] == grey).all()
    noise = np.asarray(distortions.noise(image, 10, rng)).astype(float) - np.asarray(image)
    assert noise.std() == pytest.approx(10, rel=0.1)
    assert distortions.jpeg(image, 20).size == image.size
    assert np.asarray(distortions.gamma(image, 0.7)).mean() > np.asarray(image).mean()


def test_too_few_photos_are_refused(tmp_path):
    Image.fromarray(make_photo(40, 40)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="too few"):
        learning.fit(models.find().path, [tmp_path / "a.png"])


def test_brightness_is_a_linear_map_of_latents(codec):
    images = [Image.fromarray(make_photo(96, 128, seed)) for seed in range(8)]
    luma, bias, energies = learning.fit_luma(codec.coder, images)
    latents = learning._coded(codec.coder, images[3], 32)
    grey = np.asarray(images[3].convert("L")).reshape(6, 16, 8, 16).mean((1, 3)) / 255
    assert np.abs(np.tensordot(luma, latents.y, 1) + bias - grey).max() < 0.05
    assert energies.shape == (320,)
    assert (energies > 0).all()


def test_the_shipped_metric_is_for_the_shipped_weights():
    assert embedding.load(models.find()).bundle_hash == models.load(models.find()).bundle_hash.hex()
