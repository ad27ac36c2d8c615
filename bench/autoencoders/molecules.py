"""Molecules: Morgan fingerprints to few numbers, searched and steered in a library."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.decomposition import PCA

from aecodec.autoencoders import Autoencoder

from .data import MissingData, molecules
from .tables import Row, Table, Target, timed

LIBRARY, TESTED, QUERIES = 30_000, 2000, 500
UNITS = 128
BITS, RADIUS = 1024, 2
NEIGHBOURS = 10
PAIRS = 50_000
STEP = 3.0  # of logP, that a query's code is moved by
ALIKE = 0.02  # random neighbours are as similar to the query as the found one, within this
TANIMOTO, OVERLAP, SPEARMAN, GAIN, LUCK = ("Tanimoto", f"{NEIGHBOURS}-NN overlap", "Spearman", "logP gained",
                                           "logP of random")
OURS = "Autoencoder"
Rows = NDArray[np.float32]


class Chemistry(NamedTuple):
    """Fingerprints `[N, 1024]` of zeros and ones and logP `[N]`: of a library, and of molecules outside of it."""

    library: Rows
    library_logp: NDArray[np.float64]
    tested: Rows
    tested_logp: NDArray[np.float64]


def run(out: Path) -> Table:
    """MOSES, 1,024 bits to 128 numbers."""
    data = _fingerprints()
    table = Table(
        "molecules", f"Molecules: {BITS:,} bits to {UNITS} numbers",
        f"{LIBRARY:,} molecules of MOSES (Polykovskiy et al., 2020) as a library, {TESTED:,} others tested; Morgan "
        f"fingerprints of radius {RADIUS}. Tanimoto: of the fingerprints that come back (PCA's with the threshold that "
        f"does best on the library). Overlap: of the {NEIGHBOURS} nearest library molecules by code (cosine) and by "
        f"Tanimoto, for {QUERIES} queries. Spearman: of both similarities over {PAIRS:,} pairs. logP gained: the code "
        f"of a query is moved by {STEP:g} times the change of the codes that goes with one unit of logP, and the "
        "nearest library molecule is taken; beside it the mean of library molecules as similar to the query. No "
        "molecule is made up.",
        {TANIMOTO: ".3f", OVERLAP: ".3f", SPEARMAN: ".3f", GAIN: "+.2f", LUCK: "+.2f"})
    pca, seconds = timed(lambda: PCA(UNITS, random_state=0).fit(data.library))
    restored = pca.inverse_transform(pca.transform(data.tested))
    sample = data.library[:TESTED]
    back = pca.inverse_transform(pca.transform(sample))
    threshold = max(np.linspace(0.2, 0.6, 9), key=lambda at: _tanimoto(back > at, sample))
    table.rows.append(Row("MOSES", f"PCA, {UNITS}", {TANIMOTO: _tanimoto(restored > threshold, data.tested),
                                                     **_use(pca, data)}, seconds))
    model = autoencoder()
    model, seconds = timed(partial(model.fit, data.library))
    restored = model.reconstruct(data.tested)
    table.rows.append(Row("MOSES", OURS, {TANIMOTO: _tanimoto(restored > 0.5, data.tested), **_use(model, data)},
                          seconds, ours=True))
    for column, least in ((TANIMOTO, 0.80), (OVERLAP, 0.60), (SPEARMAN, 0.65)):
        ours, other = table.value(OURS, column), table.value(f"PCA, {UNITS}", column)
        table.targets += [Target(f"{column} at least {least:.2f}", ours >= least),
                          Target(f"{column} above PCA's", ours > other)]
    table.targets.append(Target("steps along logP gain more than random neighbours as similar",
                                table.value(OURS, GAIN) > table.value(OURS, LUCK)))
    return table


def autoencoder() -> Autoencoder:
    """The estimator of this table."""
    return Autoencoder(UNITS, (512,), loss="bernoulli", max_iter=1500, random_state=0)


def _fingerprints() -> Chemistry:
    try:
        from rdkit import Chem
        from rdkit.Chem.Crippen import MolLogP  # type: ignore[attr-defined]
        from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
    except ImportError as error:
        raise MissingData("no rdkit; install it with: pip install aecodec[chem]") from error
    generator = GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    known = [Chem.MolFromSmiles(text) for text in molecules(LIBRARY + TESTED)]
    bits = np.stack([generator.GetFingerprintAsNumPy(molecule) for molecule in known]).astype(np.float32)
    logp = np.array([MolLogP(molecule) for molecule in known])
    return Chemistry(bits[:LIBRARY], logp[:LIBRARY], bits[LIBRARY:], logp[LIBRARY:])


def _tanimoto(found: NDArray[np.bool_], truth: Rows) -> float:
    """The mean over molecules of the bits shared over the bits in either."""
    real = truth > 0.5
    return float(((found & real).sum(axis=1) / (found | real).sum(axis=1)).mean())


def _similarities(queries: Rows, library: Rows) -> Rows:
    """Tanimoto similarities, `[queries, library]`."""
    shared = queries @ library.T
    return shared / (queries.sum(axis=1)[:, None] + library.sum(axis=1) - shared)


def _use(model: PCA | Autoencoder, data: Chemistry) -> dict[str, float | None]:
    codes, library = model.transform(data.tested[:QUERIES]), model.transform(data.library)
    near = _cosines(codes, library)
    alike = _similarities(data.tested[:QUERIES], data.library)
    by_code, by_bits = (np.argpartition(-values, NEIGHBOURS, axis=1)[:, :NEIGHBOURS] for values in (near, alike))
    overlap = np.mean([len(set(a) & set(b)) for a, b in zip(by_code, by_bits, strict=True)]) / NEIGHBOURS
    random = np.random.default_rng(0)
    pairs = random.integers(QUERIES, size=PAIRS), random.integers(LIBRARY, size=PAIRS)
    differences = data.library_logp - data.library_logp.mean()
    change = (differences @ library / (differences @ differences)).astype(codes.dtype)
    found = _cosines(codes + STEP * change, library).argmax(axis=1)
    gains, chances = [], []
    for query, chosen in enumerate(found):
        as_similar = np.flatnonzero(np.abs(alike[query] - alike[query, chosen]) <= ALIKE)
        gains.append(data.library_logp[chosen] - data.tested_logp[query])
        chances.append(data.library_logp[as_similar].mean() - data.tested_logp[query])
    return {OVERLAP: float(overlap), SPEARMAN: float(spearmanr(near[pairs], alike[pairs])[0]),
            GAIN: float(np.mean(gains)), LUCK: float(np.mean(chances))}


def _cosines(codes: Rows, library: Rows) -> Rows:
    codes, library = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (codes, library))
    return codes @ library.T
