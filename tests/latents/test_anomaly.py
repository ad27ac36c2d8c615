"""What is unusual of pictures, and where."""

from __future__ import annotations

import io

import numpy as np
import pytest

from aecodec.coder import Latents
from aecodec.latents.anomaly import AnomalyModel, BadAnomalyModel, Moments, Statistics


def latents(seed: int, height: int = 16, width: int = 12) -> Latents:
    """Forty channels with means and variances of their own."""
    rng = np.random.default_rng(seed)
    scale = np.linspace(0.1, 2, 40)[:, None, None]
    y = rng.normal(3, 1, (40, height, width)) * scale
    return Latents(y.astype(np.float32), None, 32, 16 * width, 16 * height)


def learnt(pictures: list[Latents]) -> AnomalyModel:
    moments = Moments()
    folds = [moments.add(picture) for picture in pictures]
    statistics = Statistics(moments)
    for picture, fold in zip(pictures, folds, strict=True):
        statistics.add(picture, fold)
    return statistics.model(8, "01020304")


@pytest.fixture(scope="module")
def model():
    return learnt([latents(seed) for seed in range(12)])


@pytest.mark.parametrize("factor", [0.2, 3.0])
def test_a_place_that_is_calmer_or_wilder_is_found(model, factor):
    odd = latents(100)
    mean = odd.y.mean((1, 2), keepdims=True)
    odd.y[:, 8:12, 2:6] = mean[:, :, :] + factor * (odd.y[:, 8:12, 2:6] - mean)
    found = model.find(odd)
    place = np.unravel_index(found.map.argmax(), found.map.shape)
    assert 8 <= place[0] < 12
    assert 2 <= place[1] < 6
    assert found.score > 3
    assert model.shade(found.map)[place] > 0


def test_good_pictures_score_about_nothing(model):
    scores = [model.find(latents(seed)).score for seed in range(200, 210)]
    assert -1.5 < np.mean(scores) < 2
    assert max(scores) < 4


def test_a_picture_that_is_another_as_a_whole_is_found(model):
    other = latents(100)
    other.y[:20] += 1.0
    assert model.find(other).score > 10


def test_edges_are_no_more_unusual_than_the_middle(model):
    maps = np.mean([model.find(latents(seed)).map for seed in range(300, 320)], axis=0)
    edges = np.concatenate([maps[0], maps[-1], maps[:, 0], maps[:, -1]])
    assert abs(edges.mean() - maps[3:-3, 3:-3].mean()) < 0.5


def test_a_model_comes_back_from_its_file(model):
    back = AnomalyModel.load(model.dump(), "01020304")
    odd = latents(100)
    assert back.find(odd).score == model.find(odd).score
    np.testing.assert_array_equal(back.find(odd).map, model.find(odd).map)


def test_other_files_and_other_weights_are_refused(model):
    data = model.dump()
    arrays = dict(np.load(io.BytesIO(data)))
    arrays["bank"] = arrays["bank"][:, :-1]
    cut = io.BytesIO()
    np.savez(cut, **arrays)
    for damaged in (b"", b"PK", data[:-30], cut.getvalue()):
        with pytest.raises(BadAnomalyModel, match="is not what"):
            AnomalyModel.load(damaged, "01020304")
    with pytest.raises(BadAnomalyModel, match="other weights"):
        AnomalyModel.load(data, "ffffffff")


def test_too_little_to_learn_from_is_said():
    with pytest.raises(ValueError, match="name at least 2"):
        learnt([latents(0)])
    blank = Latents(np.zeros((40, 8, 8), np.float32), None, 32, 128, 128)
    with pytest.raises(ValueError, match="blank"):
        learnt([blank, blank])
