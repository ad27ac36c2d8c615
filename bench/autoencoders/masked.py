"""Filling in: missing values of tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

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
Rows = NDArray[np.floating]


class Settings(NamedTuple):
    """What is chosen of the estimator, for all tables together."""

    hidden: tuple[int, ...]
    weight_decay: float


CANDIDATES = [Settings(hidden, decay) for hidden in ((64,), (256,)) for decay in (0.01, 0.03, 0.1)]


def autoencoder(features: int, seed: int, settings: Settings) -> Autoencoder:
    """The estimator of this table."""
    return Autoencoder(features, settings.hidden, corruption=Mask(SHARE), max_iter=1000, batch_size=128,
                       weight_decay=settings.weight_decay, validation_fraction=0.1, random_state=seed)


def run(out: Path) -> Table:
    """breast_cancer, wine and diabetes with a fifth of the entries missing."""
    halves = {name: _halves(StandardScaler().fit_transform(load().data)) for name, load in DATASETS.items()}
    settings = _chosen([chosen for chosen, _ in halves.values()])
    table = Table(
        "masked", "Filling in missing values",
        f"Standardised tables of scikit-learn with {SHARE:.0%} of the entries missing at random: each method is fitted "
        f"on the incomplete table and fills it in; RMSE of the filled-in entries in standard deviations, a mean over "
        f"{SEEDS} draws. `Autoencoder(hidden={settings.hidden}, weight_decay={settings.weight_decay}, "
        f"corruption=Mask({SHARE}))` for all tables, which did best of {len(CANDIDATES)} on one half of their rows; "
        "this is the other half.",
        {"RMSE": ".4f"})
    for name, (_, rows) in halves.items():
        found: dict[str, list[tuple[float, float]]] = {}
        for seed in range(SEEDS):
            missing = np.random.default_rng(seed).random(rows.shape) < SHARE
            given = np.where(missing, np.nan, rows)
            for method, fill in _methods(rows.shape[1], seed, settings).items():
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


def _halves(rows: Rows) -> tuple[Rows, Rows]:
    """Random halves: to choose on, and to report."""
    order = np.random.default_rng(0).permutation(len(rows))
    return rows[order[:len(rows) // 2]], rows[order[len(rows) // 2:]]


def _chosen(tables: list[Rows]) -> Settings:
    """The candidate of the least mean RMSE, each table counted by its own mean over the candidates."""
    errors = np.array([[_error(rows, settings) for settings in CANDIDATES] for rows in tables])
    return CANDIDATES[int((errors / errors.mean(axis=1, keepdims=True)).mean(axis=0).argmin())]


def _error(rows: Rows, settings: Settings) -> float:
    missing = np.random.default_rng(0).random(rows.shape) < SHARE
    given = np.where(missing, np.nan, rows).astype(np.float32)
    filled = autoencoder(rows.shape[1], 0, settings).fit(given).impute(given)
    return float(np.sqrt(np.square(filled - rows)[missing].mean()))


def _methods(features: int, seed: int, settings: Settings) -> dict[str, Callable[[Rows], Rows]]:
    return {
        "mean": SimpleImputer().fit_transform,
        "KNNImputer": KNNImputer().fit_transform,
        "IterativeImputer": IterativeImputer(max_iter=20, random_state=seed).fit_transform,
        "Autoencoder": lambda rows: autoencoder(features, seed, settings).fit(rows.astype(np.float32)).impute(
            rows.astype(np.float32)),
    }
