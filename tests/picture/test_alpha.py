"""Alpha planes: packed without loss, and what is refused."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aecodec.errors import CorruptFile
from aecodec.format import boxes, reference
from aecodec.format.container import Box
from aecodec.picture.alpha import find_alpha, pack_alpha, unpack_alpha


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_alpha_comes_back_exactly(alpha):
    assert np.array_equal(unpack_alpha(pack_alpha(alpha), *alpha.shape[::-1]), alpha)


def test_alpha_that_is_smooth_takes_the_filters():
    smooth = np.add.outer(np.arange(200), np.arange(300)).astype(np.uint8)
    plain = zlib.compress(np.pad(smooth, ((0, 0), (1, 0))).tobytes(), 9)
    assert len(pack_alpha(smooth)) < len(plain) / 2


def test_damaged_alpha_is_refused():
    alpha = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    data = pack_alpha(alpha)
    for broken in (data[:-20], b"", b"nonsense", data[:40] + b"\0" + data[41:]):
        with pytest.raises(CorruptFile):
            unpack_alpha(broken, 30, 20)
    with pytest.raises(CorruptFile):
        unpack_alpha(data, 30, 21)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_filters_are_undone_as_the_normative_decoder_does(data):
    """All five filters over any bytes: what Pillow makes of them is what FORMAT.md says."""
    height, width = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 12))
    rows = data.draw(hnp.arrays(np.uint8, (height, width + 1)))
    rows[:, 0] = data.draw(hnp.arrays(np.uint8, height, elements=st.integers(0, 4)))
    plane = unpack_alpha(zlib.compress(rows.tobytes()), width, height)
    assert (plane.shape, plane.dtype) == ((height, width), np.uint8)
    np.testing.assert_array_equal(plane, reference.unfiltered(rows))


def test_alpha_is_found_among_the_boxes():
    plane = np.arange(6, dtype=np.uint8).reshape(2, 3)
    found = [Box("exif", zlib.compress(b"II*")), Box(boxes.ALPHA, pack_alpha(plane))]
    np.testing.assert_array_equal(find_alpha(found, 3, 2), plane)
    assert find_alpha(found[:1], 3, 2) is None
    with pytest.raises(CorruptFile):
        find_alpha(found, 2, 3)
