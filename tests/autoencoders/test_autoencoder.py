"""`Autoencoder` on small tables: it starts as PCA, learns more, restores, fills in, is sparse and steady."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("sklearn")

from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.impute import KNNImputer
from sklearn.preprocessing import StandardScaler

from aecodec.autoencoders import L1, Autoencoder, Mask, Noise, TopK
from aecodec.autoencoders.sparsity import Revival, keep_largest

UNUSED = 1e-12  # a learning rate at which nothing is learnt


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return (load_digits().data / 16).astype(np.float32)


def mse(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.square(a - b).mean())


def test_it_starts_as_pca(digits):
    pca = PCA(8, svd_solver="full").fit(digits)
    model = Autoencoder(8, (32,), max_iter=1, learning_rate=UNUSED, random_state=0).fit(digits)
    np.testing.assert_allclose(np.abs(model.transform(digits)), np.abs(pca.transform(digits)), atol=1e-4)
    np.testing.assert_allclose(model.reconstruct(digits), pca.inverse_transform(pca.transform(digits)), atol=1e-4)


def test_training_from_random_weights_finds_the_principal_subspace():
    scipy_linalg = pytest.importorskip("scipy.linalg")
    rows = np.random.default_rng(0).normal(size=(200, 8)) * 2.0 ** -np.arange(8)
    model = Autoencoder(3, (), start="random", max_iter=700, batch_size=200, learning_rate=2e-2, random_state=0)
    decoder = model.fit(rows).network_.decoder.linear.weight.detach().numpy()
    angles = scipy_linalg.subspace_angles(decoder, PCA(3).fit(rows).components_.T)
    assert angles.max() < 1e-3


def test_it_learns_what_pca_cannot_say(digits):
    pca = PCA(8).fit(digits)
    model = Autoencoder(8, (64,), max_iter=150, random_state=0).fit(digits[:1500])
    exact = mse(pca.inverse_transform(pca.transform(digits[1500:])), digits[1500:])
    assert mse(model.reconstruct(digits[1500:]), digits[1500:]) < 0.9 * exact
    assert model.score(digits[1500:]) == pytest.approx(-mse(model.reconstruct(digits[1500:]), digits[1500:]), rel=1e-3)
    assert len(model.loss_curve_) == model.n_iter_ == 150


def test_held_back_rows_keep_the_start_if_training_harms(digits):
    model = Autoencoder(8, (32,), max_iter=40, learning_rate=3.0, validation_fraction=0.2, random_state=0).fit(digits)
    unused = Autoencoder(8, (32,), max_iter=1, learning_rate=UNUSED, validation_fraction=0.2, random_state=0)
    np.testing.assert_allclose(model.reconstruct(digits), unused.fit(digits).reconstruct(digits), atol=1e-5)
    assert len(model.validation_curve_) == 40


def test_bernoulli_features(digits):
    bits = (digits > 0.5).astype(np.float32)
    model = Autoencoder(8, (64,), loss="bernoulli", max_iter=200, random_state=0).fit(bits)
    restored = model.reconstruct(bits)
    assert 0 < restored.min() < 0.05
    assert 0.95 < restored.max() < 1
    pca = PCA(8).fit(bits)
    assert ((restored > 0.5) != bits).mean() < 0.9 * ((pca.inverse_transform(pca.transform(bits)) > 0.5) != bits).mean()
    with pytest.raises(ValueError, match=r"within 0\.\.1"):
        model.fit(bits * 2)


def test_noise_is_removed(digits):
    noisy = digits + np.random.default_rng(0).normal(0, 0.3, digits.shape).astype(np.float32)
    taught = Autoencoder(16, (64,), corruption=Noise(0.3), max_iter=100, random_state=0).fit(digits[:1500])
    plain = Autoencoder(16, (64,), max_iter=100, random_state=0).fit(digits[:1500])
    error = mse(taught.reconstruct(noisy[1500:]), digits[1500:])
    assert error < 0.9 * mse(plain.reconstruct(noisy[1500:]), digits[1500:])
    assert error < 0.5 * mse(noisy[1500:], digits[1500:])


def test_missing_values_are_filled_in():
    rows = StandardScaler().fit_transform(load_wine().data).astype(np.float32)
    missing = np.random.default_rng(0).random(rows.shape) < 0.2
    given = np.where(missing, np.nan, rows)
    model = Autoencoder(13, (128,), corruption=Mask(0.2), max_iter=400, batch_size=128, weight_decay=0.03,
                        random_state=0).fit(given)
    filled = model.impute(given)
    np.testing.assert_array_equal(filled[~missing], rows[~missing])
    assert mse(filled[missing], rows[missing]) < 1.05 * mse(KNNImputer().fit_transform(given)[missing], rows[missing])
    np.testing.assert_array_equal(model.impute(rows), rows)
    assert np.isfinite(model.transform(given)).all()


def test_filling_in_must_have_been_learnt(digits):
    model = Autoencoder(2, (8,), max_iter=2).fit(digits)
    with pytest.raises(ValueError, match=r"corruption=Mask\(\)"):
        model.impute(digits)


def test_top_k_keeps_k_units(digits):
    model = Autoencoder(96, (64,), sparsity=TopK(6), max_iter=200, random_state=0).fit(digits)
    assert ((model.transform(digits) != 0).sum(axis=1) == 6).all()
    pca = PCA(6).fit(digits)
    assert mse(model.reconstruct(digits), digits) < mse(pca.inverse_transform(pca.transform(digits)), digits)


def test_units_that_never_win_are_found_and_decoded_alone():
    revival = Revival(TopK(1), 4, torch.device("cpu"))
    dense = torch.tensor([[4.0, 3.0, 2.0, 1.0], [3.0, 4.0, 1.0, 2.0]])
    sizes = torch.ones(4)
    kept = keep_largest(dense, 1, sizes)
    assert torch.equal(kept, torch.tensor([[4.0, 0, 0, 0], [0, 4.0, 0, 0]]))
    for _ in range(Revival.PATIENCE):
        assert revival.dead_code(dense, kept, sizes) is None
    assert torch.equal(revival.dead_code(dense, kept, sizes), torch.tensor([[0, 0, 2.0, 1.0], [0, 0, 1.0, 2.0]]))
    assert revival.dead_code(dense, dense, sizes) is None


def test_units_are_ranked_by_what_they_add():
    dense = torch.tensor([[4.0, 3.0, -2.0]])
    assert torch.equal(keep_largest(dense, 1, torch.tensor([1.0, 1.0, 3.0])), torch.tensor([[0, 0, -2.0]]))


def test_no_unit_is_left_unused(digits):
    model = Autoencoder(96, (64,), sparsity=TopK(6), start="random", max_iter=200, random_state=0).fit(digits)
    assert (model.transform(digits) != 0).any(axis=0).all()


def test_l1_makes_codes_sparser(digits):
    def spread(sparsity: L1 | None) -> float:
        codes = Autoencoder(24, (64,), sparsity=sparsity, max_iter=120, random_state=0).fit(digits).transform(digits)
        return float((np.abs(codes).mean(axis=0) / np.sqrt(np.square(codes).mean(axis=0))).mean())

    assert spread(L1(2.0)) < 0.9 * spread(None)


def test_contraction_makes_codes_steadier(digits):
    noise = np.random.default_rng(0).normal(0, 0.1, digits.shape).astype(np.float32)

    def shift(contraction: float) -> float:
        model = Autoencoder(8, (64,), contraction=contraction, max_iter=120, random_state=0).fit(digits)
        codes = model.transform(digits)
        return float((np.square(model.transform(digits + noise) - codes) / codes.var(axis=0)).mean())

    assert shift(0.3) < 0.8 * shift(0.0)


@pytest.mark.parametrize(("parameters", "message"), [
    ({"n_components": 0}, "n_components must be 1 or more"), ({"loss": "cubed"}, "loss must be one of squared"),
    ({"start": "zero"}, "start must be one of pca"), ({"learning_rate": 0.0}, "learning_rate must be positive"),
    ({"validation_fraction": 1.0}, "validation_fraction"), ({"contraction": -1.0}, "contraction must be 0 or more")])
def test_parameters_out_of_range_are_named(digits, parameters, message):
    with pytest.raises(ValueError, match=message):
        Autoencoder(**parameters).fit(digits)


def test_other_corruptions_and_sparsities_are_refused(digits):
    with pytest.raises(TypeError, match=r"TopK\(...\)"):
        Autoencoder(sparsity=3).fit(digits)
    with pytest.raises(TypeError, match=r"Noise\(...\)"):
        Autoencoder(corruption=0.1).fit(digits)
    for wrong in (lambda: TopK(0), lambda: L1(0), lambda: Noise(-1), lambda: Mask(1.5), lambda: Mask(0.2, rounds=0)):
        with pytest.raises(ValueError, match="must"):
            wrong()


def test_the_callers_random_state_is_left_alone(digits):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    Autoencoder(2, (8,), max_iter=2, random_state=0).fit(digits)
    assert torch.equal(torch.rand(3), expected)
