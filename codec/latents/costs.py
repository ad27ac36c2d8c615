"""What the symbols of a file cost, where they stand."""

from __future__ import annotations

import numpy as np

from ..coder import Symbols
from ..format.constants import HYPER_STRIDE
from ..format.entropy import ESCAPE_BITS, Tables


def by_cell(symbols: Symbols, tables: Tables) -> np.ndarray:
    """The bits of every position of the latents, float32 `[h, w]`, those of the hyper-latents among them."""
    total = _of(symbols.y, symbols.y_tables, tables)
    hyper = _of(symbols.z, symbols.z_tables, tables)
    rows, columns = total.shape
    whole = hyper.repeat(HYPER_STRIDE, axis=0).repeat(HYPER_STRIDE, axis=1)[:rows, :columns]
    down, right = (np.minimum(HYPER_STRIDE, side - np.arange(side) // HYPER_STRIDE * HYPER_STRIDE)
                   for side in (rows, columns))
    return total + whole / np.outer(down, right).astype(np.float32)


def _of(symbols: np.ndarray, index: np.ndarray, tables: Tables) -> np.ndarray:
    """Bits of symbols `[C, h, w]` coded by the tables `index`, summed over channels."""
    costs = np.concatenate([np.zeros(0), *(tables.bits(table) for table in range(1, len(tables.half)))])
    total = np.zeros(symbols.shape[1:], np.float32)
    for own, chosen in zip(symbols, index, strict=True):
        half = tables.half[chosen].astype(np.int32)
        beyond = np.abs(own.astype(np.int32)) - half
        slot = np.where(beyond > 0, 2 * half + 1, own + half)
        # Table 0 has no entries: what is looked up for it is not used.
        cost = costs.take(tables.starts[chosen] + slot, mode="clip")
        escaped = beyond > 0
        if escaped.any():  # the bit length, then the bits below the top one: see `format.entropy`
            length = np.floor(np.log2(2.0 * beyond[escaped] - 1 + (own[escaped] < 0)))
            cost[escaped] += np.log2(ESCAPE_BITS + 1) + length
        total += np.where(chosen > 0, cost, 0)
    return total
