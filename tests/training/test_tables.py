"""Probability tables: logistic ones, fitted ones, and the counts they are fitted to."""

from __future__ import annotations

import numpy as np
import pytest

from aecodec.network.hyperprior import SIGMA_MAX, SIGMA_MIN
from aecodec.training import tables


@pytest.mark.parametrize("sigma", [SIGMA_MIN, 1.0, 30.0, SIGMA_MAX])
def test_logistic_tables_are_the_logistic(sigma):
    half = tables.table_half(sigma)
    table = tables.logistic_table(sigma, half)
    assert len(table) == 2 * half + 2
    assert table.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(table[:-1], table[-2::-1])
    values = np.arange(-half, half + 1)
    deviation = np.sqrt((table[:-1] * values**2).sum() + table[-1] * (half + 1) ** 2)
    assert deviation == pytest.approx(np.sqrt(sigma**2 + 1 / 12), rel=0.02) or sigma in (SIGMA_MIN, SIGMA_MAX)



def test_tables_are_fitted_to_what_was_seen():
    rng = np.random.default_rng(0)
    seen = rng.laplace(0, 2.0, 200_000).round().astype(int)  # not logistic, and narrower than the table's sigma
    half = tables.table_half(3.0)
    counts = np.bincount(np.where(np.abs(seen) > half, 2 * half + 1, seen + half), minlength=2 * half + 2)
    fitted = tables.fit_table(counts, 3.0)
    assert fitted.sum() == pytest.approx(1)
    assert fitted.min() > 0
    ideal = -(counts / counts.sum() * np.log2(np.maximum(counts / counts.sum(), 1e-12))).sum()
    cost = -(counts / counts.sum() * np.log2(fitted)).sum()
    assert ideal <= cost < 1.01 * ideal
    untouched = tables.fit_table(np.zeros(2 * half + 2), 3.0)
    assert untouched.sum() == pytest.approx(1)



def test_symbols_are_counted_by_table():
    histograms = tables.empty_histograms()
    index = np.array([0, 1, 1, 5, 63, 63])
    symbols = np.array([0, 0, 30_000, -1, 2, -30_000])
    tables.count_symbols(histograms, symbols, index)
    assert sum(h.sum() for h in histograms) == 5
    for table, symbol in ((1, 0), (5, -1), (63, 2)):
        half = (len(histograms[table - 1]) - 2) // 2
        assert histograms[table - 1][symbol + half] == 1
    assert histograms[0][-1] == histograms[62][-1] == 1
