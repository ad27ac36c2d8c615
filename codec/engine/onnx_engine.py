"""The network at work in ONNX Runtime, on a CPU in float32: a small install that is quick to start, without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ..format.constants import GROUPS, HYPER_STRIDE, PATCH, SCALE_HALO, STEPS, STRIDE, SYMBOL_MAX, Z_CLAMP
from ..models import ModelFile
from .device import STRIP_BYTES, choose_threads, releasable, trim_heap
from .interface import Progress, Strips, told
from .levels import Levels
from .onnx_graph import Graph, read_manifest
from .shrinkage import Shrinkage

SCALE_BYTES = 1 << 25  # of a strip of the scale decoder's output, float32

Code = Callable[[int, int, "Means"], None]


class Means(NamedTuple):
    """What a step of the context says of a strip, phase by phase: see `onnx_parts.ContextGraph`."""

    means: np.ndarray  # [4, M / 4, rows / 2, w / 2]
    corrections: np.ndarray | None  # the same; None of a model without them


def pad_to(x: np.ndarray, multiple: int, axes: tuple[int, int]) -> np.ndarray:
    """Edge-replicated to multiples of `multiple` at the bottom and the right."""
    pads = [(0, -side % multiple if axis in axes else 0) for axis, side in enumerate(x.shape)]
    return np.pad(x, pads, mode="edge") if any(after for _, after in pads) else x


def regroup(strips: Iterable[np.ndarray], rows: int) -> Iterator[np.ndarray]:
    """Strips `[1, C, any, w]` as strips of `rows` rows; the last may have fewer."""
    held: list[np.ndarray] = []
    count = 0
    for strip in strips:
        held.append(strip)
        count += strip.shape[2]
        if count >= rows:
            whole = np.concatenate(held, axis=2) if len(held) > 1 else strip
            full = count // rows * rows
            yield from (whole[:, :, top:top + rows] for top in range(0, full, rows))
            held, count = [whole[:, :, full:]], count - full
    if count:
        yield np.concatenate(held, axis=2)


def quantise_part(latents: np.ndarray, means: np.ndarray, gain: np.ndarray, inverse_gain: np.ndarray,
                  index: np.ndarray, dead_zone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(symbol, y_hat)` of latents `[k, h, w]`: the arithmetic of `aecodec.kernels.quantise_`, in NumPy.

    Args:
        latents, means, index: `[k, h, w]`.
        gain, inverse_gain: `[k, 1, 1]`.
        dead_zone: `[k, TABLES]`.

    Returns:
        Both float32 `[k, h, w]`; the symbols hold integers.
    """
    residual = latents - means
    residual *= gain
    starts = np.arange(0, dead_zone.size, dead_zone.shape[1], dtype=np.int32)[:, None, None]
    dead = dead_zone.ravel().take(index + starts)
    residual -= np.maximum(np.minimum(residual, dead), np.negative(dead, out=dead), out=dead)
    np.clip(residual, -SYMBOL_MAX, SYMBOL_MAX, out=residual)
    np.rint(residual, out=residual)
    residual *= index > 0
    y_hat = residual * inverse_gain
    y_hat += means
    return residual, y_hat


def corrected(latents: np.ndarray, symbols: np.ndarray, corrections: np.ndarray | None,
              inverse_gain: np.ndarray) -> np.ndarray:
    """Latents `[k, h, w]`, corrected within the steps of their symbols: see `aecodec.network.context.Means`."""
    if corrections is not None:
        latents += corrections * np.clip(symbols, -1, 1) * inverse_gain
    return latents


