"""Filling in: missing values of tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

from aecodec.autoencoders import Autoencoder, Mask

from .tables import Row, Table, Target, timed

SHARE = 0.2
SEEDS = 3
DATASETS: dict[str, Callable[..., Any]] = {"breast_cancer": load_breast_cancer, "wine": load_wine,
                                           "diabetes": load_diabetes}


def autoencoder(features: int, seed: int) -> Autoencoder:
    """The estimator of this table, the same for all data sets but for the features."""
    return Autoencoder(features, (256,), corruption=Mask(SHARE), max_iter=1500, batch_size=128, learning_rate=2e-3,
                       weight_decay=0.03, validation_fraction=0.1, random_state=seed)


def run(out: Path) -> Table:
    """breast_cancer, wine and diabetes with a fifth of the entries missing."""
    table = Table(
        "masked", "Filling in missing values",
        f"Standardised tables of scikit-learn with {SHARE:.0%} of the entries missing at random: each method is fitted "
        f"on the incomplete table and fills it in; RMSE of the filled-in entries in standard deviations, a mean over "
        f"{SEEDS} draws. `Autoencoder(corruption=Mask({SHARE}))` with the same settings for all tables.",
        {"RMSE": ".4f"})
    for name, load in DATASETS.items():
        rows = StandardScaler().fit_transform(load().data)
        found: dict[str, list[tuple[float, float]]] = {}
        for seed in range(SEEDS):
            missing = np.random.default_rng(seed).random(rows.shape) < SHARE
            given = np.where(missing, np.nan, rows)
            for method, fill in _methods(rows.shape[1], seed).items():
                filled, seconds = timed(partial(fill, given))
                found.setdefault(method, []).append(
                    (float(np.sqrt(np.square(filled - rows)[missing].mean())), seconds))
        for method, values in found.items():
            error, seconds = np.mean(values, axis=0)
            table.rows.append(Row(name, method, {"RMSE": float(error)}, float(seconds), ours=method == "Autoencoder"))
        ours, knn, iterative = (table.value(method, "RMSE", name)
                                for method in ("Autoencoder", "KNNImputer", "IterativeImputer"))
        table.targets += [Target(f"{name}: below KNNImputer", ours < knn),
                          Target(f"{name}: within 2 % of IterativeImputer ({ours / iterative - 1:+.1%})",
                                 ours <= 1.02 * iterative)]
    return table


def _methods(features: int, seed: int) -> dict[str, Callable[[NDArray[np.floating]], NDArray[np.floating]]]:
    return {
        "mean": SimpleImputer().fit_transform,
        "KNNImputer": KNNImputer().fit_transform,
        "IterativeImputer": IterativeImputer(max_iter=20, random_state=seed).fit_transform,
        "Autoencoder": lambda rows: autoencoder(features, seed).fit(rows.astype(np.float32)).impute(
            rows.astype(np.float32)),
    }
