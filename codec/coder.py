"""Pictures to latents to symbols to bytes, and back: the network and the entropy coder at work on a device."""

from __future__ import annotations

import ctypes
import functools
import mmap
import time
import zlib
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from aecodec.kernels import dequantise_, quantise_, to_pixels

from . import models
from .errors import CorruptFile, UnknownModel
from .format.constants import GROUPS, HYPER_STRIDE, LEVELS, PATCH, STRIDE, SYMBOL_MAX, TABLES
from .format.container import (
    AecFile,
    Header,
)
from .format.entropy import (
    SymbolDecoder,
    SymbolEncoder,
    Tables,
)
from .network.context import (
    Means,
    quarter,
)
from .network.hyperprior import (
    SCALE_HALO,
)
from .network.model import CodecNetwork, ModelConfig
from .network.strips import Strips, split

P = ParamSpec("P")
R = TypeVar("R")

Timings = dict[str, float]

# Of a strip of activations. On a CPU it and what is made of it fit a third-level cache; on a GPU it bounds memory.
STRIP_BYTES = 3 << 21
GPU_STRIP_BYTES = 1 << 28
LARGE = 1 << 24  # pixels, from where on memory counts more than a system call
SCALE_BYTES = 1 << 25  # of a strip of the scale decoder's output


class Stopwatch:
    """Adds the seconds since the last lap to a stage of `timings`; does nothing without one."""

    def __init__(self, timings: Timings | None, device: torch.device) -> None:
        self.timings, self.device = timings, device
        if timings is not None:
            self._synchronise()
            self.began = time.perf_counter()

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def lap(self, stage: str) -> None:
        if self.timings is not None:
            self._synchronise()
            now = time.perf_counter()
            self.timings[stage] = self.timings.get(stage, 0.0) + now - self.began
            self.began = now

    def inner(self, stage: str, strips: Strips, outer: str) -> Strips:
        """Strips of one stage that another stage asks for: each stage gets its own time."""
        while True:
            self.lap(outer)
            strip = next(strips, None)
            self.lap(stage)
            if strip is None:
                return
            yield strip


