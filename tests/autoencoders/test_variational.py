"""`VariationalAutoencoder`: its bound, samples, ways between rows and attributes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from aecodec.autoencoders import VariationalAutoencoder


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return load_digits().data / 16


@pytest.fixture(scope="module")
def fitted(digits) -> VariationalAutoencoder:
    return VariationalAutoencoder(8, (64,), max_iter=250, random_state=0).fit(digits)


def test_it_starts_as_probabilistic_pca():
    random = np.random.default_rng(0)
    rows = random.normal(size=(2000, 3)) @ random.normal(size=(3, 12)) + 0.3 * random.normal(size=(2000, 12))
    pca = PCA(3).fit(rows)
    model = VariationalAutoencoder(3, (), max_iter=1, learning_rate=1e-12, random_state=0).fit(rows)
    assert model.noise_variance_ == pytest.approx(pca.noise_variance_, rel=0.05)
    assert model.score(rows) == pytest.approx(pca.score(rows), abs=0.15)  # there the bound is the density


def test_training_raises_the_bound(digits, fitted):
    start = VariationalAutoencoder(8, (64,), max_iter=1, learning_rate=1e-12, random_state=0).fit(digits)
    assert fitted.score(digits) > start.score(digits) + 5
    assert fitted.elbo(digits[:10]).shape == (10,)
    noise = np.random.default_rng(0).random(digits.shape)
    assert fitted.elbo(noise).max() < np.median(fitted.elbo(digits))


# A normal prior also draws codes between those of the rows, whose decodings are closer to the mean.
@pytest.mark.parametrize(("prior", "least"), [("fitted", 0.7), ("normal", 0.5)])
def test_samples_have_the_moments_of_the_rows(digits, fitted, prior, least):
    samples = fitted.sample(2000, prior)
    assert samples.shape == (2000, 64)
    assert np.abs(samples.mean(axis=0) - digits.mean(axis=0)).max() < 0.1
    explained = PCA(8).fit(digits).explained_variance_.sum()
    assert least * explained < samples.var(axis=0).sum() < 1.3 * explained
    np.testing.assert_array_equal(fitted.sample(3, prior), fitted.sample(3, prior))


def test_interpolations_begin_and_end_with_the_rows(digits, fitted):
    way = fitted.interpolate(digits[:5], digits[5:10], steps=7)
    assert way.shape == (5, 7, 64)
    np.testing.assert_allclose(way[:, 0], fitted.reconstruct(digits[:5]), atol=1e-9)
    np.testing.assert_allclose(way[:, -1], fitted.reconstruct(digits[5:10]), atol=1e-9)
    with pytest.raises(ValueError, match="steps"):
        fitted.interpolate(digits[:1], digits[1:2], steps=1)


def test_a_step_along_an_attribute_moves_it(digits, fitted):
    classes = load_digits().target
    rows, eights = digits[np.isin(classes, (3, 8))], classes[np.isin(classes, (3, 8))] == 8
    judge = LogisticRegression(max_iter=300).fit(rows, eights)
    codes = fitted.transform(rows[~eights])
    direction = fitted.attribute(rows, eights)
    shares = [judge.predict_proba(fitted.inverse_transform(codes + step * direction))[:, 1].mean() for step in (0, 1)]
    assert shares[0] < 0.2
    assert shares[1] > 0.8
    np.testing.assert_allclose(direction, fitted.transform(rows[eights]).mean(axis=0) - codes.mean(axis=0), atol=1e-9)
    with pytest.raises(ValueError, match="same value"):
        fitted.attribute(digits, np.ones(len(digits)))


def test_bernoulli_rows(digits):
    bits = (digits > 0.5).astype(np.float64)
    model = VariationalAutoencoder(6, (64,), loss="bernoulli", max_iter=120, random_state=0).fit(bits)
    assert model.noise_variance_ is None
    rates = bits.mean(axis=0).clip(1e-3, 1 - 1e-3)
    independent = (bits * np.log(rates) + (1 - bits) * np.log(1 - rates)).sum(axis=1).mean()
    assert independent < model.score(bits) < 0
    samples = model.sample(100)
    assert 0 <= samples.min() <= samples.max() <= 1


def test_other_priors_and_weights_are_refused(digits, fitted):
    with pytest.raises(ValueError, match="fitted, normal"):
        fitted.sample(1, prior="uniform")
    with pytest.raises(ValueError, match="kl_weight"):
        VariationalAutoencoder(kl_weight=-1).fit(digits)
