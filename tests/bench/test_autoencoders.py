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

from aecodec.bench.autoencoders import data, plots, tables


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
