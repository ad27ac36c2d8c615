"""What the boxes hold."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

import aecodec
from aecodec.format import boxes, container


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_alpha_comes_back_exactly(alpha):
    assert np.array_equal(boxes.unpack_alpha(boxes.pack_alpha(alpha), *alpha.shape[::-1]), alpha)


def test_alpha_that_is_smooth_takes_the_filters():
    smooth = np.add.outer(np.arange(200), np.arange(300)).astype(np.uint8)
    plain = zlib.compress(np.pad(smooth, ((0, 0), (1, 0))).tobytes(), 9)
    assert len(boxes.pack_alpha(smooth)) < len(plain) / 2


def test_damaged_alpha_is_refused():
    alpha = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    data = boxes.pack_alpha(alpha)
    for broken in (data[:-20], b"", b"nonsense", data[:40] + b"\0" + data[41:]):
        with pytest.raises(aecodec.CorruptFile):
            boxes.unpack_alpha(broken, 30, 20)
    with pytest.raises(aecodec.CorruptFile):
        boxes.unpack_alpha(data, 30, 21)


def test_damaged_metadata_is_refused(monkeypatch):
    data = zlib.compress(b"x" * 100)
    assert boxes.unpack_metadata(container.Box("exif", data)) == b"x" * 100
    for broken in (data[:-1], data + b"\0", b"", b"nonsense"):
        with pytest.raises(aecodec.CorruptFile):
            boxes.unpack_metadata(container.Box("exif", broken))
    monkeypatch.setattr(boxes, "MAX_METADATA", 99)
    with pytest.raises(aecodec.CorruptFile):
        boxes.unpack_metadata(container.Box("exif", data))
