"""The constants are those of FORMAT.md, and quality and level are each other's."""

from __future__ import annotations

import re

import pytest

from aecodec.format import constants
from helpers import FORMAT


def test_they_are_those_of_the_format():
    rows = re.findall(r"^\| ([A-Z_]+) \| (\d+) \|", FORMAT.read_text(), re.MULTILINE)
    assert len(rows) == 15
    for name, value in rows:
        assert getattr(constants, name) == int(value), name


def test_groups_and_order_say_the_same():
    for step in range(constants.STEPS):
        for phase, group in enumerate(constants.GROUPS[step]):
            assert constants.ORDER[(step + group) % constants.STEPS] == divmod(phase, 2)


def test_every_level_is_a_quality_and_back():
    assert [constants.level_of(constants.quality_of(level)) for level in range(64)] == list(range(64))
    assert (constants.level_of(0), constants.level_of(100)) == (0, 63)
    assert (constants.quality_of(0), constants.quality_of(63)) == (0, 100)


@pytest.mark.parametrize("quality", [-0.1, 100.1, float("nan"), float("inf")])
def test_a_quality_out_of_range_is_refused(quality):
    with pytest.raises(ValueError, match=r"outside 0\.\.100"):
        constants.level_of(quality)
