"""The tables, and the page of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

from ..autoencoders.tables import Table, make
from ..sweep import machine
from .inputs import Inputs

#: In the order of the page. Each is a module of this folder with `run(inputs, out) -> Table`.
TABLES = ("bottleneck", "denoise", "inpaint", "search", "anomaly", "calibration")


def run(names: Sequence[str], inputs: Inputs, out: Path, say: Callable[[str], None]) -> list[str]:
    """Make tables; give the names of those that could not be made: see `autoencoders.tables.make`."""

    def table_of(name: str) -> Table:
        return importlib.import_module(f".{name}", __package__).run(inputs, out)  # type: ignore[no-any-return]

    introduction = (
        f"# What a codec's latents are good for besides\n\nMade by `aecodec bench latents` on {machine()}; lines in "
        "bold are this package's. Seconds are CPU seconds on a machine that was busy with other work, so compare them "
        "within a table only.")
    return make(names, table_of, out, TABLES, introduction, say)
