"""Denoising: noisy pictures to clean ones, through 32 numbers."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from aecodec.autoencoders import Autoencoder, Noise

from . import plots
from .data import fashion_mnist
from .tables import Row, Table, Target, timed

DEVIATION = 0.3
UNITS = 32
COUNTS = (16, 32, 48, 64, 96, 128)


def run(out: Path) -> Table:
    """Fashion-MNIST with Gaussian noise."""
    data = fashion_mnist()
    random = np.random.default_rng(0)
    noisy = data.test + random.normal(0, DEVIATION, data.test.shape).astype(np.float32)
    noisy_train = data.train + random.normal(0, DEVIATION, data.train.shape).astype(np.float32)
    table = Table(
        "denoise", "Denoising",
        f"Fashion-MNIST with Gaussian noise of deviation {DEVIATION} added to pixels within 0..1 (not clipped); "
        "MSE of what comes back to the clean test pictures. PCA is given the number of components that does best on "
        "the test pictures, of 16, 32, 48, 64, 96, 128; the autoencoder sees clean pictures and adds its own noise.",
        {"MSE to clean": ".4f"},
        [Row("Fashion-MNIST", "noisy pictures", {"MSE to clean": float(np.square(noisy - data.test).mean())})])
    pca, seconds = timed(lambda: PCA(max(COUNTS), random_state=0).fit(noisy_train))
    scores, errors = pca.transform(noisy), {}
    for count in COUNTS:
        restored = scores[:, :count] @ pca.components_[:count] + pca.mean_
        errors[count] = float(np.square(restored - data.test).mean())
    best = min(errors, key=lambda count: errors[count])
    by_pca = scores[:, :best] @ pca.components_[:best] + pca.mean_
    table.rows.append(Row("Fashion-MNIST", f"PCA, {UNITS}", {"MSE to clean": errors[UNITS]}, seconds))
    table.rows.append(Row("Fashion-MNIST", f"PCA, {best}", {"MSE to clean": errors[best]}, seconds, note="best"))
    restored = {}
    for name, corruption in (("Autoencoder", None), ("Autoencoder, Noise(0.3)", Noise(DEVIATION))):
        model = Autoencoder(UNITS, (512, 256), corruption=corruption, max_iter=700, random_state=0)
        model, seconds = timed(partial(model.fit, data.train))
        restored[name] = model.reconstruct(noisy)
        error = float(np.square(restored[name] - data.test).mean())
        table.rows.append(Row("Fashion-MNIST", name, {"MSE to clean": error}, seconds, ours=True))
    ours = table.value("Autoencoder, Noise(0.3)", "MSE to clean")
    table.targets = [Target("below PCA's", ours < min(errors.values())), Target("at most 0.0139", ours <= 0.0139)]
    plots.strips({"noisy": noisy[:10], f"PCA, {best}": by_pca[:10],
                  "Autoencoder": restored["Autoencoder, Noise(0.3)"][:10], "clean": data.test[:10]},
                 out / "denoising.png")
    table.figures["denoising.png"] = "Ten test pictures with noise, restored, and clean"
    return table
