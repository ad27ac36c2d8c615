"""The simulation of very large jobs: it agrees with arithmetic where that can tell."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from aecodec.bench.scale import GROUP, RESULTS, Case, simulate

EVEN = Case(4, megapixels=1.0, spread=0.0, seconds_per_megapixel=1.0, seconds_each=0.0, head=0.0, get=0.0, put=0.0)


def test_workers_that_only_code_are_as_fast_as_they_code():
    result = simulate(EVEN, 16_000)
    assert result["pictures_a_second"] == pytest.approx(4, rel=0.02)
    assert result["coding_share"] == pytest.approx(1, rel=0.02)


def test_the_driver_and_the_listing_are_limits():
    many = replace(EVEN, workers=1000)
    assert simulate(replace(many, groups_a_second=10.0))["pictures_a_second"] == pytest.approx(10 * GROUP, rel=0.02)
    assert simulate(replace(many, listers=1, page=10.0))["pictures_a_second"] == pytest.approx(100, rel=0.02)


def test_reading_ahead_hides_what_is_shorter_than_coding():
    slow, hidden = (simulate(replace(EVEN, head=head), 16_000)["pictures_a_second"] for head in (2.0, 0.9))
    assert slow == pytest.approx(4 / 2 * GROUP / (GROUP + 1), rel=0.03)
    assert hidden == pytest.approx(4 / (1 + 0.9 / GROUP), rel=0.03)


def test_lost_workers_cost_their_restart():
    whole, lost = (simulate(replace(EVEN, kills_an_hour=kills, restart=60.0), 64_000)["pictures_a_second"]
                   for kills in (0.0, 10.0))
    assert lost == pytest.approx(whole / (1 + 10 / 3600 * 60), rel=0.05)


def test_the_tables_come_from_what_was_measured():
    done = subprocess.run([sys.executable, "-m", "aecodec.bench.scale", "simulate"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    document = RESULTS.parents[1].joinpath("scale.md").read_text()
    for line in done.stdout.split("\n\n")[0].splitlines():
        assert line in document
