"""Pictures to latents to symbols to bytes, and back: the network and the entropy coder at work on a device."""

from __future__ import annotations

import functools
import time
import zlib
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from . import models
from .container import LEVELS, AecFile, Header
from .entropy import SYMBOL_MAX, SymbolDecoder, SymbolEncoder, Tables
from .errors import CorruptFile, UnknownModel
from .network.context import GROUPS, Means, quarter
from .network.hyperprior import HYPER_STRIDE, TABLES, log2_sigma
from .network.model import CodecNetwork, ModelConfig
from .network.quality import LevelVector
from .network.transforms import PATCH, STRIDE

P = ParamSpec("P")
R = TypeVar("R")

Timings = dict[str, float]

DEAD_ZONE = 1.0  # strength of rate-distortion optimised rounding, see `shrink`
DEAD_ZONE_MAX = 0.25


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


def shrink(residual: Tensor, index: Tensor, strength: float) -> Tensor:
    """Residuals moved towards zero before they are rounded, so that rounding weighs distortion against rate.

    What a step away from zero costs grows with the inverse of a table's deviation sigma. The shift that was best on
    training photos is `0.006 / sigma^2`, at most a quarter of a step: it spares the narrow tables the symbols that
    just crossed 1/2 and cost ten bits, and leaves wide tables alone (-1.7 % BD-rate; a shift of `0.05 / sigma`, which
    theory suggests for fine quantisation, loses 2 %). `strength` scales it; a reader need not know.
    """
    if not strength:
        return residual
    dead = dead_zones(index, strength)
    return residual - torch.maximum(torch.minimum(residual, dead), -dead)


