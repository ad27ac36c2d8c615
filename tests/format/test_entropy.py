"""The entropy coder: symbols to bytes and back, and what damaged bytes give."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aecodec.errors import CorruptFile
from aecodec.format.constants import SYMBOL_MAX, TABLE_TOTAL
from aecodec.format.entropy import (
    SymbolDecoder,
    SymbolEncoder,
    Tables,
    build_tables,
)


def laplace(scale: float, half: int) -> np.ndarray:
    """Probabilities of `-half..half` and of everything outside."""
    inside = np.exp(-np.abs(np.arange(-half, half + 1)) / scale)
    return np.append(inside, inside[-1])


SCALES = ((0.2, 0), (0.4, 1), (1.0, 4), (5.0, 40), (60.0, 400), (300.0, 1023))
TABLES = build_tables([laplace(scale, half) for scale, half in SCALES])


def code(symbols: np.ndarray, index: np.ndarray, tables: Tables = TABLES) -> bytes:
    encoder = SymbolEncoder(tables)
    encoder.encode(symbols, index)
    return encoder.finish()


def drawn(rng: np.random.Generator, index: np.ndarray, tables: Tables = TABLES) -> np.ndarray:
    """Symbols as likely as their tables say, escapes included."""
    symbols = np.zeros(index.shape, np.int64)
    for table in range(1, len(tables.half)):
        here, half = index == table, int(tables.half[table])
        share = tables.frequencies(table) / TABLE_TOTAL
        slots = rng.choice(len(share), size=int(here.sum()), p=share)
        beyond = rng.integers(half + 1, half + 20, len(slots)) * rng.choice([-1, 1], len(slots))
        symbols[here] = np.where(slots == len(share) - 1, beyond, slots - half)
    return symbols


@st.composite
def blocks(draw) -> tuple[np.ndarray, np.ndarray]:
    """Symbols and their tables: any tables, and symbols in them, a little outside, or anywhere."""
    count = draw(st.integers(0, 60))
    index = np.array(draw(st.lists(st.integers(0, len(SCALES)), min_size=count, max_size=count)), np.uint8)
    anywhere = st.one_of(st.integers(-3, 3), st.integers(-1100, 1100), st.integers(-SYMBOL_MAX, SYMBOL_MAX))
    symbols = np.array(draw(st.lists(anywhere, min_size=count, max_size=count)), np.int64)
    return np.where(index == 0, 0, symbols), index


# -- round trips --------------------------------------------------------------------------------------------------


@given(st.lists(blocks(), min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_symbols_read_back_as_they_were_written(parts):
    encoder = SymbolEncoder(TABLES)
    for symbols, index in parts:
        encoder.encode(symbols, index)
    decoder = SymbolDecoder(TABLES, encoder.finish())
    for symbols, index in parts:
        np.testing.assert_array_equal(decoder.decode(index), symbols)


@pytest.mark.parametrize("table", range(1, len(SCALES) + 1))
def test_every_symbol_of_a_table_and_the_edges_of_its_escape(table):
    half = int(TABLES.half[table])
    outside = [half + 1, half + 2, half + 3, 2 * half + 7, 16383, 16384, SYMBOL_MAX - 1, SYMBOL_MAX]
    symbols = np.array([*range(-half, half + 1), *outside, *(-v for v in outside)], np.int64)
    index = np.full(symbols.shape, table, np.uint8)
    np.testing.assert_array_equal(SymbolDecoder(TABLES, code(symbols, index)).decode(index), symbols)


def test_shapes_layouts_and_types_do_not_matter():
    rng = np.random.default_rng(1)
    index = rng.integers(0, len(SCALES) + 1, (6, 5, 7))
    symbols = drawn(rng, index)
    data = code(symbols.reshape(-1), index.reshape(-1).astype(np.uint8))
    turned = symbols.transpose(2, 1, 0).copy().transpose(2, 1, 0), index.transpose(2, 1, 0).copy().transpose(2, 1, 0)
    for pair in ((symbols, index), turned, (symbols.astype(np.int16), index.astype(np.uint8))):
        assert code(*pair) == data
    decoded = SymbolDecoder(TABLES, data).decode(index)
    assert decoded.dtype == np.int16
    np.testing.assert_array_equal(decoded, symbols)


def test_nothing_takes_no_bytes():
    empty = np.zeros((0, 4), np.int64)
    assert SymbolEncoder(TABLES).finish() == b""
    assert code(empty, empty) == b""
    assert SymbolDecoder(TABLES, b"").decode(empty).shape == (0, 4)


def test_table_zero_takes_no_bytes():
    zeros = np.zeros((3, 100), np.int64)
    assert code(zeros, zeros) == b""
    np.testing.assert_array_equal(SymbolDecoder(TABLES, b"").decode(zeros), zeros)


def test_zero_bytes_at_the_end_are_left_out():
    """A payload never ends in a zero byte, and decodes with any number of them behind it."""
    rng = np.random.default_rng(4)
    lengths = set()
    for count in rng.integers(1, 30, 1500):
        index = rng.integers(1, len(SCALES) + 1, count)
        symbols = drawn(rng, index)
        data = code(symbols, index)
        assert not data.endswith(b"\0")
        lengths.add(len(data) % 4)
        for more in (0, 1, 3, 8):
            np.testing.assert_array_equal(SymbolDecoder(TABLES, data + bytes(more)).decode(index), symbols)
    assert len(lengths) > 1  # it is bytes that are left out, not words of four


# -- cost ---------------------------------------------------------------------------------------------------------


def test_the_bytes_come_close_to_the_ideal():
    """Within 0.1 % and 8 bytes of the tables' code length, without escapes."""
    rng = np.random.default_rng(2)
    index = rng.integers(0, len(SCALES) + 1, 600_000)
    symbols = drawn(rng, index)
    index[np.abs(symbols) > TABLES.half[index]] = 0
    symbols[index == 0] = 0
    bits = sum(TABLES.bits(t)[symbols[index == t] + int(TABLES.half[t])].sum() for t in range(1, len(SCALES) + 1))
    size = len(code(symbols, index))
    assert bits / 8 <= size + 8
    assert size < bits / 8 * 1.001 + 8