def choose_device(device: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` as a device. Raises ValueError if it is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device {device!r} is not known; choose auto, cpu or cuda") from None
    if chosen.type not in ("cpu", "cuda"):
        raise ValueError(f"device {device} is not supported; choose auto, cpu or cuda")
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("no CUDA device is available; choose device cpu")
    return chosen


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware; elsewhere it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    # Neither question has a public name in every torch; one that is missing counts as a no.
    return any(getattr(torch.cpu, name, bool)() for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))


def choose_precision(precision: str, device: torch.device) -> torch.dtype:
    """`auto`, `float32` or `bfloat16` as the type that analysis and synthesis run in."""
    if precision == "auto":
        return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"precision {precision} is not supported; choose auto, float32 or bfloat16")
    return torch.float32 if precision == "float32" else torch.bfloat16


def without_autocast(method: Callable[P, R]) -> Callable[P, R]:
    """A method of `Coder` in inference mode, and without the autocast its caller may have on."""

    @functools.wraps(method)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        device: torch.device = args[0].device  # type: ignore[attr-defined]
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            return method(*args, **kwargs)

    return wrapped


def pad_to(x: Tensor, multiple: int) -> Tensor:
    """Edge-replicated to multiples of `multiple` at the bottom and the right: `[B, C, H, W]`."""
    height, width = x.shape[2:]
    below, right = -height % multiple, -width % multiple
    return F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x


def releasable(strip: Tensor) -> Tensor:
    """A copy of a strip `[1, C, h, w]` whose memory goes back to the system as soon as it is dropped.

    What malloc gets back it keeps for itself, and half a gigabyte of latents of a large picture is to make room for
    their symbols.
    """
    if strip.device.type != "cpu" or not strip.numel():
        return strip
    rows = strip.permute(0, 2, 3, 1)
    memory = torch.frombuffer(mmap.mmap(-1, strip.numel() * strip.element_size()), dtype=strip.dtype)
    return memory.view(rows.shape).copy_(rows).permute(0, 3, 1, 2)


@functools.lru_cache(maxsize=1)
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim  # type: ignore[no-any-return]
    except (AttributeError, OSError, TypeError):  # another C library than glibc
        return None


def trim_heap(pixels: int) -> None:
    """Give back what malloc keeps of the activations of a large picture: up to a third of a gigabyte."""
    trim = _malloc_trim()
    if trim is not None and pixels >= LARGE:
        trim(0)


def symbol_crc(z: np.ndarray, y: np.ndarray) -> int:
    """CRC-32 of the symbols of z `[Z, h', w']`, then of the latents `[M, h, w]`, as little-endian int16."""
    first = zlib.crc32(np.ascontiguousarray(z, "<i2").data)
    return zlib.crc32(np.ascontiguousarray(y, "<i2").data, first)


class Coder:
    """A model, loaded onto a device.

    Args:
        file: the model's weights and tables.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        precision: of analysis, hyper-analysis and synthesis: `auto`, `float32` or `bfloat16`. Everything that symbols
            depend on in decoding runs in float32 or integers, whatever this says.
        strip_rows: rows of latents (a multiple of 4) in a strip; by default as many as suit the device. Symbols and
            pixels do not depend on it.
    """

    def __init__(self, file: models.ModelFile, device: str = "auto", precision: str = "auto",
                 strip_rows: int | None = None) -> None:
        if strip_rows is not None and (strip_rows < 1 or strip_rows % HYPER_STRIDE):
            raise ValueError(f"strip_rows must be a multiple of {HYPER_STRIDE}, not {strip_rows}")
        self.strip_rows = strip_rows
        self.device = choose_device(device)
        self.dtype = choose_precision(precision, self.device)
        self.fused = self.device.type == "cuda"  # whether the kernels do what they are made for
        self.info, self.bundle_hash = file.info, file.bundle_hash
        tensors = dict(file.tensors)
        try:
            self.tables = Tables(tensors.pop(models.TABLE_COUNTS), tensors.pop(models.TABLE_HALVES))
        except (KeyError, ValueError) as error:
            raise UnknownModel(f"{file.info.path} has no usable probability tables ({error}); export the model "
                               "again") from None
        with torch.device("meta"):
            network = CodecNetwork(ModelConfig.from_dict(file.info.config))
        state = {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}
        state = {name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in state.items()}
        try:
            network.load_state_dict(state, assign=True)
        except RuntimeError as error:
            raise UnknownModel(f"{file.info.path} does not fit its configuration; install aecodec again") from error
        network.eval().requires_grad_(False)
        network.to(self.device)
        for part in (network.analysis, network.synthesis, network.hyper_analysis):
            for name, child in part.named_children():
                # Gains span decades. The layers next to the pixels, and the sums of the residuals after them, stay
                # float32: in bfloat16 they cost 0.1 dB at the highest level, so they cost less than 0.04 dB.
                if name not in ("gain", "patches"):
                    child.to(self.dtype)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.z_index = network.z_index.cpu().numpy()

    # -- encoding ---------------------------------------------------------------------------------------------

    @without_autocast
    def encode(self, pixels: np.ndarray, level: int, grey: bool = False, timings: Timings | None = None,
               dead_zone: float | None = None) -> AecFile:
        """Code `uint8 [H, W, 3]` at a quality level 0..63.

        `dead_zone` is the strength of rate-distortion optimised rounding, instead of 1: with more of it a file comes
        out between two levels.
        """
        if not 0 <= level < LEVELS:
            raise ValueError(f"level {level} is outside 0..{LEVELS - 1}")
        watch = Stopwatch(timings, self.device)
        levels = torch.tensor([level], device=self.device)
        gain = self.network.gain(levels)
        latents = [releasable(strip) for strip in self._analyse(pixels, levels)]
        trim_heap(pixels.size // 3)
        watch.lap("analysis")
        scaled = (pad_to(strip * gain, HYPER_STRIDE) for strip in latents)
        z = torch.cat(list(self.network.hyper_latents(scaled, level)), dim=2).clamp_(-SYMBOL_MAX, SYMBOL_MAX)
        watch.lap("hyper-analysis")
        index = self._index(z, level, sum(strip.shape[2] for strip in latents), latents[0].shape[3])
        trim_heap(pixels.size // 3)
        watch.lap("scales")
        symbols = self._symbols(latents, gain, z, index, levels, 1.0 if dead_zone is None else dead_zone)
        watch.lap("context")
        z_symbols = z[0].to(torch.int16).cpu().numpy()
        encoder = SymbolEncoder(self.tables)
        encoder.encode(z_symbols, self._z_tables(z_symbols.shape, level))
        index_array = np.ascontiguousarray(index[0].cpu().numpy())
        del index
        encoder.encode(symbols, index_array)
        payload = encoder.finish()
        header = Header(pixels.shape[1], pixels.shape[0], level, self.info.id, self.bundle_hash,
                        symbol_crc(z_symbols, symbols), len(payload), grey)
        watch.lap("entropy")
        return AecFile(header, payload)

    def _rows(self, columns: int) -> int:
        """How many rows of latents a strip has in a picture of so many columns of latents."""
        if self.strip_rows is not None:
            return self.strip_rows
        room = STRIP_BYTES if self.device.type == "cpu" else GPU_STRIP_BYTES
        row = STRIDE // PATCH * (STRIDE // PATCH * columns) * self.network.config.channels * 4  # in analysis, float32
        return max(room // row // HYPER_STRIDE, 1) * HYPER_STRIDE

    def _analyse(self, pixels: np.ndarray, levels: Tensor) -> Strips:
        """Strips of the latents `[1, M, h, w]` in float32."""
        rows = self._rows(-(-pixels.shape[1] // STRIDE))

        def pictures() -> Iterator[Tensor]:
            for top in range(0, pixels.shape[0], rows * STRIDE):
                # A copy: an array may be read-only, which torch warns of, or not contiguous.
                strip = torch.from_numpy(pixels[None, top:top + rows * STRIDE].copy()).to(self.device)
                strip = strip.permute(0, 3, 1, 2)
                yield pad_to(strip.float().div_(255).sub_(0.5), STRIDE)

        return (strip.float() for strip in self.network.analysis.strips(pictures(), levels))

    def _index(self, z: Tensor, level: int, height: int, width: int) -> Tensor:
        """The table of every latent: `uint8 [1, M, height, width]`."""
        index = torch.empty(1, self.network.config.latents, height, width, dtype=torch.uint8, device=self.device,
                            memory_format=torch.channels_last)
        rows = max(SCALE_BYTES // (self.network.config.latents * HYPER_STRIDE * width * 4), 1)  # of z
        for top in range(0, z.shape[2], rows):
            first = max(top - SCALE_HALO, 0)
            strip = self.network.scale_decoder(z[:, :, first:top + rows + SCALE_HALO], level)
            part = index[:, :, HYPER_STRIDE * top:HYPER_STRIDE * (top + rows)]
            start = HYPER_STRIDE * (top - first)
            part.copy_(strip[:, :, start:start + part.shape[2], :width])
        return index

    def _z_tables(self, shape: tuple[int, ...], level: int) -> np.ndarray:
        """The table of every hyper-latent: `uint8 [Z, h, w]`."""
        return np.ascontiguousarray(np.broadcast_to(self.z_index[level][:, None, None], shape))

    def _features(self, z: Tensor, level: int, rows: int, height: int, width: int) -> Strips:
        """What the context model starts from, in strips of `rows` rows."""
        strips = self.network.features(split(z, rows // HYPER_STRIDE), level)
        for top, strip in zip(range(0, height, rows), strips, strict=True):
            yield strip[:, :, :height - top, :width]

    def _symbols(self, latents: list[Tensor], gain: Tensor, z: Tensor, index: Tensor, levels: Tensor,
                 strength: float) -> np.ndarray:
        """The symbols `int16 [M, h, w]` of strips of latents; the list is emptied, for the sake of memory."""
        rows = self._rows(index.shape[3])
        symbols = np.empty(index.shape[1:], np.int16)
        dead_zone = self.network.rounding.at(int(levels), strength)
        cells = dead_zone.flatten()
        starts = torch.arange(0, len(cells), TABLES, dtype=torch.int32, device=self.device)[:, None, None]
        factor = gain.flatten()
        inverse = factor.reciprocal()
        strips = dict(enumerate(zip(latents, split(index, rows), strict=True)))
        latents.clear()
        known: dict[int, Tensor] = {}
        coded: dict[int, Tensor] = {}

        def code(step: int, n: int, means: Means) -> Tensor:
            own, tables = strips[n]
            if step == 0:
                known[n], coded[n] = torch.zeros_like(own), torch.zeros_like(own, dtype=torch.int16)
            if self.fused:
                quantise_(own, means.all(), factor, inverse, tables, GROUPS[step], known[n], coded[n], dead_zone)
                return known[n]
            for part in quarter(own.shape[1], step):
                mean, table = means.of(part), tables[part]
                residual = (own[part] - mean).mul_(gain[part[:2]])
                dead = cells[table + starts[part[1]]]
                residual -= torch.maximum(torch.minimum(residual, dead), dead.neg_())
                symbol = residual.clamp_(-SYMBOL_MAX, SYMBOL_MAX).round_().mul_(table > 0)
                coded[n][part] = symbol
                known[n][part] = symbol.mul_(inverse[part[1], None, None]).add_(mean)
            return known[n]

        features = self._features(z, int(levels), rows, *index.shape[2:])
        for n in self.network.context.strips(features, levels, code):
            symbols[:, rows * n:rows * (n + 1)] = coded.pop(n)[0].cpu().numpy()
            del known[n], strips[n]
        return symbols

    # -- decoding ---------------------------------------------------------------------------------------------

    @without_autocast
    def decode(self, file: AecFile, timings: Timings | None = None) -> np.ndarray:
        """The picture `uint8 [H, W, 3]` of a file made with this model.

        Raises:
            UnknownModel: the file was made with another model, or with other weights of this one.
            CorruptFile: the symbols are not those that were encoded.
        """
        header = file.header
        if header.model_id != self.info.id:
            raise UnknownModel(f"the file was made with model {header.model_id:#06x}, not with {self.info.name}")
        if header.bundle_hash != self.bundle_hash:
            raise UnknownModel(f"the file was made with other weights of model {self.info.name} "
                               f"({header.bundle_hash.hex()}, here {self.bundle_hash.hex()}); install the release of "
                               "aecodec that made it")
        watch = Stopwatch(timings, self.device)
        level = header.level
        height, width = -(-header.height // STRIDE), -(-header.width // STRIDE)
        config = self.network.config
        decoder = SymbolDecoder(self.tables, file.payload)
        z_shape = (config.hyper, -(-height // HYPER_STRIDE), -(-width // HYPER_STRIDE))
        z_symbols = decoder.decode(self._z_tables(z_shape, level))
        watch.lap("entropy")
        z = torch.from_numpy(z_symbols).to(self.device).float()[None].contiguous(memory_format=torch.channels_last)
        index = self._index(z, level, height, width)[0].cpu().numpy()
        watch.lap("scales")
        y_symbols = decoder.decode(index)
        if symbol_crc(z_symbols, y_symbols) != header.symbol_crc:
            raise CorruptFile("the symbols differ from those that were encoded: this machine computes the scale "
                              "decoder differently, or the file was forged; please report it with `aecodec --version`")
        del index, decoder
        watch.lap("entropy")
        levels = torch.tensor([level], device=self.device)
        latents = watch.inner("context", self._latents(y_symbols, z, levels), outer="synthesis")
        pixels = np.empty((header.height, header.width, 3), np.uint8)
        top = 0
        for patches in self.network.synthesis.strips(latents, levels):
            strip = to_pixels(patches, shuffle=PATCH)[0, :header.height - top, :header.width].cpu().numpy()
            pixels[top:top + len(strip)] = strip
            top += len(strip)
        watch.lap("synthesis")
        return pixels

    def _latents(self, symbols: np.ndarray, z: Tensor, levels: Tensor) -> Strips:
        """Strips of the latents of `int16 [M, h, w]` symbols: the context's means are added step by step."""
        gain = self.network.gain(levels)
        inverse = gain.flatten().reciprocal()
        rows = self._rows(symbols.shape[2])
        parts: dict[int, Tensor] = {}
        known: dict[int, Tensor] = {}

        def code(step: int, n: int, means: Means) -> Tensor:
            if step == 0:
                strip = torch.from_numpy(symbols[:, rows * n:rows * (n + 1)]).to(self.device)[None]
                parts[n] = strip.contiguous(memory_format=torch.channels_last)
                known[n] = torch.zeros_like(parts[n], dtype=torch.float32)
            if self.fused:
                dequantise_(parts[n], means.all(), inverse, GROUPS[step], known[n])
                return known[n]
            for part in quarter(symbols.shape[0], step):
                known[n][part] = (parts[n][part] * inverse[part[1], None, None]).add_(means.of(part))
            return known[n]

        features = self._features(z, int(levels), rows, *symbols.shape[1:])
        for n in self.network.context.strips(features, levels, code):
            del parts[n]
            yield known.pop(n)