def dead_zones(index: Tensor, strength: float) -> Tensor:
    """By how much `shrink` moves a residual of each table index."""
    return (0.006 * strength * torch.exp2(-2 * log2_sigma(index))).clamp_max(DEAD_ZONE_MAX)


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
    """

    def __init__(self, file: models.ModelFile, device: str = "auto", precision: str = "auto") -> None:
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
        for module in network.modules():  # the interpolation of quality knots is computed, not stored
            if isinstance(module, LevelVector):
                module.reset_interpolation()
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

        `dead_zone` is the strength of `shrink`, instead of the usual one: with more of it a file comes out between
        two levels.
        """
        if not 0 <= level < LEVELS:
            raise ValueError(f"level {level} is outside 0..{LEVELS - 1}")
        watch = Stopwatch(timings, self.device)
        latents, gain = self._analyse(pixels, level)
        scaled = latents * gain
        watch.lap("analysis")
        z = self.network.hyper_analysis(pad_to(scaled, HYPER_STRIDE)).float()
        z = torch.round(z).clamp(-SYMBOL_MAX, SYMBOL_MAX)
        watch.lap("hyper-analysis")
        height, width = scaled.shape[2:]
        index = self._index(z, level, height, width)
        watch.lap("scales")
        strength = DEAD_ZONE if dead_zone is None else dead_zone
        if self.fused:
            symbols = self._symbols_fused(latents, gain, z, index, level, strength)
        else:
            symbols = self._symbols(scaled, gain, z, index, level, strength)
        watch.lap("context")
        z_symbols, y_symbols = z[0].to(torch.int16).cpu().numpy(), symbols[0].contiguous().cpu().numpy()
        encoder = SymbolEncoder(self.tables)
        encoder.encode(z_symbols, self._z_tables(z_symbols.shape, level))
        encoder.encode(y_symbols, index[0].to(torch.uint8).cpu().numpy())
        payload = encoder.finish()
        header = Header(pixels.shape[1], pixels.shape[0], level, self.info.id, self.bundle_hash,
                        symbol_crc(z_symbols, y_symbols), len(payload), grey)
        watch.lap("entropy")
        return AecFile(header, payload)

    def _analyse(self, pixels: np.ndarray, level: int) -> tuple[Tensor, Tensor]:
        """The latents `[1, M, h, w]` in float32, and their gain `[1, M, 1, 1]`."""
        # (Pillow's arrays are read-only, which torch warns of.)
        owned = pixels if pixels.flags.writeable and pixels.flags.c_contiguous else pixels.copy()
        picture = torch.from_numpy(owned).to(self.device).permute(2, 0, 1)[None]
        picture = pad_to(picture.float().div_(255).sub_(0.5), STRIDE)
        picture = picture.contiguous(memory_format=torch.channels_last)
        levels = torch.tensor([level], device=self.device)
        gain = self.network.gain(levels)
        return self.network.analysis(picture, levels).float(), gain

    def _index(self, z: Tensor, level: int, height: int, width: int) -> Tensor:
        """The table of every latent: `[1, M, height, width]`, integer-valued float32."""
        return self.network.scale_decoder(z, level)[:, :, :height, :width]

    def _z_tables(self, shape: tuple[int, ...], level: int) -> np.ndarray:
        """The table of every hyper-latent: `uint8 [Z, h, w]`."""
        return np.ascontiguousarray(np.broadcast_to(self.z_index[level][:, None, None], shape))

    def _features(self, z: Tensor, height: int, width: int) -> Tensor:
        return self.network.mean_decoder(z)[:, :, :height, :width]

    def _symbols(self, scaled: Tensor, gain: Tensor, z: Tensor, index: Tensor, level: int, strength: float) -> Tensor:
        """The symbols `int16 [1, M, h, w]` of gained latents."""
        height, width = scaled.shape[2:]
        symbols, known = torch.zeros_like(scaled, dtype=torch.int16), torch.zeros_like(scaled)

        def code(step: int, means: Means) -> Tensor:
            for part in quarter(scaled.shape[1], step):
                mean = means.of(part)
                residual = shrink(scaled[part] - mean * gain[part[:2]], index[part], strength)
                symbol = residual.round_().clamp_(-SYMBOL_MAX, SYMBOL_MAX).mul_(index[part] > 0)
                symbols[part] = symbol
                known[part] = symbol.div_(gain[part[:2]]).add_(mean)
            return known

        levels = torch.tensor([level], device=self.device)
        self.network.context(self._features(z, height, width), levels, code)
        return symbols

    def _symbols_fused(self, latents: Tensor, gain: Tensor, z: Tensor, index: Tensor, level: int,
                       strength: float) -> Tensor:
        """The same from the latents themselves, by the kernel that touches each tensor once."""
        from aecodec.kernels import quantise_

        latents = latents.contiguous(memory_format=torch.channels_last)
        tables = index.to(torch.uint8).contiguous(memory_format=torch.channels_last)
        symbols, known = torch.zeros_like(latents, dtype=torch.int16), torch.zeros_like(latents)
        dead_zone = dead_zones(torch.arange(TABLES, device=self.device, dtype=torch.float32), strength)
        factor = gain.flatten()
        inverse = factor.reciprocal()

        def code(step: int, means: Means) -> Tensor:
            quantise_(latents, means.all(), factor, inverse, tables, GROUPS[step], known, symbols, dead_zone)
            return known

        levels = torch.tensor([level], device=self.device)
        self.network.context(self._features(z, *latents.shape[2:]), levels, code)
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
        index = self._index(z, level, height, width)[0].to(torch.uint8).cpu().numpy()
        watch.lap("scales")
        y_symbols = decoder.decode(index)
        if symbol_crc(z_symbols, y_symbols) != header.symbol_crc:
            raise CorruptFile("the symbols differ from those that were encoded: this machine computes the scale "
                              "decoder differently, or the file was forged; please report it with `aecodec --version`")
        watch.lap("entropy")
        symbols = torch.from_numpy(y_symbols).to(self.device)[None].contiguous(memory_format=torch.channels_last)
        latents = self._latents(symbols, z, level)
        watch.lap("context")
        pixels = self._synthesise(latents, level)[:header.height, :header.width]
        watch.lap("synthesis")
        return np.ascontiguousarray(pixels)

    def _latents(self, symbols: Tensor, z: Tensor, level: int) -> Tensor:
        """The latents `[1, M, h, w]` of all symbols: the context's means are added step by step."""
        height, width = symbols.shape[2:]
        levels = torch.tensor([level], device=self.device)
        gain = self.network.gain(levels)
        known = torch.zeros_like(symbols, dtype=torch.float32)
        inverse = gain.flatten().reciprocal()

        def code(step: int, means: Means) -> Tensor:
            if self.fused:
                from aecodec.kernels import dequantise_

                dequantise_(symbols, means.all(), inverse, GROUPS[step], known)
                return known
            for part in quarter(symbols.shape[1], step):
                known[part] = (symbols[part] / gain[part[:2]]).add_(means.of(part))
            return known

        return self.network.context(self._features(z, height, width), levels, code)

    def _synthesise(self, latents: Tensor, level: int) -> np.ndarray:
        levels = torch.tensor([level], device=self.device)
        if self.fused:
            from aecodec.kernels import to_pixels

            patches = self.network.synthesis.patches_of(latents, levels)
            return to_pixels(patches, shuffle=PATCH)[0].cpu().numpy()
        picture = self.network.synthesis(latents, levels)
        pixels = picture[0].permute(1, 2, 0).float().add_(0.5).mul_(255).round_().clamp_(0, 255).to(torch.uint8)
        return pixels.contiguous().cpu().numpy()


