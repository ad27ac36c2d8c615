"""Integer symbols to bytes and back, with constriction's range coder and shipped integer tables. NumPy only.

Symbols are grouped by the table that codes them, so that the coder runs over long stretches with one model. A symbol
outside its table takes the table's last entry, the escape; the values of all escapes of a group follow it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import constriction
import numpy as np

from ..errors import CorruptFile
from .constants import SYMBOL_MAX, TABLE_TOTAL

Categorical, Uniform = constriction.stream.model.Categorical, constriction.stream.model.Uniform
RangeEncoder, RangeDecoder = constriction.stream.queue.RangeEncoder, constriction.stream.queue.RangeDecoder

CHUNK = 1 << 22  # symbols that are sorted and coded at a time
ESCAPE_BITS = 16  # an escape codes |symbol| - half - 1, below 2^15, by its bit length and its bits


@dataclass(frozen=True, eq=False)
class Tables:
    """The probability tables of a model.

    Table `t` codes the symbols `-half[t]..half[t]` with frequencies `counts[start[t]:start[t + 1]]`, which sum to
    2^16 and of which the last is the escape's. Table 0 means "always zero": it has no entries and codes nothing.
    """

    counts: np.ndarray  # uint16 [total]
    half: np.ndarray  # uint16 [tables]

    def __post_init__(self) -> None:
        if self.half[0] != 0 or int(self.starts[-1]) != len(self.counts) or (self.counts == 0).any():
            raise ValueError("the probability tables are inconsistent")
        if (np.add.reduceat(self.counts.astype(np.int64), self.starts[1:-1]) != TABLE_TOTAL).any():
            raise ValueError(f"the probability tables do not sum to {TABLE_TOTAL}")

    @functools.cached_property
    def starts(self) -> np.ndarray:
        lengths = 2 * self.half.astype(np.int64) + 2
        lengths[0] = 0
        return np.concatenate([[0], np.cumsum(lengths)])

    def frequencies(self, table: int) -> np.ndarray:
        """The integer frequencies of a table, the escape last."""
        return self.counts[self.starts[table]:self.starts[table + 1]]

    @functools.cached_property
    def models(self) -> list[Any]:
        """One constriction model per table. Integers below 2^24 are exact in float32, and constriction's fast
        quantisation is additions and multiplications alone: the same model on every machine."""
        return [None] + [Categorical(self.frequencies(t).astype(np.float32), perfect=False)
                         for t in range(1, len(self.half))]

    @functools.cached_property
    def variances(self) -> np.ndarray:
        """The variance of the symbols of every table, float32 `[tables]`; 0 of table 0."""
        result = np.zeros(len(self.half), np.float32)
        for table in range(1, len(self.half)):
            half = int(self.half[table])
            frequencies = self.frequencies(table)[:-1].astype(np.float64)
            result[table] = frequencies @ np.arange(-half, half + 1.0)**2 / frequencies.sum()
        return result

    def bits(self, table: int) -> np.ndarray:
        """What each entry of a table costs, in bits."""
        frequencies = self.frequencies(table).astype(np.float64)
        return -np.log2(frequencies / frequencies.sum())


@dataclass(frozen=True)
class _Chunk:
    """A stretch of symbols whose order by table is made at once: sorting all of a large picture takes gigabytes."""

    begin: int
    index: np.ndarray  # uint8 [n]
    counts: np.ndarray  # how many symbols each table has

    def groups(self) -> Iterator[tuple[int, np.ndarray]]:
        """`(table, positions)` of the symbols of every table that codes some, in ascending order."""
        order = np.argsort(self.index, kind="stable")
        stops = np.cumsum(self.counts)
        for table, (count, stop) in enumerate(zip(self.counts.tolist(), stops.tolist(), strict=True)):
            if table and count:
                yield table, self.begin + order[stop - count:stop]


def _chunks(index: np.ndarray, tables: Tables) -> Iterator[_Chunk]:
    for begin in range(0, index.size, CHUNK):
        part = index[begin:begin + CHUNK]
        yield _Chunk(begin, part, np.bincount(part, minlength=len(tables.half)))


def _as_index(index: np.ndarray, tables: Tables) -> np.ndarray:
    index = np.ascontiguousarray(index, dtype=np.uint8).reshape(-1)
    if index.size and int(index.max()) >= len(tables.half):
        raise ValueError(f"table index {int(index.max())} does not exist")
    return index


class SymbolEncoder:
    """Collects groups of symbols and gives their bytes."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._coder = RangeEncoder()

    def encode(self, symbols: np.ndarray, index: np.ndarray) -> None:
        """Append `symbols` (any integers within +-32767), each coded with table `index` (same shape, 0..63).

        Symbols of table 0 are not coded and must be zero. Raises ValueError.
        """
        index = _as_index(index, self._tables)
        flat = symbols.reshape(-1)
        if flat.size and max(int(flat.max()), -int(flat.min())) > SYMBOL_MAX:
            raise ValueError(f"a symbol lies outside +-{SYMBOL_MAX}")
        groups: list[list[np.ndarray]] = [[] for _ in self._tables.half]
        for chunk in _chunks(index, self._tables):
            for table, positions in chunk.groups():
                groups[table].append(flat[positions].astype(np.int16))
        coded = sum(np.count_nonzero(part) for parts in groups for part in parts)
        if coded != np.count_nonzero(flat):
            raise ValueError("a symbol of table 0 is not zero")
        for table, parts in enumerate(groups):
            half = int(self._tables.half[table])
            escapes = []
            for part in parts:
                values = part.astype(np.int32)
                outside = np.abs(values) > half
                slots = np.where(outside, 2 * half + 1, values + half).astype(np.int32)
                self._coder.encode(slots, self._tables.models[table])
                escapes.append(values[outside])
            groups[table] = []
            if sum(map(len, escapes)):
                self._encode_escapes(np.concatenate(escapes), half)

    def _encode_escapes(self, values: np.ndarray, half: int) -> None:
        # Zigzag of the distance beyond the table, then Elias-gamma-like: bit length, then the bits below the top one.
        coded = (2 * (np.abs(values) - half - 1) + (values < 0) + 1).astype(np.int64)  # 1 .. 2^16
        length = np.floor(np.log2(coded)).astype(np.int32)  # exact for integers this small
        self._coder.encode(length, Uniform(ESCAPE_BITS + 1))
        more = length > 0
        if more.any():
            sizes = (1 << length[more]).astype(np.int32)
            self._coder.encode((coded[more] - sizes).astype(np.int32), Uniform(), sizes)

    def finish(self) -> bytes:
        """All that was encoded. Trailing zero bytes are dropped: the decoder supplies them."""
        words = self._coder.get_compressed()
        return words.astype("<u4").tobytes().rstrip(b"\0")


