"""What boxes hold: metadata in zlib, and the rows of an alpha plane."""

from __future__ import annotations

import subprocess
import sys
import zlib

import numpy as np
import pytest

from aecodec.errors import CorruptFile
from aecodec.format import boxes
from aecodec.format.container import Box
from helpers import FORMAT


def test_metadata_comes_back():
    packed = boxes.pack_metadata(b"profile", None, b"<x/>")
    assert [box.kind for box in packed] == ["ICCP", "xmp_"]
    others = [Box("ALPH", b"not looked at"), Box("note", b"nor this")]
    assert boxes.metadata([*others, *packed]) == {"ICCP": b"profile", "xmp_": b"<x/>"}


def test_damaged_metadata_is_refused(monkeypatch):
    data = zlib.compress(b"x" * 100)
    assert boxes.metadata([Box("exif", data)]) == {"exif": b"x" * 100}
    for broken in (data[:-1], data + b"\0", b"", b"nonsense"):
        with pytest.raises(CorruptFile, match="box exif"):
            boxes.metadata([Box("exif", broken)])
    monkeypatch.setattr(boxes, "MAX_METADATA", 99)
    with pytest.raises(CorruptFile):
        boxes.metadata([Box("exif", data)])


def test_rows_of_alpha_are_counted():
    rows = np.arange(12, dtype=np.uint8).tobytes()
    assert boxes.alpha_rows(zlib.compress(rows), 3, 3) == rows
    for width, height in ((3, 2), (3, 4), (2, 3), (1, 1)):
        with pytest.raises(CorruptFile, match="transparency"):
            boxes.alpha_rows(zlib.compress(rows), width, height)


def test_the_limits_of_the_boxes_are_in_the_format():
    text = FORMAT.read_text()
    assert str(boxes.MAX_METADATA) in text
    assert all(f"`{kind}`" in text for kind in boxes.KNOWN)


@pytest.mark.parametrize("module", ["boxes", "constants", "container", "entropy", "reference"])
def test_the_format_needs_neither_torch_nor_pillow(module):
    check = f"import sys, aecodec.format.{module}; print(sorted({{'torch', 'PIL', 'safetensors'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
