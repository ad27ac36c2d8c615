"""A linear autoencoder trained from random weights finds the subspace of PCA."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.linalg import subspace_angles
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from aecodec.autoencoders import Autoencoder

from .tables import Row, Table, Target, timed

UNITS = 8


def run(out: Path) -> Table:
    """Digits, 64 features to 8 units."""
    rows = load_digits().data / 16
    pca, pca_seconds = timed(lambda: PCA(UNITS, random_state=0).fit(rows))
    linear = Autoencoder(UNITS, (), start="random", max_iter=6000, batch_size=len(rows), learning_rate=1e-2,
                         random_state=0)
    linear, seconds = timed(lambda: linear.fit(rows))
    decoder = linear.network_.decoder.linear.weight.detach().numpy()
    angle = float(subspace_angles(decoder, pca.components_.T).max())
    exact = float(np.square(rows - pca.inverse_transform(pca.transform(rows))).mean())
    error = float(np.square(rows - linear.reconstruct(rows)).mean())
    table = Table(
        "linear", "Linear: PCA by gradient descent",
        f"scikit-learn's digits, 64 features within 0..1 to {UNITS} units: `Autoencoder({UNITS}, hidden=(), "
        "start=\"random\")` trained from random weights, against the principal subspace.",
        {"MSE": ".8f", "excess MSE": ".1e", "largest principal angle (rad)": ".1e"},
        [Row("digits", "PCA", {"MSE": exact}, pca_seconds),
         Row("digits", "Autoencoder", {"MSE": error, "excess MSE": error - exact,
                                       "largest principal angle (rad)": angle}, seconds, ours=True)])
    table.targets = [Target("largest principal angle below 1e-3", angle < 1e-3),
                     Target("excess MSE below 1e-6", error - exact < 1e-6)]
    return table
