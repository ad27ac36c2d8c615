"""The normative decoder: what FORMAT.md says, section by section, in NumPy alone, and slowly.

The package and every other implementation are checked against it. So it shares the parser of the container with the
package, which has no arithmetic, but neither range coder nor network: those are written here, and in
`reference_network`, from FORMAT.md again. Integers are Python's or int64, everything from section 8 on is float64.
Pictures are decoded whole, not in strips: this is meant for small ones.

Functions take the tensors of a weights file by name, as `aecodec.models.load(...).tensors` has them. Section numbers
are those of FORMAT.md.
"""

from __future__ import annotations

import bisect
import hashlib
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..errors import CorruptFile, UnknownModel, UnsupportedVersion
from . import boxes, container
from .constants import (
    HYPER_STRIDE,
    OUTSIDE_BUNDLE,
    STRIDE,
    SYMBOL_MAX,
    TABLE_TOTAL,
)
from .container import Box, Header
from .reference_network import Tensors, latents, synthesis, table_indices

PRECISION = 24  # bits of the range coder's models
ESCAPE_LENGTHS = 17  # of escapes: bit lengths 0..16


@dataclass(frozen=True, eq=False)
class Decoded:
    """A file at every stage of its decoding; sizes are named as in section 5."""

    header: Header
    z: np.ndarray  # int16 [Z, h', w'], the symbols of the hyper-latents
    index: np.ndarray  # uint8 [M, h, w], the table of every latent
    y: np.ndarray  # int16 [M, h, w], the symbols of the latents
    latents: np.ndarray  # float64 [M, h, w], dequantised, in the latents' own units
    pixels: np.ndarray  # uint8 [H, W] if grey, else [H, W, 3]; with alpha [H, W, 2] or [H, W, 4]


def decode(tensors: Tensors, data: bytes) -> Decoded:
    """Decode a file with the weights that it was made with. The bundle hash tells them, whatever the model id.

    Raises:
        NotAec, UnsupportedVersion, CorruptFile, LimitExceeded: the file cannot be read.
        UnsupportedVersion: also a lossless file (section 9): WebP's decoder is not written again here.
        UnknownModel: the file was made with other weights.
    """
    file = container.read_file(data, boxes.KNOWN)
    header = file.header
    if header.lossless:
        raise UnsupportedVersion("this decoder leaves lossless files to WebP's own; use aecodec.decode")
    container.check_pixels(header.width, header.height)
    if bundle_hash(tensors) != header.bundle_hash:
        raise UnknownModel(f"the file was made with other weights ({header.bundle_hash.hex()}, here "
                           f"{bundle_hash(tensors).hex()}); pass the tensors of those that made it")
    z, index, y = symbols(tensors, header, file.payload)
    y_hat = latents(tensors, z, y, index, header.point)
    planes = synthesis(tensors, y_hat, header.point)
    return Decoded(header, z, index, y, y_hat, picture(planes, header, file.boxes))


# -- section 3: boxes -------------------------------------------------------------------------------------------------


def alpha(found: Iterable[Box], width: int, height: int) -> np.ndarray | None:
    """`uint8 [height, width]` of the box `ALPH`, or None without one. Raises CorruptFile."""
    for box in found:
        if box.kind == boxes.ALPHA:
            return unfiltered(np.frombuffer(boxes.alpha_rows(box.data, width, height), np.uint8).reshape(height, -1))
    return None


def unfiltered(rows: np.ndarray) -> np.ndarray:
    """`uint8 [H, 1 + W]`, each row behind its filter type, to `uint8 [H, W]` (PNG specification, section 9).

    Raises CorruptFile for a type that does not exist.
    """
    plane = np.zeros((rows.shape[0] + 1, rows.shape[1]), np.int64)  # with a row above and a column to the left
    for y, (kind, *values) in enumerate(rows.tolist(), 1):
        if kind == 0:
            plane[y, 1:] = values
        elif kind == 1:
            plane[y, 1:] = np.cumsum(values) % 256
        elif kind == 2:
            plane[y, 1:] = (plane[y - 1, 1:] + values) % 256
        elif kind in (3, 4):
            plane[y, 1:] = _unfiltered_row(kind, values, plane[y - 1].tolist())
        else:
            raise CorruptFile(f"the transparency has filter type {kind}, which does not exist; the file is damaged")
    return plane[1:, 1:].astype(np.uint8)


