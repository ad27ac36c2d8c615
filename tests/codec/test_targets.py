"""The search for a size or a PSNR."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import aecodec
from aecodec import metrics, search
from aecodec.format.constants import LEVELS
from aecodec.picture import reading

# -- the search, on made-up measures ------------------------------------------------------------------------------

steps = st.lists(st.floats(0, 1), min_size=LEVELS, max_size=LEVELS)


@settings(max_examples=300, deadline=None)
@given(steps, st.floats(-1, 65), st.floats(0.001, 3))
def test_it_finds_the_level_of_a_rising_measure(rises, target, per_level):
    values = np.cumsum(rises)
    seen: dict[int, float] = {}
    found = search.highest_level(lambda level: float(values[level]), target, per_level, seen)
    assert found == int(np.searchsorted(values, target, side="right")) - 1
    assert len(seen) <= search.MOST_ENCODES
    assert found == -1 or found in seen
    assert found == LEVELS - 1 or found + 1 in seen


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=LEVELS, max_size=LEVELS), st.floats(-1, 65))
def test_it_ends_well_where_the_measure_sometimes_falls(noise, target):
    values = np.arange(LEVELS) + np.array(noise)
    seen: dict[int, float] = {}
    found = search.highest_level(lambda level: float(values[level]), target, 1.0, seen)
    assert len(seen) <= search.MOST_ENCODES
    assert found == -1 or values[found] <= target
    assert found == LEVELS - 1 or values[found + 1] > target


@pytest.mark.parametrize("value", [math.inf, -math.inf, 0.0])
def test_it_bears_measures_without_a_slope(value):
    seen: dict[int, float] = {}
    assert search.highest_level(lambda level: value, 1.0, 0.05, seen) == (-1 if value > 1 else LEVELS - 1)
    assert search.highest_level(lambda level: 1.0, -math.inf, 0.05, seen) == -1


# -- on pictures --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def counted(codec):
    """The codec, and how often it has encoded."""
    class Counted:
        encodes = 0
        decode = codec.decode

        def encode_picture(self, *arguments, **options):
            self.encodes += 1
            return codec.encode_picture(*arguments, **options)

    return Counted()


@pytest.fixture(scope="module")
def crop(photo):
    return reading.read(photo[:96, :128])


@pytest.fixture(scope="module")
def ends(codec, crop):
    """The sizes of the smallest and of the largest level."""
    return [len(codec.encode_picture(crop, level)) for level in (0, LEVELS - 1)]


@pytest.mark.parametrize("share", [0.02, 0.1, 0.25, 0.4, 0.6, 0.8, 0.97])
def test_a_size_is_met_from_below_and_closely(counted, crop, ends, share):
    size = round(ends[0] * (ends[1] / ends[0]) ** share)
    before = counted.encodes
    reached = search.for_size(counted, crop, size)
    assert 0.94 * size <= len(reached.data) <= size
    assert reached.encodes == counted.encodes - before <= 8
    assert aecodec.read_header(reached.data).level == reached.level


def test_a_size_includes_what_goes_with_the_picture(codec, photo):
    image = Image.fromarray(photo[:96, :128])
    image.putalpha(Image.fromarray(photo[:96, :128, 0]))
    image.info["xmp"] = bytes(np.random.default_rng(0).integers(0, 256, 3000, dtype=np.uint8))
    read = reading.read(image)
    boxes = sum(len(box.data) + 12 for box in read.boxes())
    size = boxes + len(codec.encode(photo[:96, :128], level=30))
    reached = search.for_size(codec, read, size)
    assert 0.94 * size <= len(reached.data) <= size
    assert len(reached.data) > boxes
    stripped = search.for_size(codec, read, size, strip=True)
    assert stripped.level > reached.level
    assert len(stripped.data) <= size


def test_a_size_above_the_best_quality_gives_the_best_quality(codec, crop, ends):
    reached = search.for_size(codec, crop, 10 * ends[1])
    assert (reached.level, len(reached.data)) == (LEVELS - 1, ends[1])


@pytest.mark.parametrize("size", [1, 40])
def test_an_impossible_size_names_the_smallest_that_is_not(counted, crop, size):
    before = counted.encodes
    with pytest.raises(aecodec.AecError, match=f"as small as {size} bytes: the smallest file has ") as raised:
        search.for_size(counted, crop, size)
    assert counted.encodes - before <= 8
    smallest = int(str(raised.value).rsplit(" ", 1)[1].replace(",", ""))
    assert len(search.for_size(counted, crop, smallest).data) == smallest
    with pytest.raises(aecodec.AecError, match=str(smallest)):
        search.for_size(counted, crop, smallest - 1)


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_a_psnr_is_met_with_the_smallest_file(counted, photo, share, grey):
    pixels = photo[:96, :128, 0] if grey else photo[:96, :128]
    least, most = (metrics.psnr(pixels, counted.decode(counted.encode_picture(reading.read(pixels), level),
                                                       output="array")) for level in (0, LEVELS - 1))
    decibels = least + share * (most - least)
    before = counted.encodes
    reached = search.for_psnr(counted, reading.read(pixels), decibels)
    assert reached.encodes == counted.encodes - before <= 8
    measured = metrics.psnr(pixels, counted.decode(reached.data, output="array"))
    assert reached.psnr == pytest.approx(measured, abs=1e-6)
    assert measured >= decibels
    below = counted.encode_picture(reading.read(pixels), reached.level - 1)
    assert metrics.psnr(pixels, counted.decode(below, output="array")) < decibels


def test_an_impossible_psnr_names_the_best(counted, crop):
    before = counted.encodes
    with pytest.raises(aecodec.AecError, match=r"cannot reach 90 dB: the best quality has \d\d\.\d\d dB"):
        search.for_psnr(counted, crop, 90)
    assert counted.encodes - before <= 8
