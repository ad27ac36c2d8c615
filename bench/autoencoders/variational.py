"""Variational: samples, ways between pictures, and an attribute moved, as a small classifier's features see them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from aecodec.autoencoders import VariationalAutoencoder

from . import plots, pythae_vae
from .data import CLASSES, Pictures, fashion_mnist
from .features import Judge, frechet, judge
from .tables import Row, Table, Target, timed

UNITS = 16
COMPONENTS = 50
MIXTURE_ROWS = 20_000
MIXTURE_UNITS = (16, 32)
SAMPLES = 10_000
PAIRS = 5000
SEARCHED = 500  # midpoints whose nearest picture is looked for, among as many pictures as the mixture is fitted to
FROM, TO = "T-shirt", "pullover"
STEPS = (0.0, 0.5, 1.0, 1.5)
FRECHET, NEAREST, JUDGED = "Frechet distance", "RMS to nearest", f"judged a {TO}"
OURS = "VariationalAutoencoder"
#: Of PCA + GMM's Frechet distance, whose marks for the fitted and the normal prior were 20 and 60 beside its 39.
FITTED_SHARE, NORMAL_SHARE = 20 / 39, 60 / 39
Rows = NDArray[np.floating]


def run(out: Path) -> Table:
    """Fashion-MNIST with 16 units."""
    data = fashion_mnist()
    network = judge(data)
    model, seconds = timed(lambda: autoencoder().fit(data.train))
    pca = PCA(UNITS, random_state=0).fit(data.train)
    table = Table(
        "variational", "Variational: samples, interpolations, attributes",
        f"Fashion-MNIST, {UNITS} units, fitted on 60,000 pictures. The Frechet distance is between the test pictures' "
        f"features and those of {SAMPLES:,} samples ({PAIRS:,} midpoints; for the attribute the moved {FROM}s and the "
        f"{TO}s), in the last hidden layer of a small convolutional classifier that the benchmark trains "
        f"({float(np.mean(network.classes(data.test) == data.test_classes)):.1%} of the test pictures right). It is on "
        f"a scale of its own: two sets of real pictures are {_between_real(network, data):.1f} apart. Mixtures have "
        f"{COMPONENTS} Gaussians and are fitted to {MIXTURE_ROWS:,} codes. Midpoints are of random pairs of test "
        f"pictures; RMS to nearest is that of pixels, to the nearest of {MIXTURE_ROWS:,} training pictures, for "
        f"{SEARCHED} of them. The attribute: test {FROM}s are moved by the difference of the mean {TO} and the mean "
        f"{FROM} of the training pictures, as pixels, in PCA's codes and in the autoencoder's.",
        {FRECHET: ".1f", NEAREST: ".4f", JUDGED: ".0%"})
    _samples(table, model, pca, data, network, seconds, out)
    _midpoints(table, model, pca, data, network, out)
    _attribute(table, model, pca, data, network, out)
    if not pythae_vae.installed():
        table.method += " pythae was not installed, so its VAE is missing here."
    return table


def autoencoder() -> VariationalAutoencoder:
    """The estimator of this table."""
    return VariationalAutoencoder(UNITS, (512, 256), max_iter=1000, prior_components=COMPONENTS, random_state=0)


def _between_real(network: Judge, data: Pictures) -> float:
    return frechet(network.features(data.train[:len(data.test)]), network.features(data.test))


def _samples(table: Table, model: VariationalAutoencoder, pca: PCA, data: Pictures, network: Judge, seconds: float,
             out: Path) -> None:
    random = np.random.default_rng(0)
    some = data.train[random.permutation(len(data.train))[:MIXTURE_ROWS]]
    drawn: dict[str, tuple[Rows, float | None]] = {}
    codes = random.standard_normal((SAMPLES, UNITS)) * np.sqrt(pca.explained_variance_)
    noise = random.standard_normal((SAMPLES, data.train.shape[1])) * np.sqrt(pca.noise_variance_)
    drawn["PPCA"] = (pca.inverse_transform(codes), None)
    drawn["PPCA, with its noise"] = (drawn["PPCA"][0] + noise, None)
    for units in MIXTURE_UNITS:
        linear = PCA(units, random_state=0).fit(data.train)
        mixture = GaussianMixture(COMPONENTS, reg_covar=1e-4, random_state=0, max_iter=50, tol=1e-2)
        mixture, took = timed(partial(mixture.fit, linear.transform(some).astype(np.float64)))
        drawn[f"PCA, {units} + GMM"] = (linear.inverse_transform(random.permutation(mixture.sample(SAMPLES)[0])), took)
    if pythae_vae.installed():
        other = pythae_vae.fitted(data.train, UNITS, seconds)
        for prior, samples in pythae_vae.sampled(other, some, SAMPLES, COMPONENTS).items():
            drawn[f"pythae's VAE, {prior} prior"] = (samples, seconds)
    for prior in ("normal", "fitted"):
        drawn[f"{OURS}, {prior} prior"] = (model.sample(SAMPLES, prior), seconds)
    real = network.features(data.test)
    for method, (rows, took_seconds) in drawn.items():
        distance = frechet(network.features(rows), real)
        table.rows.append(Row("samples", method, {FRECHET: distance}, took_seconds, ours=method.startswith(OURS)))
    reference = min(table.value(f"PCA, {units} + GMM", FRECHET) for units in MIXTURE_UNITS)
    for prior, share in (("fitted", FITTED_SHARE), ("normal", NORMAL_SHARE)):
        found = table.value(f"{OURS}, {prior} prior", FRECHET)
        table.targets.append(Target(f"{prior} prior: at most {share:.2f} of the best PCA + GMM's distance "
                                    f"({found / reference:.2f})", found <= share * reference))
    plots.strips({**{method: rows[:12] for method, (rows, _) in drawn.items()}, "test pictures": data.test[:12]},
                 out / "samples.png")
    table.figures["samples.png"] = "Samples, the first twelve of each method, and test pictures"


def _midpoints(table: Table, model: VariationalAutoencoder, pca: PCA, data: Pictures, network: Judge,
               out: Path) -> None:
    random = np.random.default_rng(2)
    first, second = (data.test[random.permutation(len(data.test))[:PAIRS]] for _ in range(2))
    fade = (first + second) / 2
    midpoints = {"pixel cross-fade": fade, f"PCA, {UNITS}": pca.inverse_transform(pca.transform(fade)),
                 OURS: model.interpolate(first, second, 3)[:, 1]}
    neighbours = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(data.train[:MIXTURE_ROWS])
    real = network.features(data.test)
    for method, rows in midpoints.items():
        distances = neighbours.kneighbors(rows[:SEARCHED].astype(np.float32))[0] / np.sqrt(rows.shape[1])
        table.rows.append(Row("midpoints", method,
                              {FRECHET: frechet(network.features(rows), real), NEAREST: float(distances.mean())},
                              ours=method == OURS))
    for column in (NEAREST, FRECHET):
        for other in ("pixel cross-fade", f"PCA, {UNITS}"):
            share = table.value(OURS, column, "midpoints") / table.value(other, column, "midpoints")
            table.targets.append(Target(f"midpoints: {column} below that of {other} ({share - 1:+.1%})", share < 1))
    shown: dict[str, Rows] = {}
    way = np.linspace(0, 1, 9, dtype=np.float32)[:, None]
    for pair in range(3):
        shown[f"cross-fade {pair + 1}"] = first[pair] * (1 - way) + second[pair] * way
        shown[f"code {pair + 1}"] = model.interpolate(first[pair:pair + 1], second[pair:pair + 1], 9)[0]
    plots.strips(shown, out / "interpolations.png")
    table.figures["interpolations.png"] = "Three ways between two test pictures: pixels faded, and codes decoded"


def _attribute(table: Table, model: VariationalAutoencoder, pca: PCA, data: Pictures, network: Judge,
               out: Path) -> None:
    start, target = CLASSES.index(FROM), CLASSES.index(TO)
    both = np.isin(data.train_classes, (start, target))
    rows, is_target = data.train[both], data.train_classes[both] == target
    given = data.test[data.test_classes == start]
    pixels = rows[is_target].mean(axis=0) - rows[~is_target].mean(axis=0)
    in_pca = pca.transform(rows[is_target]).mean(axis=0) - pca.transform(rows[~is_target]).mean(axis=0)
    direction = model.attribute(rows, is_target)
    codes = model.transform(given)
    moved = {"pixels": given + pixels, f"PCA, {UNITS}": pca.inverse_transform(pca.transform(given) + in_pca),
             OURS: model.inverse_transform(codes + direction)}
    real = network.features(data.test[data.test_classes == target])
    name = f"{FROM} to {TO}"
    table.rows.append(Row(name, "unmoved", _moved(given, network, real, target)))
    table.rows += [Row(name, method, _moved(pictures, network, real, target), ours=method == OURS)
                   for method, pictures in moved.items()]
    for other in ("pixels", f"PCA, {UNITS}"):
        table.targets += [
            Target(f"attribute: more {JUDGED} than with {other}",
                   table.value(OURS, JUDGED, name) > table.value(other, JUDGED, name)),
            Target(f"attribute: {FRECHET} below that of {other}",
                   table.value(OURS, FRECHET, name) < table.value(other, FRECHET, name))]
    plots.strips({"picture": given[:10], **{f"+ {step:g}": model.inverse_transform(codes[:10] + step * direction)
                                            for step in STEPS}}, out / "attribute.png")
    table.figures["attribute.png"] = f"Ten {FROM}s moved towards {TO}s, in steps of the difference of the mean codes"


def _moved(pictures: Rows, network: Judge, real: Rows, target: int) -> dict[str, float | None]:
    return {FRECHET: frechet(network.features(pictures), real),
            JUDGED: float(np.mean(network.classes(pictures) == target))}
