"""Pictures to latents to symbols to bytes, and back: the two paths, on whichever engine runs the network."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from . import models
from .engine.device import Stopwatch, Timings
from .engine.interface import Engine, Progress
from .errors import CorruptFile, UnknownModel
from .format.constants import HYPER_STRIDE, STRIDE, TUNES
from .format.container import AecFile, Box, Header, operating_point
from .format.entropy import SymbolDecoder, SymbolEncoder, Tables

Z_INDEX = "z_index"
ANALYSIS_SHARE = 0.7  # of the time of encoding, with hyper-analysis and scales, for who is told of its progress
SYMBOLS_SHARE = 0.1  # of the time that decoding takes


@dataclass(frozen=True, eq=False)
class Latents:
    """A picture as the network sees it, between analysis and synthesis.

    `Codec.analyse` gives those of a picture, before they are quantised; `Codec.latents` those that a file holds.
    """

    y: np.ndarray  # float32 [M, h, w], in the network's own units; h = ceil(height / 16), w = ceil(width / 16)
    z: np.ndarray | None  # symbols of the hyper-latents, int16 [Z, ceil(h / 4), ceil(w / 4)]; None: not coded yet
    level: int  # quality level 0..63 they were made at, and are to be rendered at
    width: int  # of the picture, in pixels
    height: int
    grey: bool = False
    boxes: tuple[Box, ...] = ()  # what goes with the picture: alpha, profile, metadata
    tune: str = TUNES[0]  # what they were made for

    @property
    def point(self) -> int:
        """The operating point of the model."""
        return operating_point(self.level, self.tune)


class Symbols(NamedTuple):
    """What the payload of a file holds, and which probability table coded each of it."""

    z: np.ndarray  # int16 [Z, h', w']
    z_tables: np.ndarray  # uint8 [Z, h', w']
    y: np.ndarray  # int16 [M, h, w]
    y_tables: np.ndarray  # uint8 [M, h, w]


def symbol_crc(z: np.ndarray, y: np.ndarray) -> int:
    """CRC-32 of the symbols of z `[Z, h', w']`, then of the latents `[M, h, w]`, as little-endian int16."""
    first = zlib.crc32(np.ascontiguousarray(z, "<i2").data)
    return zlib.crc32(np.ascontiguousarray(y, "<i2").data, first)


def latent_size(height: int, width: int) -> tuple[int, int]:
    """`(h, w)` of the latents of a picture."""
    return -(-height // STRIDE), -(-width // STRIDE)


class Coder:
    """A model, loaded by an engine.

    Args:
        file: the model's tables and identity.
        engine: what runs the model's network.

    Raises:
        UnknownModel: the file has no usable probability tables.
    """

    def __init__(self, file: models.ModelFile, engine: Engine) -> None:
        self.engine, self.info, self.bundle_hash = engine, file.info, file.bundle_hash
        self.extras = file.extras
        self.hyper = int(file.info.config["hyper"])
        self.tunes = file.info.tunes
        try:
            self.tables = Tables(file.tensors[models.TABLE_COUNTS], file.tensors[models.TABLE_HALVES])
            self._z_index = file.tensors[Z_INDEX]
        except (KeyError, ValueError) as error:
            raise UnknownModel(f"{file.info.path} has no usable probability tables ({error}); export the model "
                               "again") from None

    def _watch(self, timings: Timings | None) -> Stopwatch:
        return Stopwatch(timings, self.engine.synchronise)

    def _point(self, level: int, tune: str) -> int:
        """The operating point of a level and tune. Raises ValueError for what the model does not have."""
        point = operating_point(level, tune)
        if tune not in self.tunes:
            raise ValueError(f"model {self.info.name} has no tune {tune}; choose {' or '.join(self.tunes)}")
        return point

    def _z_tables(self, point: int, height: int, width: int) -> np.ndarray:
        """The table of every hyper-latent `uint8 [Z, h', w']`, for `[M, height, width]` latents."""
        shape = (self.hyper, -(-height // HYPER_STRIDE), -(-width // HYPER_STRIDE))
        return np.ascontiguousarray(np.broadcast_to(self._z_index[point][:, None, None], shape))

    # -- encoding -------------------------------------------------------------------------------------------------

    def analyse(self, pixels: np.ndarray, level: int, tune: str = TUNES[0]) -> Latents:
        """The latents of `uint8 [H, W, 3]` at a quality level 0..63 of a tune, not quantised."""
        y = self.engine.to_array(self.engine.analyse(pixels, self._point(level, tune)))
        return Latents(y, None, level, pixels.shape[1], pixels.shape[0], tune=tune)

    def encode(self, pixels: np.ndarray, level: int, grey: bool = False, timings: Timings | None = None,
               rdoq_strength: float = 1.0, progress: Progress | None = None, tune: str = TUNES[0]) -> AecFile:
        """Code `uint8 [H, W, 3]` at a quality level 0..63.

        Args:
            rdoq_strength: of rate-distortion optimised rounding: with more than 1 a file comes out between two levels.
            progress: told how much of it is done, 0..1.
            tune: what the picture is for: one of `tunes`.
        """
        point = self._point(level, tune)
        watch = self._watch(timings)
        strips = self.engine.analyse(pixels, point, _part(progress, 0, ANALYSIS_SHARE))
        watch.lap("analysis")
        coding = _part(progress, ANALYSIS_SHARE, 1)
        header = self._header(pixels.shape[1], pixels.shape[0], level, tune, grey)
        return self._code(strips, header, rdoq_strength, watch, coding)

    def encode_latents(self, latents: Latents, timings: Timings | None = None, rdoq_strength: float = 1.0) -> AecFile:
        """Code what `analyse` gave: the file that `encode` makes of the picture, to the byte.

        Latents that a file held keep their hyper-latents; with an `rdoq_strength` of 0 they give its symbols again.
        """
        watch = self._watch(timings)
        strips = self.engine.from_array(latents.y)
        header = self._header(latents.width, latents.height, latents.level, latents.tune, latents.grey)
        return replace(self._code(strips, header, rdoq_strength, watch, z=latents.z), boxes=latents.boxes)

    def _header(self, width: int, height: int, level: int, tune: str, grey: bool) -> Header:
        """What a file says before it is coded: without its payload's length and symbols."""
        self._point(level, tune)
        return Header(width, height, level, self.info.id, self.bundle_hash, 0, 0, grey, tune=tune)

    def _code(self, strips: list[Any], header: Header, rdoq_strength: float, watch: Stopwatch,
              progress: Progress | None = None, z: np.ndarray | None = None) -> AecFile:
        rows, columns = latent_size(header.height, header.width)
        point = header.point
        z = self.engine.hyper_latents(strips, point) if z is None else z
        watch.lap("hyper-analysis")
        index = self.engine.indices(z, point, rows, columns)
        watch.lap("scales")
        y = self.engine.quantise(strips, z, index, point, rdoq_strength, progress)
        watch.lap("context")
        encoder = SymbolEncoder(self.tables)
        encoder.encode(z, self._z_tables(point, rows, columns))
        encoder.encode(y, index)
        payload = encoder.finish()
        header = replace(header, symbol_crc=symbol_crc(z, y), payload_length=len(payload))
        watch.lap("entropy")
        return AecFile(header, payload)

    # -- decoding -------------------------------------------------------------------------------------------------

    def read_symbols(self, file: AecFile, timings: Timings | None = None) -> Symbols:
        """All symbols of a file made with this model.

        Raises:
            UnknownModel: the file was made with another model, or with other weights of this one.
            CorruptFile: the symbols are not those that were encoded.
        """
        return self._read_symbols(file, self._watch(timings))

    def _read_symbols(self, file: AecFile, watch: Stopwatch) -> Symbols:
        header = file.header
        self._check_model(header)
        rows, columns = latent_size(header.height, header.width)
        decoder = SymbolDecoder(self.tables, file.payload)
        z_tables = self._z_tables(header.point, rows, columns)
        z = decoder.decode(z_tables)
        watch.lap("entropy")
        index = self.engine.indices(z, header.point, rows, columns)
        watch.lap("scales")
        y = decoder.decode(index)
        if symbol_crc(z, y) != header.symbol_crc:
            raise CorruptFile("the symbols differ from those that were encoded: this machine computes the scale "
                              "decoder differently, or the file was forged; please report it with `aecodec --version`")
        watch.lap("entropy")
        return Symbols(z, z_tables, y, index)

    def _check_model(self, header: Header) -> None:
        if header.model_id != self.info.id:
            raise UnknownModel(f"the file was made with model {header.model_id:#06x}, not with {self.info.name}")
        if header.bundle_hash != self.bundle_hash:
            raise UnknownModel(f"the file was made with other weights of model {self.info.name} "
                               f"({header.bundle_hash.hex()}, here {self.bundle_hash.hex()}); install the release of "
                               "aecodec that made it")
        if header.tune not in self.tunes:
            raise CorruptFile(f"the file names the tune {header.tune}, which its model does not have; it is damaged")

    def latents(self, file: AecFile, timings: Timings | None = None) -> Latents:
        """The latents that a file holds, dequantised. Raises as `read_symbols` does."""
        watch = self._watch(timings)
        symbols = self._read_symbols(file, watch)
        header = file.header
        y = self.engine.to_array(self.engine.dequantise(symbols.y, symbols.z, symbols.y_tables, header.point))
        watch.lap("context")
        return Latents(y, symbols.z, header.level, header.width, header.height, header.grey, file.boxes,
                       header.tune)

    def render(self, latents: Latents, timings: Timings | None = None) -> np.ndarray:
        """The picture `uint8 [H, W, 3]` of latents."""
        watch = self._watch(timings)
        strips = self.engine.from_array(latents.y)
        pixels = self.engine.synthesise(strips, self._point(latents.level, latents.tune), latents.height, latents.width)
        watch.lap("synthesis")
        return pixels

    def decode(self, file: AecFile, timings: Timings | None = None, progress: Progress | None = None) -> np.ndarray:
        """The picture `uint8 [H, W, 3]` of a file: `render(latents(file))`, in the memory that strips need.

        Raises as `read_symbols` does.
        """
        watch = self._watch(timings)
        symbols, header = self._read_symbols(file, watch), file.header
        latents = self.engine.dequantise(symbols.y, symbols.z, symbols.y_tables, header.point)
        strips = watch.inner("context", latents, outer="synthesis")
        share = _part(progress, SYMBOLS_SHARE, 1)
        pixels = self.engine.synthesise(strips, header.point, header.height, header.width, share)
        watch.lap("synthesis")
        return pixels


def _part(progress: Progress | None, begin: float, end: float) -> Progress | None:
    """What tells `progress` of a part of the work, which goes from one share of the whole to another."""
    return None if progress is None else lambda share: progress(begin + (end - begin) * share)


def load(info: models.ModelInfo, device: str = "auto", precision: str = "auto", engine: str = "auto",
         threads: int | None = None, pictures: int | None = None) -> Coder:
    """A model on an engine, ready to code; see `aecodec.Codec` for the arguments and what it raises."""
    from .engine import choice

    file = models.load(info)
    return Coder(file, choice.make(file, engine, device, precision, threads, pictures))
