"""Runs tables and writes their page."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

from ..autoencoders.tables import write
from .inputs import Inputs, MissingData

#: In the order of the page. Each is a module of this folder with `run(inputs, out) -> Table`.
TABLES = ("bottleneck", "denoise", "inpaint")
PAGE = "README.md"


def run(names: Sequence[str], inputs: Inputs, out: Path, say: Callable[[str], None]) -> list[str]:
    """Make tables; give the names of those that could not be made.

    A table is written as soon as it is made, and the page after it, from all tables in the folder.
    """
    out.mkdir(parents=True, exist_ok=True)
    left: list[str] = []
    for name in names:
        module = importlib.import_module(f".{name}", __package__)
        try:
            table = module.run(inputs, out)
        except MissingData as error:
            say(f"not measured: {name}: {error}")
            left.append(name)
            continue
        write(table, out)
        missed = [target.text for target in table.targets if not target.reached]
        say(f"{name}: {len(table.rows)} rows" + (f"; missed: {'; '.join(missed)}" if missed else ""))
        (out / PAGE).write_text(page(out), encoding="utf-8")
    return left


def page(out: Path) -> str:
    """One page of all tables written into a folder."""
    parts = [f"# What a codec's latents are good for besides\n\nMade by `aecodec bench latents` on {_machine()}; lines "
             "in bold are this package's. Seconds are CPU seconds on a machine that was busy with other work, so "
             "compare them within a table only.\n"]
    parts += [(out / f"{name}.md").read_text(encoding="utf-8") for name in TABLES if (out / f"{name}.md").exists()]
    return "\n".join(parts)


def _machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    return f"{processor}, {os.cpu_count()} cores"
