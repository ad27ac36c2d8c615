"""Dimensionality reduction: what 32 numbers keep of a small picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsClassifier

from aecodec.autoencoders import Autoencoder

from . import plots
from .data import Pictures, fashion_mnist
from .tables import Row, Table, Target, timed

UNITS = 32
HIDDEN = (512, 256, 128)
NEIGHBOURS = 5
CLUSTERED = 10_000


def run(out: Path) -> Table:
    """Fashion-MNIST, 784 features to 32 units, and to 2 for the map."""
    data = fashion_mnist()
    pca, pca_seconds = timed(lambda: PCA(UNITS, random_state=0).fit(data.train))
    model, seconds = timed(lambda: Autoencoder(UNITS, HIDDEN, max_iter=1200, random_state=0).fit(data.train))
    restored = {"PCA": pca.inverse_transform(pca.transform(data.test)), "Autoencoder": model.reconstruct(data.test)}
    codes = {"PCA": (pca.transform(data.train), pca.transform(data.test)),
             "Autoencoder": (model.transform(data.train), model.transform(data.test))}
    table = Table(
        "reconstruct", "Dimensionality reduction: 784 pixels to 32 numbers",
        f"Fashion-MNIST, fitted on 60,000 pictures, measured on the other 10,000: MSE of pixels within 0..1, accuracy "
        f"of {NEIGHBOURS} nearest neighbours among the codes of the 60,000, k-means of 10 clusters on the test codes "
        "against the classes as adjusted Rand index, a mean over 3 starts.",
        {"MSE": ".4f", "kNN accuracy": ".3f", "adjusted Rand index": ".3f"})
    for name, took in (("PCA", pca_seconds), ("Autoencoder", seconds)):
        values = {"MSE": float(np.square(restored[name] - data.test).mean()), **_use(*codes[name], data)}
        table.rows.append(Row("Fashion-MNIST", name, values, took, ours=name == "Autoencoder"))
    table.targets = [
        Target("MSE below PCA's", table.value("Autoencoder", "MSE") < table.value("PCA", "MSE")),
        Target("MSE at most 0.0105", table.value("Autoencoder", "MSE") <= 0.0105),
        Target("kNN accuracy above PCA's",
               table.value("Autoencoder", "kNN accuracy") > table.value("PCA", "kNN accuracy"))]
    shown = [int(np.flatnonzero(data.test_classes == index)[0]) for index in range(10)]
    plots.strips({"picture": data.test[shown], "PCA, 32": restored["PCA"][shown],
                  "Autoencoder, 32": restored["Autoencoder"][shown]}, out / "reconstructions.png")
    table.figures["reconstructions.png"] = "The first test picture of each class and what 32 numbers give back"
    _map(data, out / "map.png")
    table.figures["map.png"] = "5,000 test pictures in two dimensions: PCA, and an autoencoder with 2 units"
    return table


def _use(train: NDArray[np.floating], test: NDArray[np.floating], data: Pictures) -> dict[str, float | None]:
    neighbours = KNeighborsClassifier(NEIGHBOURS).fit(train, data.train_classes)
    clusterings = [KMeans(10, n_init=1, random_state=seed).fit_predict(test[:CLUSTERED]) for seed in range(3)]
    rand = np.mean([adjusted_rand_score(data.test_classes[:CLUSTERED], found) for found in clusterings])
    return {"kNN accuracy": float(neighbours.score(test, data.test_classes)), "adjusted Rand index": float(rand)}


def _map(data: Pictures, path: Path) -> None:
    rows, classes = data.test[:5000], data.test_classes[:5000]
    flat = Autoencoder(2, (256, 128), max_iter=800, random_state=0).fit(data.train)
    plots.maps({"PCA": PCA(2, random_state=0).fit(data.train).transform(rows),
                "Autoencoder": flat.transform(rows)}, classes, path)
