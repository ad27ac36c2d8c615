"""Probability tables: what a logistic says, and what the symbols of photos say."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..format.constants import LEVELS, TABLES
from ..format.entropy import Tables, build_tables
from ..network.hyperprior import SIGMA_MAX, SIGMA_MIN
from ..network.model import ShippedNetwork
from .coding import code_picture, sample_pictures

MAX_HALF = 1023
LOGISTIC = math.sqrt(3) / math.pi  # scale of a logistic of unit standard deviation
FIT_EVERY = 7  # levels of each tune


def table_sigmas() -> np.ndarray:
    """The standard deviations of tables 1..63."""
    return np.geomspace(SIGMA_MIN, SIGMA_MAX, TABLES - 1)


def logistic_table(sigma: float, half: int) -> np.ndarray:
    """Probabilities of `-half..half`, and of everything outside, under a logistic of standard deviation `sigma`."""
    edges = np.arange(half + 1) + 0.5
    with np.errstate(over="ignore"):
        beyond = 1 / (1 + np.exp(edges / (LOGISTIC * sigma)))  # P(x > edge)
    upper = np.concatenate([[0.5], beyond[:-1]]) - beyond
    inside = np.concatenate([upper[:0:-1], [2 * upper[0]], upper[1:]])
    return np.append(inside, max(2 * beyond[-1], 1e-9))


def fit_table(counts: np.ndarray, sigma: float) -> np.ndarray:
    """The probabilities of one table from the symbols seen with it.

    A two-logistic mixture is fitted by maximum likelihood, and the histogram is then blended in: the more symbols
    were seen per entry, the more the histogram counts.

    Args:
        counts: how often each of `-half..half` and, last, anything outside was seen.
        sigma: the standard deviation the table was trained for.
    """
    half = (len(counts) - 2) // 2
    counts = counts.astype(np.float64)
    counts[:-1] = (counts[:-1] + counts[-2::-1]) / 2  # the sign carries no information
    ratios = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0)
    candidates = {r: logistic_table(sigma * r, half) for r in ratios}
    best, best_cost = candidates[1.0], math.inf
    for narrow in ratios:
        for wide in (r for r in ratios if r >= narrow):
            for share in (0.5, 0.7, 0.8, 0.9, 0.95):
                mixture = share * candidates[narrow] + (1 - share) * candidates[wide]
                cost = -float(counts @ np.log(mixture))
                if cost < best_cost:
                    best, best_cost = mixture, cost
    prior = 4.0 * len(counts)
    return (counts + prior * best / best.sum()) / (counts.sum() + prior)


def table_half(sigma: float) -> int:
    """The largest symbol in a table of that standard deviation."""
    return min(MAX_HALF, math.ceil(9 * sigma) + 1)


def logistic_tables() -> Tables:
    """The tables a network is trained for, not fitted to data: 1..63 for the latents and the same again for z."""
    return build_tables([logistic_table(s, table_half(s)) for s in table_sigmas()] * 2)


def empty_histograms() -> list[np.ndarray]:
    """For every table: zero counts of `-half..half` and of anything outside."""
    return [np.zeros(2 * table_half(sigma) + 2) for sigma in table_sigmas()]


def count_symbols(histograms: list[np.ndarray], symbols: np.ndarray, index: np.ndarray) -> None:
    """Add symbols coded with tables `index` (1..63) to the histograms."""
    index = index.astype(np.int64)
    order = np.argsort(index.reshape(-1).astype(np.uint8), kind="stable")
    ordered = symbols.reshape(-1)[order].astype(np.int64)
    stops = np.cumsum(np.bincount(index.reshape(-1), minlength=TABLES))
    for table, histogram in enumerate(histograms, start=1):
        values = ordered[stops[table - 1]:stops[table]]
        half = (len(histogram) - 2) // 2
        slots = np.where(np.abs(values) > half, 2 * half + 1, values + half)
        histogram += np.bincount(slots, minlength=len(histogram))


def fit_points(network: ShippedNetwork) -> list[int]:
    """The operating points at which tables and dead zones are fitted: some levels of every tune."""
    return [first + level for first in range(0, network.config.points, LEVELS) for level in range(0, LEVELS, FIT_EVERY)]


def fit_tables(network: ShippedNetwork, pictures: list[Path]) -> Tables:
    """Tables 1..63 for the latents and 64..126 for z, fitted to what the network codes in some pictures."""
    y_counts, z_counts = empty_histograms(), empty_histograms()
    for picture in sample_pictures(pictures, "fitting tables"):
        for level in fit_points(network):
            coded = code_picture(network, picture, level)
            count_symbols(y_counts, coded.symbols.numpy(), coded.tables.numpy())
            z_index = np.broadcast_to(network.z_index[level].numpy()[:, None, None], coded.z.shape)
            count_symbols(z_counts, coded.z.numpy(), np.ascontiguousarray(z_index) - (TABLES - 1))
    sigmas = table_sigmas()
    return build_tables([fit_table(c, s) for counts in (y_counts, z_counts)
                         for c, s in zip(counts, sigmas, strict=True)])
