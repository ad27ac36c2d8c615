"""Golden files: what was written once decodes to the same picture for as long as its model ships.

They are added to by `tools/golden`, never made again.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec import models

FOLDER = Path(__file__).parents[1] / "golden" / "v0"
FILES = sorted(FOLDER.glob("*.aec"))


def test_the_shipped_model_has_golden_files(codec):
    shipped = models.load(codec.model).bundle_hash
    ours = [path for path in FILES if aecodec.read_header(path.read_bytes()).bundle_hash == shipped]
    assert len(ours) >= 16
    assert ours == FILES, "files of a model that no longer ships; run tools/golden"
    assert len({aecodec.read_header(path.read_bytes()).level for path in ours}) >= 10
    assert {aecodec.decode(path.read_bytes()).mode for path in ours} == {"L", "LA", "RGB", "RGBA"}


@pytest.mark.parametrize(("engine", "precision"), [("onnx", "float32"), ("torch", "float32"), ("torch", "bfloat16")])
def test_golden_files_decode_to_their_pictures(engine, precision):
    """Decoding compares the symbols' CRC with the file's. Pixels may differ by rounding: in float32 by 1, in bfloat16
    by 2, and by more than 1 in one sample of ten thousand (all files together, as `tools/exactness` counts)."""
    if engine == "torch":
        pytest.importorskip("torch")
    samples = above = 0
    for path in FILES:
        decoded = codec_of(engine, precision).decode(path.read_bytes())
        with Image.open(path.with_suffix(".png")) as wanted:
            assert (decoded.mode, decoded.size) == (wanted.mode, wanted.size), path.name
            difference = np.abs(np.asarray(decoded).astype(int) - np.asarray(wanted))
        assert difference.max() <= (1 if precision == "float32" else 2), path.name
        samples += difference.size
        above += int((difference > 1).sum())
    assert above <= 1e-4 * samples


@functools.cache
def codec_of(engine: str, precision: str) -> aecodec.Codec:
    return aecodec.Codec(device="cpu", precision=precision, engine=engine)
