"""`aecodec bench autoencoders`: a table made in full, its files, and what is said when data is missing."""

from __future__ import annotations

import csv
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

from aecodec.bench.autoencoders import data, features, molecules, plots, pyod_detectors, pythae_vae, sparse, tables


def bench(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "aecodec", "bench", "autoencoders", *map(str, arguments)],
                          capture_output=True, text=True, check=False, env={**os.environ, **environment})


def test_missing_data_is_named_with_the_command_that_fetches_it(tmp_path):
    done = bench("denoise", "--out", tmp_path / "out", AECODEC_DATASETS=str(tmp_path))
    assert done.returncode == 1
    assert "tools/datasets fashion-mnist" in done.stderr
    assert "Traceback" not in done.stderr


def test_other_tables_are_refused():
    done = bench("sparser")
    assert done.returncode == 2
    assert "choose from linear" in done.stderr


def test_a_table_is_written_as_markdown_and_csv_with_its_losses(tmp_path):
    table = tables.Table("toy", "Toy", "How.", {"MSE": ".2f", "AUROC": ".3f"},
                         [tables.Row("digits", "PCA", {"MSE": 0.5}, 1.25),
                          tables.Row("digits", "Autoencoder", {"MSE": 0.75, "AUROC": 0.9}, ours=True, note="slow")],
                         [tables.Target("MSE below PCA's", False)], {"toy.png": "A toy"})
    assert table.value("Autoencoder", "MSE") == 0.75
    with pytest.raises(KeyError):
        table.value("PCA", "AUROC")
    tables.write(table, tmp_path)
    text = (tmp_path / "toy.md").read_text()
    assert "| digits | PCA | 0.50 |  | 1.2 |" in text
    assert "| digits | **Autoencoder** (slow) | 0.75 | 0.900 |  |" in text
    assert "**missed**: MSE below PCA's" in text
    assert "![A toy](toy.png)" in text
    rows = list(csv.DictReader((tmp_path / "toy.csv").open()))
    assert [row["value"] for row in rows] == ["0.5", "", "0.75", "0.9"]
    assert "## Toy" in tables.page(tmp_path, ["absent", "toy"], "a machine")


def test_fashion_mnist_if_it_is_there():
    try:
        pictures = data.fashion_mnist()
    except data.MissingData:
        pytest.skip("Fashion-MNIST was not fetched with tools/datasets")
    assert pictures.train.shape == (60000, 784)
    assert pictures.test.shape == (10000, 784)
    assert 0 == pictures.train.min() < pictures.train.max() == 1
    assert (np.bincount(pictures.train_classes) == 6000).all()


def test_figures_are_drawn(tmp_path):
    from PIL import Image

    random = np.random.default_rng(0)
    plots.strips({"a": random.random((4, 784)), "b": random.random((4, 784))}, tmp_path / "strips.png")
    plots.maps({"map": random.random((30, 2))}, np.arange(30) % 10, tmp_path / "map.png")
    for name in ("strips.png", "map.png"):
        assert np.asarray(Image.open(tmp_path / name).convert("L")).std() > 10


def test_the_frechet_distance_of_two_gaussians():
    random = np.random.default_rng(0)
    rows = random.normal(size=(500, 3)) * [1.0, 2.0, 3.0]
    assert features.frechet(rows, rows) == pytest.approx(0, abs=1e-9)
    assert features.frechet(rows, rows + np.array([0, 3, 4])) == pytest.approx(25)
    assert features.frechet(rows - rows.mean(axis=0), 2 * (rows - rows.mean(axis=0))) == pytest.approx(
        np.trace(np.cov(rows.T)))


def test_the_judge_is_kept_and_learns(tmp_path, monkeypatch):
    monkeypatch.setenv("AECODEC_DATASETS", str(tmp_path))
    monkeypatch.setattr(features, "EPOCHS", 12)
    random = np.random.default_rng(0)
    classes = random.integers(2, size=512).astype(np.uint8)
    rows = np.zeros((512, 28, 28), np.float32)
    rows[:, 4:12, 4:12] = classes[:, None, None]  # a square or nothing
    pictures = data.Pictures(rows.reshape(512, -1), classes, rows.reshape(512, -1), classes)
    judge = features.judge(pictures)
    assert (judge.classes(pictures.test) == classes).mean() > 0.95
    np.testing.assert_array_equal(features.judge(pictures).features(pictures.test), judge.features(pictures.test))


def test_atoms_are_learnt_and_pursued(monkeypatch):
    monkeypatch.setattr(sparse, "UNITS", 12)
    monkeypatch.setattr(sparse, "ACTIVE", 2)
    random = np.random.default_rng(0)
    truth = random.normal(size=(12, 20))
    codes = np.zeros((300, 12))
    for code in codes:
        code[random.permutation(12)[:2]] = random.normal(size=2)
    rows = codes @ truth
    atoms = sparse._learnt_atoms(rows)
    found = sparse._pursued(rows, atoms)
    assert ((found != 0).sum(axis=1) <= 2).all()
    assert np.square(found @ atoms - rows).mean() < 0.3 * rows.var()
    np.testing.assert_allclose(np.linalg.norm(atoms, axis=1), 1)


def test_tanimoto_similarities():
    bits = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 1]], np.float32)
    np.testing.assert_allclose(molecules._similarities(bits, bits), [[1, 1 / 3, 0], [1 / 3, 1, 1 / 3], [0, 1 / 3, 1]])
    assert molecules._tanimoto(bits[:2] > 0.5, bits[1:]) == pytest.approx(1 / 3)


def test_molecules_that_were_not_fetched_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("AECODEC_DATASETS", str(tmp_path))
    with pytest.raises(data.MissingData, match="tools/datasets moses"):
        data.molecules(3)


@pytest.mark.skipif(not pyod_detectors.installed(), reason="PyOD is not installed")
def test_pyods_detectors_get_the_seconds_they_are_given(monkeypatch):
    monkeypatch.setattr(pyod_detectors, "NAMES", ("PyOD's AutoEncoder",))
    rows = np.random.default_rng(0).random((200, 6)).astype(np.float32)
    fewer, more = (pyod_detectors.Timed(rows, seconds) for seconds in (0.0, 60.0))
    assert fewer.epochs["PyOD's AutoEncoder"] < more.epochs["PyOD's AutoEncoder"]
    score = fewer.fit("PyOD's AutoEncoder", rows)
    assert score(rows + 5).max() < np.median(score(rows))


@pytest.mark.skipif(not pythae_vae.installed(), reason="pythae is not installed")
def test_pythaes_vae_is_trained_and_sampled():
    rows = np.random.default_rng(0).random((300, 784)).astype(np.float32)
    rows[0, 0] = 1  # pythae asks for the full range
    model = pythae_vae.fitted(rows, 2, 0.3)
    drawn = pythae_vae.sampled(model, rows, 5, 2)
    assert {prior: samples.shape for prior, samples in drawn.items()} == {"normal": (5, 784), "fitted": (5, 784)}
