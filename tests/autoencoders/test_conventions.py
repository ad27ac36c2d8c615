"""scikit-learn's conventions: its own checks of estimators, clones, pickles."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from aecodec.autoencoders import L1, Autoencoder, AutoencoderDetector, Mask, Noise, TopK, VariationalAutoencoder

QUICK = {"n_components": 2, "hidden": (8,), "max_iter": 3}
ESTIMATORS = [
    Autoencoder(**QUICK),
    Autoencoder(**QUICK, corruption=Mask()),
    Autoencoder(**{**QUICK, "n_components": 12}, sparsity=TopK(2), validation_fraction=0.2),
    VariationalAutoencoder(**QUICK),
    AutoencoderDetector(Autoencoder(**QUICK)),
]


@parametrize_with_checks(ESTIMATORS)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", [
    Autoencoder(**QUICK, sparsity=L1(0.2), contraction=0.1, corruption=Noise(0.2), random_state=0),
    VariationalAutoencoder(**QUICK, random_state=0), AutoencoderDetector(Autoencoder(**QUICK), random_state=0)])
def test_a_clone_and_a_pickle_do_the_same(estimator):
    rows = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    fitted = estimator.fit(rows)
    again = clone(fitted).fit(rows)
    loaded = pickle.loads(pickle.dumps(fitted))
    method = "transform" if hasattr(fitted, "transform") else "score_samples"
    expected = getattr(fitted, method)(rows)
    assert expected.dtype == np.float32
    np.testing.assert_array_equal(getattr(again, method)(rows), expected)
    np.testing.assert_array_equal(getattr(loaded, method)(rows), expected)
