"""All that `aecodec bench speed` measures, one after the other, and what is said of it meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from . import document, footprint, shell, speed, speed_report
from .codecs import Options
from .progress import Progress, say, show
from .report import SPEED, read_speed
from .speed import Measurement

PAGE = "speed.md"


def run(names: Sequence[str], missing: Iterable[str], options: Options, sizes: Sequence[tuple[int, int]],
        pixels: np.ndarray, machine: str, runs: int, limit: float) -> list[Measurement]:
    """Measure codecs at every size, beside other work, and from a shell; and what an install takes.

    Args:
        missing: codecs that cannot be used here.
        pixels: a picture whose mirrored tiles make up the sizes, `uint8 [H, W, 3]`.
    """
    def done(name: str, size: tuple[int, int], rows: Sequence[Measurement]) -> None:
        texts = [f"{row.stage} " + (row.note or f"{row.mp_per_s:.2f} MP/s, {row.peak_mb or 0:.0f} MB")
                 for row in rows if row.stage in ("encode", "decode")]
        bar.log(f"{name:34} {size[0]}x{size[1]:<5} {', '.join(texts)}")
        bar.advance(1)

    def from_shell(name: str, rows: Sequence[Measurement]) -> None:
        bar.log(f"{name:34} shell     " + ", ".join(f"{row.stage.removeprefix('shell:')} " + (
            row.note or f"{row.seconds:.2f} s, {row.peak_mb or 0:.0f} MB") for row in rows))
        bar.advance(1)

    beside = [speed.BUSY_SIZE] if speed.BUSY_SIZE in sizes and options.device == "cpu" else []
    with Progress("measurements") as bar:
        bar.start(len(list(speed.variants(names, options))) * (len(sizes) + len(beside)) + shell.count(names))
        found = speed.run(names, options, sizes, machine, pixels, runs, limit, on_done=done)
        found += speed.run(names, options, beside, machine, pixels, runs, limit, busy=1, on_done=done)
        found += shell.run(names, options, pixels, machine, runs, from_shell)
    found += footprint.measure(machine)
    return found + [Measurement(name, "", "", stage, *sizes[0], sizes[0][0] * sizes[0][1] / 1e6, None, None, None, 0,
                                None, None, None, options.device, options.threads, machine, "not installed")
                    for name in missing for stage in ("encode", "decode")]


def write(found: Iterable[Measurement], out: Path) -> None:
    """Write speed.csv and speed.md into a folder, and show the tables."""
    speed.write(out / SPEED, found)
    tables = speed_report.parts(read_speed(out / SPEED))
    show(tables)
    (out / PAGE).write_text(document.markdown([document.Section("Speed", tuple(tables))]), encoding="utf-8")
    say(f"wrote {out / SPEED} and {out / PAGE}")
