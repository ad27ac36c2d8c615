"""What one picture costs from a shell: the command starts, loads what it needs, does its work and ends."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from aecodec.engine.choice import has_torch

from . import launcher
from .codecs import COMPRESSAI_PREFIX, OURS_PREFIX, Options, is_ours, open_codec
from .codecs.classic import PillowCodec
from .speed import Measurement, enlarged

SIZE = (768, 512)
# What has to be run before Pillow knows a format.
_PLUG_INS = {"JXL": "import pillow_jxl", "HEIF": "import pillow_heif; pillow_heif.register_heif_opener()"}

Commands = dict[str, list[str]]  # by what they do


def run(names: Iterable[str], options: Options, pixels: np.ndarray, machine: str, runs: int,
        on_done: Callable[[str, list[Measurement]], None] = lambda *_: None) -> list[Measurement]:
    """Measure one picture of 768x512: with the command on each engine, and with Pillow in the other formats.

    Args:
        pixels: a picture whose mirrored tiles make up the size, `uint8 [H, W, 3]`.
    """
    from PIL import Image

    found: list[Measurement] = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "picture.png")
        Image.fromarray(enlarged(pixels, *SIZE)).save(source)
        for name in names:
            for shown, commands in _ways(name, options, source):
                rows = [_measure(stage, shown, command, machine, runs) for stage, command in commands.items()]
                found += rows
                on_done(shown, rows)
    return found


def count(names: Iterable[str]) -> int:
    """How often `run` tells of what is done."""
    engines = 2 if has_torch() else 1
    return sum(engines if is_ours(name) else 1 for name in names if not name.startswith(COMPRESSAI_PREFIX))


def _ways(name: str, options: Options, source: Path) -> list[tuple[str, Commands]]:
    """The ways in which a codec is run from a shell, and what they are called in the rows; none for CompressAI's."""
    if is_ours(name):
        engines = ("onnx", "torch") if has_torch() else ("onnx",)
        return [(f"{name} on {engine}", _ours(name, engine, options, source)) for engine in engines]
    codec = open_codec(name, options)
    return [(name, _with_pillow(codec, source))] if isinstance(codec, PillowCodec) else []


def _ours(name: str, engine: str, options: Options, source: Path) -> Commands:
    coded, back = source.with_suffix(".aec"), source.with_suffix(".ppm")
    model = name.removeprefix(OURS_PREFIX)
    how = ["--force", "--quiet", "--engine", engine, "--device", "cpu", "--model", options.models.get(model, model)]
    command = [sys.executable, "-m", "aecodec"]
    return {"compress": [*command, "compress", str(source), "-o", str(coded), "--lossy", *how],
            "decompress": [*command, "decompress", str(coded), "-o", str(back), *how],
            "info": [*command, "info", str(coded)]}


def _with_pillow(codec: PillowCodec, source: Path) -> Commands:
    coded, back = source.with_suffix(f".{codec.name}"), source.with_suffix(".ppm")
    script = f"{_PLUG_INS.get(codec.format, 'pass')}\nimport sys\nfrom PIL import Image\nImage.open(sys.argv[1]).save("
    written = f"sys.argv[2], {codec.format!r}, **{codec.save(codec.speed_setting)!r})"
    return {"compress": [sys.executable, "-c", script + written, str(source), str(coded)],
            "decompress": [sys.executable, "-c", f"{script}sys.argv[2])", str(coded), str(back)]}


def _measure(stage: str, shown: str, command: list[str], machine: str, runs: int) -> Measurement:
    done = subprocess.run([sys.executable, "-S", launcher.__file__, str(runs), *command], check=True,
                          capture_output=True, text=True)
    told = json.loads(done.stdout)
    note = f"failed (exit status {told['status']})" if told["status"] else ""
    low, median, high = (float(q) for q in np.quantile(told["seconds"], (0.2, 0.5, 0.8)))
    width, height = SIZE
    return Measurement(
        shown, "", "", f"shell:{stage}", width, height, width * height / 1e6, None if note else median,
        None if note else low, None if note else high, 0 if note else runs, None,
        max(told["peak_mb"], default=None), None, "cpu", 0, machine, note)