class SymbolDecoder:
    """Reads back what a `SymbolEncoder` wrote, group by group.

    A range decoder turns any bytes into some symbols: check the container's checksums before and the symbol CRC after.
    """

    def __init__(self, tables: Tables, data: bytes) -> None:
        self._tables = tables
        padded = data + b"\0" * (-len(data) % 4)
        # Words past the end read as zero, which is what the encoder dropped.
        words = np.frombuffer(padded, dtype="<u4").astype(np.uint32)
        self._coder = RangeDecoder(np.concatenate([words, np.zeros(2, np.uint32)]))

    def decode(self, index: np.ndarray) -> np.ndarray:
        """The symbols, `int16` in the shape of `index`. Raises CorruptFile if the bytes cannot be decoded."""
        shape = index.shape
        index = _as_index(index, self._tables)
        chunks = list(_chunks(index, self._tables))
        counts = sum((chunk.counts for chunk in chunks), np.zeros(len(self._tables.half), np.int64))
        try:
            groups = [self._decode_group(table, int(count)) if table and count else None
                      for table, count in enumerate(counts)]
        except (AssertionError, ValueError) as error:
            raise CorruptFile("the payload does not decode; the file is damaged") from error
        except BaseException as error:
            # A panic of the Rust library derives from BaseException; what the user or interpreter raised passes.
            if type(error).__module__.startswith("pyo3"):
                raise CorruptFile("the payload does not decode; the file is damaged") from error
            raise
        flat = np.zeros(index.size, np.int16)
        taken = np.zeros(len(counts), np.int64)
        for chunk in chunks:
            for table, positions in chunk.groups():
                group = groups[table]
                assert group is not None
                flat[positions] = group[taken[table]:taken[table] + len(positions)]
                taken[table] += len(positions)
        return flat.reshape(shape)

    def _decode_group(self, table: int, count: int) -> np.ndarray:
        """All symbols of a table, int16."""
        half = int(self._tables.half[table])
        values = np.empty(count, np.int16)
        for begin in range(0, count, CHUNK):
            part = values[begin:begin + CHUNK]
            part[:] = self._coder.decode(self._tables.models[table], len(part)) - half
        escaped = values > half
        if escaped.any():
            values[escaped] = self._decode_escapes(int(escaped.sum()), half)
        return values

    def _decode_escapes(self, count: int, half: int) -> np.ndarray:
        length = self._coder.decode(Uniform(ESCAPE_BITS + 1), count)
        coded = np.left_shift(np.int64(1), length.astype(np.int64))
        more = length > 0
        if more.any():
            coded[more] += self._coder.decode(Uniform(), coded[more].astype(np.int32))
        coded -= 1
        magnitude = (coded >> 1) + half + 1
        if int(magnitude.max()) > SYMBOL_MAX:
            raise CorruptFile("the payload holds a value out of range; the file is damaged")
        return np.where(coded & 1, -magnitude, magnitude)


def build_tables(probabilities: list[np.ndarray]) -> Tables:
    """Integer tables from real-valued ones.

    Args:
        probabilities: for tables 1, 2, ...: the probabilities of `-half..half` (an odd number of them) and, last, of
            everything outside.
    """
    counts, halves = [], [0]
    for table in probabilities:
        if len(table) % 2:
            raise ValueError("a table needs an odd number of symbols and the escape")
        share = np.asarray(table, np.float64) / np.sum(table)
        frequency = np.maximum(np.floor(share * TABLE_TOTAL), 1).astype(np.int64)
        # Give what rounding left over (or take what it took) where it changes the cost least: at the largest entries.
        rest = TABLE_TOTAL - int(frequency.sum())
        largest = np.argsort(-frequency, kind="stable")
        if rest < 0:
            for position in largest:
                taken = min(-rest, int(frequency[position]) - 1, max(1, int(frequency[position]) // 8))
                frequency[position] -= taken
                rest += taken
                if rest == 0:
                    break
        else:
            remainder = np.argsort(-(share * TABLE_TOTAL - frequency), kind="stable")
            frequency[remainder[:rest % len(frequency)]] += 1
            frequency[largest[0]] += rest - rest % len(frequency)
        counts.append(frequency)
        halves.append((len(table) - 2) // 2)
    flat = np.concatenate(counts)
    if flat.max() > 65535 or flat.min() < 1:
        raise ValueError("a table entry does not fit 16 bits")
    return Tables(flat.astype(np.uint16), np.array(halves, np.uint16))
