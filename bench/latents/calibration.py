"""Calibration: what symbols drawn from the model cost, beside what the real ones do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import aecodec
from aecodec.coder import Coder, Latents, Symbols
from aecodec.format.entropy import SymbolEncoder, Tables

from ..autoencoders.tables import Row, Table, Target
from ..pictures import read_pixels
from . import plots
from .inputs import Inputs

PICTURES, SIDE = 12, 512
LEVELS = (8, 21, 32, 42, 56)
SHOWN = 32


def run(inputs: Inputs, out: Path) -> Table:
    """Bits of the real symbols, of symbols drawn from the same tables, and of ones drawn from nothing."""
    codec = aecodec.Codec("cpu", engine="onnx", threads=1)
    pictures = [read_pixels(path, SIDE) for path in inputs.clean(PICTURES)]
    table = Table(
        "calibration", "Calibration: the codec as a generative model",
        f"{len(pictures)} pictures of at most {SIDE} pixels. Real: the payload of a picture's file. "
        "Redrawn: the payload of symbols drawn from the tables, with the picture's own hyper-latents; "
        "their ratio is 1 where the tables say truly how the symbols scatter. Ancestral: hyper-latents drawn as well, "
        "so that nothing is of the picture but its size and level.",
        {"real bits per pixel": ".3f", "redrawn": ".3f", "redrawn / real": ".3f", "least": ".3f", "most": ".3f",
         "ancestral": ".3f"})
    ratios: list[float] = []
    for level in LEVELS:
        rng = np.random.default_rng(level)
        real: list[int] = []
        redrawn: list[int] = []
        ancestral: list[int] = []
        area = 0
        for pixels in pictures:
            symbols = codec.coder.read_symbols(codec.coder.encode(pixels, level))
            drawn = draw(codec.coder, symbols, rng)
            free = draw_all(codec.coder, symbols, level, rng)
            for costs, which in ((real, symbols), (redrawn, drawn), (ancestral, free)):
                costs.append(bits(codec.coder.tables, which))
            area += pixels.shape[0] * pixels.shape[1]
        each = np.array(redrawn) / np.array(real)
        ratios.append(sum(redrawn) / sum(real))
        table.rows.append(Row(f"level {level}", "aecodec", {
            "real bits per pixel": sum(real) / area, "redrawn": sum(redrawn) / area, "redrawn / real": ratios[-1],
            "least": float(each.min()), "most": float(each.max()), "ancestral": sum(ancestral) / area}, ours=True))
    table.targets = [Target(f"redrawn symbols cost 0.90 to 1.10 of real ones at every level ({min(ratios):.2f} to "
                            f"{max(ratios):.2f})", min(ratios) >= 0.9 and max(ratios) <= 1.1)]
    rng = np.random.default_rng(0)
    plots.pictures([sample(codec.coder, (192, 288), SHOWN, rng) for _ in range(3)], out / "calibration_samples.png")
    table.figures["calibration_samples.png"] = (
        f"Ancestral samples at level {SHOWN}, by way of z, tables, means and synthesis: smooth patches, texture and "
        "plain noise side by side, and no objects. That is why there is no command for it")
    return table


def bits(tables: Tables, symbols: Symbols) -> int:
    """Of the payload that holds such symbols."""
    encoder = SymbolEncoder(tables)
    encoder.encode(symbols.z, symbols.z_tables)
    encoder.encode(symbols.y, symbols.y_tables)
    return 8 * len(encoder.finish())


def draw(coder: Coder, symbols: Symbols, rng: np.random.Generator) -> Symbols:
    """Symbols of the latents drawn from the tables that a picture's hyper-latents choose."""
    return symbols._replace(y=_drawn(coder.tables, symbols.y_tables, rng))


def draw_all(coder: Coder, like: Symbols, level: int, rng: np.random.Generator) -> Symbols:
    """All symbols drawn from the model, as many as a picture has: first z, then y from the tables that z chooses."""
    z = _drawn(coder.tables, like.z_tables, rng)
    index = coder.engine.indices(z, level, *like.y.shape[1:])
    return Symbols(z, like.z_tables, _drawn(coder.tables, index, rng), index)


def _drawn(tables: Tables, index: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.int16]:
    made = np.zeros(index.shape, np.int16)
    for table in np.unique(index[index > 0]):
        half = int(tables.half[table])
        weights = tables.frequencies(int(table))[:-1].astype(float)
        places = index == table
        made[places] = rng.choice(np.arange(-half, half + 1), int(places.sum()), p=weights / weights.sum())
    return made


def sample(coder: Coder, size: tuple[int, int], level: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture `uint8 [H, W, 3]` drawn from the model."""
    blank = coder.read_symbols(coder.encode(np.zeros((*size, 3), np.uint8), level))  # for its tables of z alone
    symbols = draw_all(coder, blank, level, rng)
    y = coder.engine.to_array(coder.engine.dequantise(symbols.y, symbols.z, symbols.y_tables, level))
    return coder.render(Latents(y, symbols.z, level, size[1], size[0]))