class OnnxEngine:
    """See `aecodec.engine.interface.Engine`. A strip is a float32 array `[1, M, rows, w]`.

    Args:
        file: the model's weights, with the graphs that `aecodec export` put beside them.
        threads: that work on one picture; by default all that this process may use.
        strip_rows: rows of latents (a multiple of 4) in a strip, if the network can do with so few; by default as many
            as suit the cache.

    Raises:
        UnknownModel: there are no graphs, or they are for another model.
    """

    name = "onnx"
    device = "cpu"
    precision = "float32"

    def __init__(self, file: ModelFile, threads: int | None = None, strip_rows: int | None = None) -> None:
        if strip_rows is not None and (strip_rows < 1 or strip_rows % HYPER_STRIDE):
            raise ValueError(f"strip_rows must be a multiple of {HYPER_STRIDE}, not {strip_rows}")
        self.strip_rows = strip_rows
        self.threads = choose_threads(threads)
        self.levels = Levels(file)
        self.graphs = {name: Graph(file, name, about, self.threads) for name, about in read_manifest(file).items()}
        self._channels = int(file.info.config["channels"])
        self._latents = int(file.info.config["latents"])
        self._halo = [file.tensors[f"context.blocks.{step}.depthwise.weight"].shape[2] // 2 for step in range(STEPS)]

    def _rows(self, columns: int) -> int:
        """How many rows of latents a strip has in a picture of so many columns of latents."""
        row = STRIDE // PATCH * (STRIDE // PATCH * columns) * self._channels * 4  # at 1/8, float32
        rows = self.strip_rows or STRIP_BYTES // row
        least = max(self.graphs[name].least_rows for name in ("analysis", "synthesis"))
        return -(-max(rows // HYPER_STRIDE * HYPER_STRIDE, least, *self._halo) // HYPER_STRIDE) * HYPER_STRIDE

    def _hyper_rows(self, graph: str, rows: int) -> int:
        """How many rows of hyper-latents a strip has in a graph, where it has so many rows of latents elsewhere."""
        return max(rows // HYPER_STRIDE, self.graphs[graph].least_rows)

    def _vectors(self, graph: Graph, level: int) -> dict[str, np.ndarray]:
        given = {name: self.levels.vector(name, level) for name in graph.vectors}
        for block in graph.conditioned:
            given |= self.levels.folded(block, level)
        return given

    def _strips(self, graph: str, name: str, strips: Iterable[np.ndarray], columns: int, level: int,
                **given: np.ndarray) -> Iterator[np.ndarray]:
        """See `Graph.strips`."""
        part = self.graphs[graph]
        return part.strips(name, strips, columns, **self._vectors(part, level), **given)

    # -- encoding -------------------------------------------------------------------------------------------------

    def analyse(self, pixels: np.ndarray, level: int, progress: Progress | None = None) -> list[np.ndarray]:
        columns = -(-pixels.shape[1] // STRIDE)
        rows = self._rows(columns)
        total = -(-pixels.shape[0] // (rows * STRIDE))
        strips = (np.ascontiguousarray(pad_to(pixels[top:top + rows * STRIDE], STRIDE, (0, 1)))
                  for top in range(0, pixels.shape[0], rows * STRIDE))
        made = self._strips("analysis", "pixels", told(strips, total, progress), columns, level)
        latents = [releasable(strip) for strip in regroup(made, rows)]
        trim_heap(pixels.size // 3)
        return latents

    def hyper_latents(self, latents: list[np.ndarray], level: int) -> np.ndarray:
        columns = -(-latents[0].shape[3] // HYPER_STRIDE)
        rows = self._hyper_rows("hyper_analysis", self._rows(latents[0].shape[3]))
        strips = regroup(latents, HYPER_STRIDE * rows)
        padded = (np.ascontiguousarray(pad_to(strip, HYPER_STRIDE, (2, 3))) for strip in strips)
        z = self._strips("hyper_analysis", "latents", padded, columns, level, finer=self.levels.z_finer(level))
        return np.concatenate(list(z), axis=2)[0]

    def indices(self, z: np.ndarray, level: int, height: int, width: int) -> np.ndarray:
        index = np.empty((self._latents, height, width), np.uint8)
        hyper = np.clip(z * self.levels.z_steps(level), -Z_CLAMP, Z_CLAMP)
        rows = max(SCALE_BYTES // (self._latents * HYPER_STRIDE * width * 4), 1)  # of z
        for top in range(0, z.shape[1], rows):
            first = max(top - SCALE_HALO, 0)
            window = np.ascontiguousarray(hyper[:, :, first:top + rows + SCALE_HALO])
            (strip,) = self.graphs["scales"].run(z=window, offsets=self.levels.offsets(level))
            part = index[:, HYPER_STRIDE * top:HYPER_STRIDE * (top + rows)]
            start = HYPER_STRIDE * (top - first)
            part[...] = strip[0, :, start:start + part.shape[1], :width]
        trim_heap(height * width * STRIDE**2)
        return index

    def quantise(self, latents: list[np.ndarray], z: np.ndarray, index: np.ndarray, level: int,
                 rdoq_strength: float, progress: Progress | None = None) -> np.ndarray:
        rows = self._rows(index.shape[2])
        symbols = np.empty(index.shape, np.int16)
        dead_zone = self.levels.dead_zone(level, rdoq_strength)
        gain = self.levels.vector("gain", level)[0]
        inverse = 1 / gain
        waiting = dict(enumerate(latents))
        latents.clear()
        y_hat: dict[int, np.ndarray] = {}

        def code(step: int, n: int, means: Means) -> None:
            if step == 0:
                y_hat[n] = np.zeros_like(waiting[n])
            top = rows * n
            for own, part, mean, correction in self._parts(step, means, waiting[n].shape):
                tables = index[own, top:top + rows][:, part[2], part[3]]
                symbol, latent = quantise_part(waiting[n][part], mean, gain[own], inverse[own], tables, dead_zone[own])
                symbols[own, top:top + rows][:, part[2], part[3]] = symbol
                y_hat[n][part] = corrected(latent, symbol, correction, inverse[own])

        done = self._context(z, level, rows, index.shape[1:], y_hat, code)
        for n, _ in told(done, -(-index.shape[1] // rows), progress):
            del y_hat[n], waiting[n]
        return symbols

    def shrink(self, latents: list[np.ndarray], z: np.ndarray, index: np.ndarray, level: int,
               shrinkage: Shrinkage) -> Iterator[np.ndarray]:
        rows = self._rows(index.shape[2])
        gain = self.levels.vector("gain", level)[0]
        waiting = dict(enumerate(latents))
        latents.clear()
        y_hat: dict[int, np.ndarray] = {}

        def code(step: int, n: int, means: Means) -> None:
            if step == 0:
                y_hat[n] = np.zeros_like(waiting[n])
            top = rows * n
            for own, part, mean, _ in self._parts(step, means, waiting[n].shape):
                tables = index[own, top:top + rows][:, part[2], part[3]]
                place = slice(top + part[2].start, top + rows, 2)
                y_hat[n][part] = mean + shrinkage(waiting[n][part] - mean, gain[own], tables, own, place, part[3])

        for n, features in self._context(z, level, rows, index.shape[1:], y_hat, code):
            del waiting[n]
            yield self._informed(y_hat.pop(n), features, index[:, rows * n:rows * (n + 1)])

    def _informed(self, latents: np.ndarray, features: np.ndarray, index: np.ndarray) -> np.ndarray:
        """A strip of latents as the synthesis gets it: with what the entropy model knows, if the model is so made."""
        if "side" not in self.graphs:
            return latents
        tables = np.ascontiguousarray(index[None])
        return self.graphs["side"].run(latents=latents, features=features, index=tables)[0]

    # -- the context ----------------------------------------------------------------------------------------------

    def _parts(self, step: int, means: Means, shape: tuple[int, ...],
               ) -> Iterator[tuple[slice, tuple[int, slice, slice, slice], np.ndarray, np.ndarray | None]]:
        """What becomes known in a step, phase by phase: its channels, its place in a strip, means and corrections."""
        size = self._latents // STEPS
        for phase, group in enumerate(GROUPS[step]):
            own = slice(size * group, size * (group + 1))
            row, column = divmod(phase, 2)
            inside = phase, slice(None), slice((shape[2] - row + 1) // 2), slice((shape[3] - column + 1) // 2)
            yield (own, (0, own, slice(row, None, 2), slice(column, None, 2)), means.means[inside],
                   None if means.corrections is None else means.corrections[inside])

    def _features(self, z: np.ndarray, level: int, rows: int, height: int, width: int) -> Iterator[np.ndarray]:
        """What the context starts from, in strips of `rows` rows."""
        hyper, step = z * self.levels.z_steps(level), self._hyper_rows("features", rows)
        strips = (np.ascontiguousarray(hyper[:, :, top:top + step]) for top in range(0, hyper.shape[2], step))
        features = regroup(self._strips("features", "z", strips, hyper.shape[3], level), rows)
        for top, strip in zip(range(0, height, rows), features, strict=True):
            yield strip[:, :, :height - top, :width]

    def _context(self, z: np.ndarray, level: int, rows: int, size: tuple[int, ...], y_hat: dict[int, np.ndarray],
                 code: Code) -> Iterator[tuple[int, np.ndarray]]:
        """Run the four steps of the context.

        Args:
            size: `(h, w)` of the latents.
            y_hat: by number of a strip its latents that are known, zero where they are not.
            code: called as `code(step, n, means)`; makes those of a step known.

        Yields:
            The number of every strip whose four steps are done, and its features after the last step.
        """
        strips = self._features(z, level, rows, *size)
        for step in range(STEPS):
            strips = self._step(step, strips, level, y_hat, code)
        return enumerate(strips)

    def _step(self, step: int, strips: Iterator[np.ndarray], level: int, y_hat: dict[int, np.ndarray],
              code: Code) -> Iterator[np.ndarray]:
        """One step: a strip takes it when the one below has taken the step before, so that the rows next to a strip
        are always those of the whole picture."""
        graph, halo = self.graphs[f"context_{step}"], self._halo[step]
        given = self._vectors(graph, level)
        above: list[np.ndarray] = []  # the last rows of the strip before, as they were before this step
        n, strip = 0, next(strips, None)
        while strip is not None:
            following = next(strips, None)
            centre = [strip, y_hat[n]] if step else [strip]
            below = [] if following is None else [following, y_hat[n + 1]] if step else [following]
            windows = [np.concatenate([*above[i:i + 1], x, *(b[:, :, :halo] for b in below[i:i + 1])], axis=2)
                       for i, x in enumerate(centre)]
            edges = {"above": np.array(halo if above else 0),
                     "below": np.array(min(halo, following.shape[2]) if following is not None else 0)}
            after, means, *more = graph.run(**dict(zip(("x", "known"), windows, strict=False)), **edges, **given)
            above = [x[:, :, -halo:].copy() for x in centre]
            code(step, n, Means(means, more[0] if more else None))
            yield after
            n, strip = n + 1, following

    # -- decoding -------------------------------------------------------------------------------------------------

    def dequantise(self, symbols: np.ndarray, z: np.ndarray, index: np.ndarray, level: int) -> Iterator[np.ndarray]:
        rows = self._rows(symbols.shape[2])
        inverse = 1 / self.levels.vector("gain", level)[0]
        y_hat: dict[int, np.ndarray] = {}

        def code(step: int, n: int, means: Means) -> None:
            own_symbols = symbols[:, rows * n:rows * (n + 1)]
            if step == 0:
                y_hat[n] = np.zeros((1, *own_symbols.shape), np.float32)
            for own, part, mean, correction in self._parts(step, means, y_hat[n].shape):
                symbol = own_symbols[part[1:]]
                y_hat[n][part] = corrected(symbol * inverse[own] + mean, symbol, correction, inverse[own])

        for n, features in self._context(z, level, rows, symbols.shape[1:], y_hat, code):
            yield self._informed(y_hat.pop(n), features, index[:, rows * n:rows * (n + 1)])

    def synthesise(self, latents: Strips, level: int, height: int, width: int,
                   progress: Progress | None = None) -> np.ndarray:
        pixels = np.empty((height, width, 3), np.uint8)
        total = -(-height // (STRIDE * self._rows(-(-width // STRIDE))))
        top = 0
        strips = told(latents, total, progress)
        for strip in self._strips("synthesis", "latents", strips, -(-width // STRIDE), level):
            rows = strip[:height - top, :width]
            pixels[top:top + len(rows)] = rows
            top += len(strip)
        return pixels

    # -- latents as arrays ----------------------------------------------------------------------------------------

    def to_array(self, latents: Strips) -> np.ndarray:
        return np.concatenate([strip[0] for strip in latents], axis=1)

    def from_array(self, latents: np.ndarray) -> list[np.ndarray]:
        rows = self._rows(latents.shape[2])
        return [np.ascontiguousarray(latents[None, :, top:top + rows], np.float32)
                for top in range(0, latents.shape[1], rows)]

    def synchronise(self) -> None:
        pass  # whatever is called has done its work when it returns