def test_an_escape_costs_the_bits_of_its_distance():
    """Its slot, log2 17 bits for the length of twice the distance, and its bits below the top one."""
    rng = np.random.default_rng(5)
    for distance in (2, 100, 16_000):
        beyond = rng.integers(distance, 2 * distance, 2000)
        symbols = beyond * rng.choice([-1, 1], len(beyond))
        coded = 2 * (beyond - 1) + (symbols < 0) + 1
        bits = len(beyond) * (TABLES.bits(1)[-1] + math.log2(17)) + np.floor(np.log2(coded)).sum()
        size = len(code(symbols, np.ones(len(beyond), np.uint8)))  # table 1 holds zero alone
        assert abs(8 * size - bits) < 0.001 * bits + 64


# -- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symbol", [SYMBOL_MAX + 1, -SYMBOL_MAX - 1, 10**6])
def test_a_symbol_out_of_range_is_not_coded(symbol):
    with pytest.raises(ValueError, match="32767"):
        code(np.array([0, symbol]), np.array([1, 3]))


def test_table_zero_holds_zeros_only():
    with pytest.raises(ValueError, match="table 0"):
        code(np.array([0, 0, 1, 4]), np.array([0, 1, 0, 3]))


def test_an_unknown_table_is_refused():
    index = np.array([1, len(SCALES) + 1])
    with pytest.raises(ValueError, match="does not exist"):
        code(np.zeros(2, np.int64), index)
    with pytest.raises(ValueError, match="does not exist"):
        SymbolDecoder(TABLES, b"").decode(index)


@pytest.mark.parametrize(("counts", "half"), [
    ([40000, 25536], [1, 0]),  # table 0 is not empty
    ([40000, 25536, 1], [0, 0]),  # more counts than the tables have
    ([40000], [0, 0]),  # fewer
    ([65535, 0], [0, 0]),  # a symbol that cannot be coded
    ([40000, 20000], [0, 0]),  # not 2^16 in all
])
def test_inconsistent_tables_are_refused(counts, half):
    with pytest.raises(ValueError, match="table"):
        Tables(np.array(counts, np.uint16), np.array(half, np.uint16))


@given(st.binary(max_size=200), st.lists(st.integers(0, len(SCALES)), max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_symbols_or_corrupt_file(data, tables):
    index = np.array(tables, np.uint8)
    try:
        symbols = SymbolDecoder(TABLES, data).decode(index)
    except CorruptFile:
        return
    assert symbols.shape == index.shape
    assert np.abs(symbols.astype(np.int32)).max(initial=0) <= SYMBOL_MAX
    assert not symbols[index == 0].any()


def test_bytes_cut_short_or_damaged_give_symbols_or_corrupt_file():
    rng = np.random.default_rng(3)
    index = rng.integers(1, len(SCALES) + 1, 300)
    symbols = drawn(rng, index)
    symbols[::17] = rng.integers(-SYMBOL_MAX, SYMBOL_MAX, len(symbols[::17]))
    data = code(symbols, index)
    outcomes = {"symbols": 0, "error": 0}
    cut = [data[:length] for length in range(len(data))]
    flipped = [data[:i] + bytes([data[i] ^ 1 << int(rng.integers(8))]) + data[i + 1:] for i in range(len(data))]
    for damaged in cut + flipped:
        try:
            decoded = SymbolDecoder(TABLES, damaged).decode(index)
            assert np.abs(decoded.astype(np.int32)).max() <= SYMBOL_MAX
            outcomes["symbols"] += 1
        except CorruptFile:
            outcomes["error"] += 1
    assert min(outcomes.values()) > 0  # both happen, so both were tried


def test_bytes_beyond_every_interval_are_refused():
    """All ones lie above the last slot of the first model: an encoder cannot write them."""
    with pytest.raises(CorruptFile):
        SymbolDecoder(TABLES, b"\xff" * 64).decode(np.full(400, 2, np.uint8))


# -- tables -------------------------------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_built_tables_sum_to_two_to_the_sixteen(data):
    half = data.draw(st.sampled_from([0, 1, 2, 7, 100, 1023]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    sharpness = data.draw(st.sampled_from([0.0, 1.0, 5.0, 40.0, 700.0]))
    table = np.exp(-sharpness * rng.random(2 * half + 2))
    table[rng.random(len(table)) < data.draw(st.sampled_from([0.0, 0.3, 0.9]))] = 0
    table[data.draw(st.integers(0, len(table) - 1))] = 1
    built = build_tables([table, laplace(3.0, 9)])
    for t in (1, 2):
        frequencies = built.frequencies(t).astype(np.int64)
        assert frequencies.sum() == TABLE_TOTAL
        assert frequencies.min() >= 1
    assert built.half.tolist() == [0, half, 9]


def test_built_tables_keep_the_probabilities():
    table = laplace(5.0, 40)
    share = build_tables([table]).frequencies(1) / TABLE_TOTAL
    np.testing.assert_allclose(share, table / table.sum(), atol=1.5 / TABLE_TOTAL)
    assert math.isclose(np.exp2(-build_tables([table]).bits(1)).sum(), 1)


def test_a_table_has_an_odd_number_of_symbols():
    with pytest.raises(ValueError, match="odd"):
        build_tables([np.ones(3)])
