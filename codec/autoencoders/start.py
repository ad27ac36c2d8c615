"""Where training starts: the linear paths from the principal components of the rows, or at random."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA


class LinearStart(NamedTuple):
    """Directions for the linear paths, in the units of the scaled features."""

    axes: NDArray[np.floating]  # unit vectors, [units, features]
    deviations: NDArray[np.floating]  # standard deviations of the rows along them, [units]
    noise_variance: float  # the mean variance of a direction outside of them


def principal_components(rows: NDArray[np.floating], units: int, random: np.random.RandomState) -> LinearStart:
    """The principal components of centred rows `[N, features]`; where there are fewer than `units`, random directions
    follow them, so that an overcomplete code is possible."""
    count = min(units, *rows.shape)
    pca = PCA(count, random_state=random).fit(rows)
    axes, variances = pca.components_, pca.explained_variance_
    if count < units:
        more = random_directions(rows, units - count, random)
        axes = np.concatenate([axes, more.axes])
        variances = np.concatenate([variances, more.deviations**2])
    return LinearStart(axes, _usable(variances), float(max(pca.noise_variance_, 1e-4)))


def random_directions(rows: NDArray[np.floating], units: int, random: np.random.RandomState) -> LinearStart:
    """Random unit vectors."""
    axes = random.standard_normal((units, rows.shape[1])).astype(rows.dtype)
    axes /= np.linalg.norm(axes, axis=1, keepdims=True).clip(1e-12)
    sample = rows[random.permutation(len(rows))[:4096]]
    variances = (sample @ axes.T).var(axis=0)
    return LinearStart(axes, _usable(variances), float(rows.var(axis=0).mean().clip(1e-4)))


def _usable(variances: NDArray[np.floating]) -> NDArray[np.floating]:
    """Deviations to divide by: along constant directions, that of a hundredth of the largest."""
    deviations = np.sqrt(np.maximum(variances, 0))
    return np.maximum(deviations, max(1e-2 * float(deviations.max(initial=0)), 1e-6))
