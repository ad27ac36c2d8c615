"""`AutoencoderDetector`: what it calls an outlier, and the sign and the share of it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from aecodec.autoencoders import Autoencoder, AutoencoderDetector


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    data = load_digits()
    return (data.data / 16).astype(np.float32), data.target


def test_one_digit_is_told_from_the_others(digits):
    rows, classes = digits
    threes = rows[classes == 3]
    detector = AutoencoderDetector(Autoencoder(8, (32,), max_iter=60), contamination=0.05, random_state=0)
    detector.fit(threes[:120])
    tested, normal = np.concatenate([threes[120:], rows[classes != 3]]), len(threes) - 120
    truth = np.arange(len(tested)) < normal
    assert roc_auc_score(truth, detector.decision_function(tested)) > 0.95
    np.testing.assert_array_equal(detector.predict(tested), np.where(detector.decision_function(tested) < 0, -1, 1))
    np.testing.assert_allclose(detector.score_samples(tested) - detector.offset_, detector.decision_function(tested))


def test_the_share_of_outliers_is_what_was_asked_for(digits):
    rows, _ = digits
    found = AutoencoderDetector(Autoencoder(8, (32,), max_iter=20), contamination=0.1, random_state=0).fit_predict(rows)
    assert (found == -1).mean() == pytest.approx(0.1, abs=0.005)


def test_parameters_out_of_range_are_named(digits):
    for parameters, message in (({"contamination": 0.7}, "contamination"), ({"n_neighbors": 0}, "n_neighbors")):
        with pytest.raises(ValueError, match=message):
            AutoencoderDetector(**parameters).fit(digits[0])
