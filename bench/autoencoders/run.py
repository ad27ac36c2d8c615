"""The tables, and the page of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ..sweep import machine
from .tables import Table, make

#: In the order of the page. Each is a module of this folder with `run(out) -> Table`.
TABLES = ("linear", "reconstruct", "denoise", "masked", "variational", "sparse", "contractive", "detector", "molecules")


def run(names: Sequence[str], out: Path, say: Callable[[str], None]) -> list[str]:
    """Make tables; give the names of those that could not be made: see `tables.make`."""
    torch.set_num_threads(1)

    def table_of(name: str) -> Table:
        return importlib.import_module(f".{name}", __package__).run(out)  # type: ignore[no-any-return]

    introduction = (
        f"# Autoencoders for tables and small pictures\n\nMade by `aecodec bench autoencoders` on {machine()}, torch "
        f"{torch.__version__}, one thread; lines in bold are this package's. Seconds are CPU seconds of fitting on a "
        "machine that was busy with other work, so compare them within a table only.")
    return make(names, table_of, out, TABLES, introduction, say)
