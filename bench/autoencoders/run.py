"""Runs tables and writes their page."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from .data import MissingData
from .tables import page, write

#: In the order of the page. Each is a module of this folder with `run(out) -> Table`.
TABLES = ("linear", "reconstruct", "denoise", "masked", "variational", "sparse", "contractive", "detector", "molecules")
PAGE = "README.md"


def run(names: Sequence[str], out: Path, say: Callable[[str], None]) -> list[str]:
    """Make tables; give the names of those that could not be made.

    A table is written as soon as it is made, and the page after it, from all tables in the folder.
    """
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    left: list[str] = []
    for name in names:
        module = importlib.import_module(f".{name}", __package__)
        try:
            table = module.run(out)
        except MissingData as error:
            say(f"not measured: {name}: {error}")
            left.append(name)
            continue
        write(table, out)
        missed = [target.text for target in table.targets if not target.reached]
        say(f"{name}: {len(table.rows)} rows" + (f"; missed: {'; '.join(missed)}" if missed else ""))
        (out / PAGE).write_text(page(out, TABLES, _machine()), encoding="utf-8")
    return left


def _machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    return f"{processor}, torch {torch.__version__}"
