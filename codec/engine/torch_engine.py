"""The network at work in torch, on a CPU or a CUDA GPU: training's twin, and what the kernels are for."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from aecodec.kernels import coded_parts, to_pixels

from .. import models
from ..errors import UnknownModel
from ..format.constants import GROUPS, HYPER_STRIDE, PATCH, SCALE_HALO, STRIDE, SYMBOL_MAX
from ..network import strips as network_strips
from ..network.blocks import Block
from ..network.context import Means
from ..network.model import ModelConfig, ShippedNetwork
from ..network.quantisation import dequantise_step, quantise_step
from .device import GPU_STRIP_BYTES, STRIP_BYTES, choose_device, choose_precision, releasable, trim_heap
from .interface import Progress, Strips, told
from .shrinkage import Shrinkage

P = ParamSpec("P")
R = TypeVar("R")

FOLDED_LEVELS = 8  # as many quality levels are kept with their conditions folded in
SCALE_BYTES = 1 << 25  # of a strip of the scale decoder's output

if hasattr(os, "register_at_fork"):
    # The threads of a process do not live in one forked from it, and OpenMP waits for those it knows of for ever.
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def without_autocast(method: Callable[P, R]) -> Callable[P, R]:
    """A method of `TorchEngine` in inference mode, and without the autocast its caller may have on."""

    @functools.wraps(method)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        engine: TorchEngine = args[0]  # type: ignore[assignment]
        if engine.torch_device.type == "cuda" and engine._process != os.getpid():
            raise RuntimeError("CUDA does not work in a forked process; use multiprocessing's start method spawn, or "
                               "load the codec in the process that uses it")
        with torch.inference_mode(), torch.autocast(engine.torch_device.type, enabled=False):
            return method(*args, **kwargs)

    return wrapped


def pad_to(x: Tensor, multiple: int) -> Tensor:
    """Edge-replicated to multiples of `multiple` at the bottom and the right: `[B, C, H, W]`."""
    height, width = x.shape[2:]
    below, right = -height % multiple, -width % multiple
    return F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x


def channels_last(array: np.ndarray, device: torch.device) -> Tensor:
    """A copy of `[C, h, w]` as `[1, C, h, w]` in channels_last."""
    tensor = torch.from_numpy(array if array.flags.writeable else array.copy())[None]
    # Not `contiguous`, which leaves odd strides where a side is 1: oneDNN then takes another way, and rounds otherwise.
    made = torch.empty(tensor.shape, dtype=tensor.dtype, device=device, memory_format=torch.channels_last)
    return made.copy_(tensor)


class TorchEngine:
    """See `aecodec.engine.interface.Engine`. A strip is a float32 tensor `[1, M, rows, w]` in channels_last.

    Args:
        file: the model's weights.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        precision: of analysis, hyper-analysis and synthesis: `auto`, `float32` or `bfloat16`. Everything that symbols
            depend on in decoding runs in float32 or integers, whatever this says.
        strip_rows: rows of latents (a multiple of 4) in a strip; by default as many as suit the device. Symbols and
            pixels do not depend on it.
        threads: what `torch.set_num_threads` is told, for the whole process; None leaves it as it is.
    """

    name = "torch"

    def __init__(self, file: models.ModelFile, device: str = "auto", precision: str = "auto",
                 strip_rows: int | None = None, threads: int | None = None) -> None:
        if strip_rows is not None and (strip_rows < 1 or strip_rows % HYPER_STRIDE):
            raise ValueError(f"strip_rows must be a multiple of {HYPER_STRIDE}, not {strip_rows}")
        if threads is not None:
            torch.set_num_threads(threads)
        self.strip_rows = strip_rows
        self.torch_device = choose_device(device)
        self._process = os.getpid()
        self.dtype = choose_precision(precision, self.torch_device)
        self.device, self.precision = str(self.torch_device), str(self.dtype).removeprefix("torch.")
        self.fused = self.torch_device.type == "cuda"  # whether a step of the context is one kernel
        self.network = self._load(file)
        self._folded: dict[int, ShippedNetwork] = {}
        self._lock = threading.Lock()

    def _load(self, file: models.ModelFile) -> ShippedNetwork:
        with torch.device("meta"):
            network = ShippedNetwork(ModelConfig.from_dict(file.info.config))
        state = {name: torch.from_numpy(tensor) for name, tensor in file.network_tensors().items()}
        state = {name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in state.items()}
        try:
            network.load_state_dict(state, assign=True)
        except RuntimeError as error:
            raise UnknownModel(f"{file.info.path} does not fit its configuration; install aecodec again") from error
        network.eval().requires_grad_(False)
        network.to(self.torch_device)
        for part in (network.analysis, network.synthesis, network.hyper_analysis):
            for name, child in part.named_children():
                # Gains span decades. The layers next to the pixels, and the sums of the residuals after them, stay
                # float32: in bfloat16 they cost 0.1 dB at the highest level, so they cost less than 0.04 dB.
                if name not in ("gain", "patches"):
                    self._cast(child)
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def _cast(self, module: torch.nn.Module) -> None:
        """Give a module's weights the precision in use, but for those that a block folds its conditions into."""
        for name, child in module.named_children():
            if not (isinstance(module, Block) and module.spatial is not None
                    and name in ("depthwise", "mix", "spatial", "channel")):
                self._cast(child)
        for parameter in module.parameters(recurse=False):
            parameter.data = parameter.data.to(self.dtype)

    def _at(self, level: int) -> ShippedNetwork:
        """The network at a quality level, its conditions folded into its weights."""
        if not self.network.config.conditioned:
            return self.network
        with self._lock:
            if level not in self._folded:
                if len(self._folded) == FOLDED_LEVELS:
                    self._folded.pop(next(iter(self._folded)))
                folded = self.network.at(level)
                self._folded[level] = folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            return self._folded[level]

    def _rows(self, columns: int) -> int:
        """How many rows of latents a strip has in a picture of so many columns of latents."""
        if self.strip_rows is not None:
            return self.strip_rows
        room = STRIP_BYTES if self.torch_device.type == "cpu" else GPU_STRIP_BYTES
        row = STRIDE // PATCH * (STRIDE // PATCH * columns) * self.network.config.channels * 4  # in analysis, float32
        return max(room // row // HYPER_STRIDE, 1) * HYPER_STRIDE

    def _levels(self, level: int) -> Tensor:
        return torch.tensor([level], device=self.torch_device)

    # -- encoding -------------------------------------------------------------------------------------------------

    @without_autocast
    def analyse(self, pixels: np.ndarray, level: int, progress: Progress | None = None) -> list[Tensor]:
        rows = self._rows(-(-pixels.shape[1] // STRIDE))
        total = -(-pixels.shape[0] // (rows * STRIDE))

        def pictures() -> Iterator[Tensor]:
            for top in range(0, pixels.shape[0], rows * STRIDE):
                # A copy: an array may be read-only, which torch warns of, or not contiguous.
                strip = torch.from_numpy(pixels[None, top:top + rows * STRIDE].copy()).to(self.torch_device)
                strip = strip.permute(0, 3, 1, 2)
                yield pad_to(strip.float().div_(255).sub_(0.5), STRIDE)

        strips = self._at(level).analysis.strips(told(pictures(), total, progress), self._levels(level))
        latents = [self._kept(strip.float()) for strip in strips]
        trim_heap(pixels.size // 3)
        return latents

    def _kept(self, strip: Tensor) -> Tensor:
        """A strip that may wait for its turn: on a CPU in memory that goes back to the system."""
        if self.torch_device.type != "cpu":
            return strip
        return torch.from_numpy(releasable(strip.permute(0, 2, 3, 1).numpy())).permute(0, 3, 1, 2)

    @without_autocast
    def hyper_latents(self, latents: list[Tensor], level: int) -> np.ndarray:
        gain = self.network.gain(self._levels(level))
        scaled = (pad_to(strip * gain, HYPER_STRIDE) for strip in latents)
        z = torch.cat(list(self.network.hyper_latents(scaled, level)), dim=2)
        return z.clamp_(-SYMBOL_MAX, SYMBOL_MAX)[0].to(torch.int16).contiguous().cpu().numpy()

    @without_autocast
    def indices(self, z: np.ndarray, level: int, height: int, width: int) -> np.ndarray:
        index = np.empty((self.network.config.latents, height, width), np.uint8)
        hyper = channels_last(z, self.torch_device).float()
        rows = max(SCALE_BYTES // (self.network.config.latents * HYPER_STRIDE * width * 4), 1)  # of z
        for top in range(0, z.shape[1], rows):
            first = max(top - SCALE_HALO, 0)
            strip = self.network.scale_decoder(hyper[:, :, first:top + rows + SCALE_HALO], level)
            part = index[:, HYPER_STRIDE * top:HYPER_STRIDE * (top + rows)]
            start = HYPER_STRIDE * (top - first)
            part[...] = strip[0, :, start:start + part.shape[1], :width].to(torch.uint8).cpu().numpy()
        trim_heap(height * width * STRIDE**2)
        return index

    def _features(self, z: np.ndarray, level: int, rows: int, height: int, width: int) -> Iterator[Tensor]:
        """What the context model starts from, in strips of `rows` rows."""
        hyper = channels_last(z, self.torch_device).float()
        strips = self.network.features(network_strips.split(hyper, rows // HYPER_STRIDE), level)
        for top, strip in zip(range(0, height, rows), strips, strict=True):
            yield strip[:, :, :height - top, :width]

    def _tables(self, index: np.ndarray, rows: int, n: int) -> Tensor:
        """The tables of the n-th strip."""
        return channels_last(index[:, rows * n:rows * (n + 1)], self.torch_device)

    @without_autocast
    def quantise(self, latents: list[Tensor], z: np.ndarray, index: np.ndarray, level: int,
                 rdoq_strength: float, progress: Progress | None = None) -> np.ndarray:
        rows = self._rows(index.shape[2])
        symbols = np.empty(index.shape, np.int16)
        dead_zone = self.network.rounding.at(level, rdoq_strength)
        gain = self.network.gain(self._levels(level)).flatten()
        inverse = gain.reciprocal()
        waiting = dict(enumerate(latents))
        latents.clear()
        tables: dict[int, Tensor] = {}
        y_hat: dict[int, Tensor] = {}
        coded: dict[int, Tensor] = {}

        def code(step: int, n: int, means: Means) -> Tensor:
            own = waiting[n]
            if step == 0:
                tables[n] = self._tables(index, rows, n)
                y_hat[n], coded[n] = torch.zeros_like(own), torch.zeros_like(own, dtype=torch.int16)
            quantise_step(step, own, means, gain, inverse, tables[n], dead_zone, y_hat[n], coded[n], self.fused)
            return y_hat[n]

        features = self._features(z, level, rows, *index.shape[1:])
        done = self._at(level).context.strips(features, self._levels(level), code)
        for n, _ in told(done, -(-index.shape[1] // rows), progress):
            symbols[:, rows * n:rows * (n + 1)] = coded.pop(n)[0].cpu().numpy()
            del y_hat[n], waiting[n], tables[n]
        return symbols

    def shrink(self, latents: list[Tensor], z: np.ndarray, index: np.ndarray, level: int,
               shrinkage: Shrinkage) -> Iterator[Tensor]:
        rows = self._rows(index.shape[2])
        gain = self.network.gain(self._levels(level))[0].cpu().numpy()
        waiting = dict(enumerate(latents))
        latents.clear()
        y_hat: dict[int, Tensor] = {}

        def code(step: int, n: int, means: Means) -> Tensor:
            if step == 0:
                y_hat[n] = torch.zeros_like(waiting[n])
            tables = index[:, rows * n:rows * (n + 1)]
            for part in coded_parts(tables.shape[0], GROUPS[step]):
                _, own, row, column = part
                mean, place = means.of(part), slice(rows * n + row.start, rows * (n + 1), row.step)
                residual = (waiting[n][part] - mean)[0].cpu().numpy()
                kept = shrinkage(residual, gain[own], tables[own, row, column], own, place, column)
                y_hat[n][part] = mean + torch.from_numpy(kept).to(self.torch_device)
            return y_hat[n]

        features = self._features(z, level, rows, *index.shape[1:])
        context = self._at(level).context
        for n, seen in context.strips(features, self._levels(level), code):
            del waiting[n]
            yield context.inform(y_hat.pop(n), seen, self._tables(index, rows, n))

    # -- decoding -------------------------------------------------------------------------------------------------

    def dequantise(self, symbols: np.ndarray, z: np.ndarray, index: np.ndarray, level: int) -> Iterator[Tensor]:
        inverse = self.network.gain(self._levels(level)).flatten().reciprocal()
        rows = self._rows(symbols.shape[2])
        parts: dict[int, Tensor] = {}
        y_hat: dict[int, Tensor] = {}

        def code(step: int, n: int, means: Means) -> Tensor:
            if step == 0:
                parts[n] = channels_last(symbols[:, rows * n:rows * (n + 1)], self.torch_device)
                y_hat[n] = torch.zeros_like(parts[n], dtype=torch.float32)
            dequantise_step(step, parts[n], means, inverse, y_hat[n], self.fused)
            return y_hat[n]

        features = self._features(z, level, rows, *symbols.shape[1:])
        context = self._at(level).context
        for n, seen in context.strips(features, self._levels(level), code):
            del parts[n]
            yield context.inform(y_hat.pop(n), seen, self._tables(index, rows, n))

    @without_autocast
    def synthesise(self, latents: Strips, level: int, height: int, width: int,
                   progress: Progress | None = None) -> np.ndarray:
        pixels = np.empty((height, width, 3), np.uint8)
        total = -(-height // (STRIDE * self._rows(-(-width // STRIDE))))
        top = 0
        for patches in self._at(level).synthesis.strips(told(latents, total, progress), self._levels(level)):
            strip = to_pixels(patches, shuffle=PATCH)[0, :height - top, :width].cpu().numpy()
            pixels[top:top + len(strip)] = strip
            top += len(strip)
        return pixels

    # -- latents as arrays ----------------------------------------------------------------------------------------

    @without_autocast
    def to_array(self, latents: Strips) -> np.ndarray:
        return np.concatenate([strip[0].cpu().numpy() for strip in latents], axis=1)

    def from_array(self, latents: np.ndarray) -> list[Tensor]:
        rows = self._rows(latents.shape[2])
        strips = range(0, latents.shape[1], rows)
        return [channels_last(latents[:, top:top + rows], self.torch_device).float() for top in strips]

    def synchronise(self) -> None:
        if self.torch_device.type == "cuda":
            torch.cuda.synchronize(self.torch_device)
