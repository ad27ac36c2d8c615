"""Sparse codes: sixteen units at work of 256, against a dictionary and matching pursuit."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import orthogonal_mp_gram

from aecodec.autoencoders import Autoencoder, TopK

from . import plots
from .data import fashion_mnist
from .tables import Row, Table, Target, timed

UNITS = 256
ACTIVE = 16
TESTED = 5000
DICTIONARY_ROWS = 4000
DICTIONARY_ROUNDS = 8
Rows = NDArray[np.floating]


def run(out: Path) -> Table:
    """Fashion-MNIST with 16 of 256 units."""
    data = fashion_mnist()
    tested = data.test[:TESTED]
    mean = data.train.mean(axis=0)
    some = data.train[np.random.default_rng(0).permutation(len(data.train))[:DICTIONARY_ROWS]]
    table = Table(
        "sparse", f"Sparse codes: {ACTIVE} of {UNITS} units",
        f"Fashion-MNIST, MSE of {TESTED:,} test pictures from {ACTIVE} numbers and their places. OMP is scikit-learn's "
        f"orthogonal matching pursuit with the Gram matrix given; its dictionary of {UNITS} atoms is learnt by the "
        f"method of optimal directions (Engan et al., 1999), {DICTIONARY_ROUNDS} rounds over {DICTIONARY_ROWS:,} "
        "training pictures. Coding is CPU microseconds for one picture. Dead units are those at work in none of the "
        "pictures.",
        {"MSE": ".4f", "coding (us)": ".0f", "dead units": ".1%"})
    atoms, seconds = timed(partial(_learnt_atoms, some - mean))
    codes, coding = timed(partial(_pursued, tested - mean, atoms))
    by_omp = codes @ atoms + mean
    table.rows.append(_row("OMP", tested, by_omp, codes, seconds, coding))
    model = Autoencoder(UNITS, (512, 256), sparsity=TopK(ACTIVE), start="random", max_iter=1500, random_state=0)
    model, seconds = timed(partial(model.fit, data.train))
    codes, coding = timed(partial(model.transform, tested))
    by_model = model.inverse_transform(codes)
    table.rows.append(_row(f"Autoencoder, TopK({ACTIVE})", tested, by_model, codes, seconds, coding))
    ours, omp = (table.rows[1].values, table.rows[0].values)
    ratio = (omp["coding (us)"] or 0) / (ours["coding (us)"] or 1)
    table.targets = [Target("MSE no worse than OMP's", (ours["MSE"] or 1) <= (omp["MSE"] or 0)),
                     Target(f"coding 50 times as fast as OMP's ({ratio:.0f} times)", ratio >= 50),
                     Target("dead units under 1 %", (ours["dead units"] or 0) < 0.01)]
    plots.strips({"picture": tested[:10], f"OMP, {ACTIVE}": by_omp[:10], f"TopK({ACTIVE})": by_model[:10]},
                 out / "sparse.png")
    table.figures["sparse.png"] = f"Ten test pictures and what {ACTIVE} numbers at {UNITS} places give back"
    return table


def _row(method: str, rows: Rows, restored: Rows, codes: Rows, seconds: float, coding: float) -> Row:
    return Row("Fashion-MNIST", method,
               {"MSE": float(np.square(restored - rows).mean()), "coding (us)": 1e6 * coding / len(rows),
                "dead units": float(1 - (codes != 0).any(axis=0).mean())}, seconds, ours=method != "OMP")


def _pursued(rows: Rows, atoms: Rows) -> Rows:
    """Codes `[N, units]` of centred rows."""
    return orthogonal_mp_gram(atoms @ atoms.T, atoms @ rows.T, n_nonzero_coefs=ACTIVE, copy_Gram=False).T


def _learnt_atoms(rows: Rows) -> Rows:
    """Unit vectors `[units, features]`: codes by pursuit and atoms by least squares in turn, from rows at random."""
    random = np.random.default_rng(0)
    rows = rows.astype(np.float64)
    atoms = _units(rows[random.permutation(len(rows))[:UNITS]])
    for _ in range(DICTIONARY_ROUNDS):
        codes = _pursued(rows, atoms)
        atoms = np.linalg.lstsq(codes.T @ codes + 1e-6 * np.eye(UNITS), codes.T @ rows, rcond=None)[0]
        unused = np.linalg.norm(atoms, axis=1) < 1e-3
        atoms[unused] = rows[random.permutation(len(rows))[:unused.sum()]]
        atoms = _units(atoms)
    return atoms


def _units(rows: Rows) -> Rows:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
