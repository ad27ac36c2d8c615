"""Contractive: codes that move less when pictures do."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from aecodec.autoencoders import Autoencoder

from .data import fashion_mnist
from .tables import Row, Table, Target, timed

UNITS = 32
DEVIATION = 0.1
#: Of 0.01, 0.03, 0.1 and 0.3 the largest that costs at most 6 % of MSE: on the last 4,000 training pictures, fitted on
#: the first 50,000.
WEIGHT = 0.1


def run(out: Path) -> Table:
    """Fashion-MNIST, 784 features to 32 units, with and without the penalty."""
    data = fashion_mnist()
    pca, seconds = timed(lambda: PCA(UNITS, random_state=0).fit(data.train))
    table = Table(
        "contractive", "Contractive: codes that keep still",
        f"Fashion-MNIST, 784 pixels to {UNITS} numbers. Shift is how far the codes of the test pictures move, as root "
        f"mean square in the units' standard deviations, under Gaussian noise of deviation {DEVIATION} that the "
        f"training has not seen. The weight was chosen on training pictures that were held back.",
        {"MSE": ".4f", "shift": ".3f"},
        [Row("Fashion-MNIST", "PCA", values(pca, pca.inverse_transform(pca.transform(data.test)), data.test), seconds)])
    for name, weight in (("Autoencoder", 0.0), (f"Autoencoder, contraction={WEIGHT}", WEIGHT)):
        model, seconds = timed(partial(autoencoder(weight).fit, data.train))
        table.rows.append(Row("Fashion-MNIST", name, values(model, model.reconstruct(data.test), data.test), seconds,
                              ours=True))
    (mse, shift), (steady_mse, steady_shift) = ((row.values["MSE"] or 1, row.values["shift"] or 1)
                                                for row in table.rows[1:])
    table.targets = [
        Target(f"shift at least a third lower ({steady_shift / shift - 1:+.1%})", steady_shift <= shift * 2 / 3),
        Target(f"for at most 6 % of MSE ({steady_mse / mse - 1:+.1%})", steady_mse <= 1.06 * mse)]
    return table


def autoencoder(weight: float) -> Autoencoder:
    """The estimator of this table."""
    return Autoencoder(UNITS, (256, 128), contraction=weight, max_iter=700, random_state=0)


def values(model: PCA | Autoencoder, restored: NDArray[np.floating],
           rows: NDArray[np.floating]) -> dict[str, float | None]:
    """The row of a model, on pictures and their reconstructions."""
    noise = np.random.default_rng(0).normal(0, DEVIATION, rows.shape).astype(np.float32)
    codes = model.transform(rows)
    moved = (model.transform(rows + noise) - codes) / codes.std(axis=0)
    return {"MSE": float(np.square(restored - rows).mean()), "shift": float(np.sqrt(np.square(moved).mean()))}