def _unfiltered_row(kind: int, values: list[int], above: list[int]) -> list[int]:
    """A row of filter type 3 (average) or 4 (Paeth); `above` starts with the column to the left."""
    row = [0]
    for x, value in enumerate(values, 1):
        left, up, corner = row[-1], above[x], above[x - 1]
        paeth = min((left, up, corner), key=lambda v: abs(left + up - corner - v))
        row.append((value + ((left + up) // 2 if kind == 3 else paeth)) % 256)
    return row[1:]


# -- section 4: models ------------------------------------------------------------------------------------------------


def bundle_hash(tensors: Tensors) -> bytes:
    """The first 4 bytes of the SHA-256 of all that decoding depends on."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        if not name.startswith(OUTSIDE_BUNDLE):
            tensor = tensors[name].astype(tensors[name].dtype.newbyteorder("<"))
            digest.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode("ascii"))
            digest.update(tensor.tobytes("C"))
    return digest.digest()[:4]


# -- section 5: symbols and tables ------------------------------------------------------------------------------------


def frequencies(tensors: Tensors) -> list[np.ndarray]:
    """For every table t: `int64 [2 H[t] + 2]`, of `-H[t]..H[t]` and of the escape; nothing for table 0."""
    counts, halves = tensors["tables.counts"].astype(np.int64), tensors["tables.halves"].astype(np.int64)
    lengths = np.where(np.arange(len(halves)) == 0, 0, 2 * halves + 2)
    return np.split(counts, np.cumsum(lengths)[:-1])


def symbols(tensors: Tensors, header: Header, payload: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All symbols of a file (sections 5 to 7).

    Returns:
        z `int16 [Z, h', w']`, the tables of the latents `uint8 [M, h, w]`, and their symbols `int16 [M, h, w]`.

    Raises:
        CorruptFile: the payload does not decode to the symbols that were encoded.
    """
    height, width = -(-header.height // STRIDE), -(-header.width // STRIDE)
    decoder, tables = RangeDecoder(payload), frequencies(tensors)
    z_index = tensors["z_index"]
    if header.point >= len(z_index):
        raise CorruptFile(f"the file names the tune {header.tune}, which its model does not have; it is damaged")
    z_index = z_index[header.point]
    shape = len(z_index), -(-height // HYPER_STRIDE), -(-width // HYPER_STRIDE)
    z = read_symbols(decoder, np.broadcast_to(z_index[:, None, None], shape), tables)
    index = table_indices(tensors, z, header.point)[:, :height, :width]
    y = read_symbols(decoder, index, tables)
    if symbol_crc(z, y) != header.symbol_crc:
        raise CorruptFile("the symbols differ from those that were encoded: the file was forged, or its encoder "
                          "computed other table indices")
    return z, index, y


# -- section 6: the payload -------------------------------------------------------------------------------------------


def table_bounds(table: np.ndarray) -> list[int]:
    """The model `c[0], ..., c[N]` in 24 bits of N frequencies."""
    slots = len(table)
    below = np.cumsum(table) - table
    # Both factors are exact in binary32, so the product is the exact one, rounded once.
    scaled = below.astype(np.float32) * np.float32((2**PRECISION - slots) / TABLE_TOTAL)
    return [*(np.floor(scaled).astype(np.int64) + np.arange(slots)).tolist(), 2**PRECISION]


def uniform_bounds(values: int) -> list[int]:
    """The model `c[0], ..., c[N]` in 24 bits of N equally likely values."""
    return [i * (2**PRECISION // values) for i in range(values)] + [2**PRECISION]


class RangeDecoder:
    """A payload's state L, R and P, in Python's integers."""

    def __init__(self, payload: bytes) -> None:
        padded = payload + bytes(-len(payload) % 4)
        self._words = iter(struct.unpack(f"<{len(padded) // 4}I", padded))
        self._lower, self._range = 0, 2**64 - 1
        self._point = self._word() << 32 | self._word()

    def _word(self) -> int:
        return next(self._words, 0)

    def slot(self, bounds: list[int]) -> int:
        """The next slot, coded with a model. Raises CorruptFile."""
        scale = self._range >> PRECISION
        quantile = (self._point - self._lower) % 2**64 // scale
        if quantile >= 2**PRECISION:
            raise CorruptFile("the payload does not decode; the file is damaged")
        i = bisect.bisect_right(bounds, quantile) - 1
        self._lower = (self._lower + scale * bounds[i]) % 2**64
        self._range = scale * (bounds[i + 1] - bounds[i])
        if self._range < 2**32:
            self._lower, self._range = (self._lower << 32) % 2**64, self._range << 32
            self._point = (self._point << 32) % 2**64 | self._word()
        return i


def read_symbols(decoder: RangeDecoder, index: np.ndarray, tables: list[np.ndarray]) -> np.ndarray:
    """One of the two arrays of the payload, int16 in the shape of `index`.

    Args:
        decoder: where it starts; it is left where the array ends.
        index: the table of every symbol, integers of any shape.
        tables: the frequencies of every table, the escape's last; nothing for table 0.

    Raises:
        CorruptFile: it does not decode, or holds a symbol above 32767.
    """
    flat, out = index.reshape(-1), np.zeros(index.size, np.int64)
    for t in np.unique(flat).tolist():
        if t == 0:
            continue
        bounds, half = table_bounds(tables[t]), len(tables[t]) // 2 - 1
        where = np.flatnonzero(flat == t)
        values = [decoder.slot(bounds) - half for _ in where]
        escaped = [i for i, value in enumerate(values) if value > half]
        lengths = [decoder.slot(uniform_bounds(ESCAPE_LENGTHS)) for _ in escaped]
        for i, length in zip(escaped, lengths, strict=True):
            beyond = 2**length - 1 + (decoder.slot(uniform_bounds(2**length)) if length else 0)
            size = beyond // 2 + half + 1
            if size > SYMBOL_MAX:
                raise CorruptFile("the payload holds a value out of range; the file is damaged")
            values[i] = -size if beyond % 2 else size
        out[where] = values
    return out.astype(np.int16).reshape(index.shape)


# -- section 7: what must be exact ------------------------------------------------------------------------------------


def symbol_crc(z: np.ndarray, y: np.ndarray) -> int:
    """The CRC-32 of all symbols: z, then the latents', as little-endian int16 in C order."""
    return zlib.crc32(z.astype("<i2").tobytes() + y.astype("<i2").tobytes())


# -- section 8: the end of it -----------------------------------------------------------------------------------------


def picture(planes: np.ndarray, header: Header, found: Iterable[Box] = ()) -> np.ndarray:
    """What synthesis gives, `[3, >= H, >= W]`, as samples: `uint8 [H, W, 3]`, or `[H, W]` if grey; with the alpha of
    the boxes `[H, W, 4]` or `[H, W, 2]`. Raises CorruptFile."""
    cut = planes[:, :header.height, :header.width]
    samples = np.clip(np.round(255 * (cut + 0.5)), 0, 255).astype(np.int64).transpose(1, 2, 0)
    if header.grey:
        samples = (2 * samples.sum(axis=2) + 3) // 6
    opacity = alpha(found, header.width, header.height)
    return (samples if opacity is None else np.dstack([samples, opacity])).astype(np.uint8)
