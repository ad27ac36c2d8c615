from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aecodec.bench.bdrate import (
    Curve,
    bd_rate,
    is_kodak,
    mean_curves,
    mean_of_pictures,
    published,
    quality_at,
    rate_at,
    rising,
)
from aecodec.bench.metrics import METRICS, Metric, ms_ssim_db

from .conftest import make_curve_rows, make_row

CURVE = Curve((0.1, 0.2, 0.4, 0.8, 1.6), (27.0, 30.0, 33.0, 36.0, 39.5))

# vs VTM 9.1, vs JPEG, vs WebP: the marks that are quoted for these curves, in percent; None where none is quoted
QUOTED = {
    "jpeg": (209, 0, 57),
    "webp": (79, -36, 0),
    "bmshj2018-factorized": (69, -44, -9),
    "shallow-ntc": (35, -56, -28),
    "bmshj2018-hyperprior": (31, -55, -28),
    "bpg444": (22, -59, -31),
    "mbt2018-mean": (22, -58, -33),
    "av1": (16, -62, -36),
    "mbt2018": (11, -61, -38),
    "evc-s": (7, None, None),
    "cheng2020-anchor": (4, -65, -45),
    "vtm": (0, -68, -44),
    "elic": (-7, None, None),
    "cool-chic-5": (-7, -68, -49),
    "hpcm-l": (-20, -72, -57),
}


@pytest.mark.parametrize("method", ["akima", "pchip"])
@pytest.mark.parametrize("name", QUOTED)
def test_published_curves_give_the_quoted_bd_rates(name: str, method: str) -> None:
    curves = published()
    for anchor, quoted in zip(("vtm", "jpeg", "webp"), QUOTED[name], strict=True):
        if quoted is not None:
            rate = bd_rate(curves[anchor].curves["psnr_rgb"], curves[name].curves["psnr_rgb"], method)
            assert rate == pytest.approx(quoted, abs=1), anchor


def test_published_curves_are_those_of_the_sources(shared_data: Path) -> None:
    source = json.loads((shared_data / "anchors_kodak.json").read_text())
    known = {(entry["source"], tuple(round(rate, 6) for rate in entry["bpp"]),
              tuple(round(psnr, 5) for psnr in entry["psnr_rgb"])) for entry in source.values()}
    for name, entry in published().items():
        curve = entry.curves["psnr_rgb"]
        assert (entry.source, curve.rate, curve.quality) in known, name


@settings(deadline=None)  # the first call imports the interpolation
@given(st.floats(0.2, 5), st.sampled_from(["akima", "pchip"]))
def test_a_constant_factor_of_rate_is_the_bd_rate(factor: float, method: str) -> None:
    scaled = Curve(tuple(rate * factor for rate in CURVE.rate), CURVE.quality)
    assert bd_rate(CURVE, scaled, method) == pytest.approx(100 * (factor - 1), abs=1e-6)


def test_bd_rate_does_not_depend_on_the_order_of_points() -> None:
    shuffled = Curve(tuple(CURVE.rate[n] for n in (3, 0, 4, 1, 2)), tuple(CURVE.quality[n] for n in (3, 0, 4, 1, 2)))
    other = Curve((0.1, 0.3, 0.6, 1.2), (28.0, 31.0, 34.0, 38.0))
    assert bd_rate(shuffled, other) == bd_rate(CURVE, other)


@pytest.mark.parametrize("other", [
    Curve((0.1, 0.2, 0.4, 0.8), (50.0, 51.0, 52.0, 53.0)),  # nothing shared
    Curve((0.1, 0.2, 0.4, 0.8), (37.0, 39.0, 41.0, 43.0)),  # 2.5 of 6 dB shared
    Curve((0.1, 0.2, 0.4), (28.0, 30.0, 33.0)),  # three points
    Curve((0.1, 0.2, 0.4, 0.8), (30.0, 30.0, 33.0, 36.0)),  # three that rise
])
def test_bd_rate_is_not_defined_where_curves_share_too_little(other: Curve) -> None:
    assert bd_rate(CURVE, other) is None
    assert bd_rate(other, CURVE) is None


def test_bd_rate_is_defined_when_half_of_the_shorter_curve_is_shared() -> None:
    assert bd_rate(CURVE, Curve((0.1, 0.2, 0.4, 0.8), (36.0, 38.0, 40.0, 42.0))) is not None


def test_rising_drops_points_that_cost_more_and_are_no_better() -> None:
    curve = Curve((0.4, 0.1, 0.3, 0.2, 0.5, 0.6), (33.0, 30.0, 31.0, 32.0, float("inf"), 33.0))
    assert rising(curve) == Curve((0.1, 0.2, 0.4), (30.0, 32.0, 33.0))


def test_rate_and_quality_are_read_off_the_curve() -> None:
    for rate, quality in zip(CURVE.rate, CURVE.quality, strict=True):
        assert rate_at(CURVE, quality) == pytest.approx(rate)
        assert quality_at(CURVE, rate) == pytest.approx(quality)
    assert rate_at(CURVE, 34.0) == pytest.approx(0.5, abs=0.02)
    assert rate_at(CURVE, 26.9) is None
    assert quality_at(CURVE, 1.7) is None


def test_mean_curves_average_rate_and_quality_per_setting() -> None:
    rows = [make_row(image="a", setting="1", bpp=1.0, psnr=30.0, ms_ssim=0.9),
            make_row(image="b", setting="1", bpp=2.0, psnr=34.0, ms_ssim=0.98),
            make_row(image="a", setting="2", bpp=3.0, psnr=40.0)]
    curves = mean_curves(rows, "psnr_rgb")
    assert curves["jpeg"] == Curve((1.5,), (32.0,)), "setting 2 lacks picture b"
    assert mean_curves(rows, "ms_ssim")["jpeg"].quality == pytest.approx((ms_ssim_db(0.94),))


def test_mean_curves_leave_out_settings_that_are_lossless() -> None:
    rows = [make_row(setting="1", psnr=30.0), make_row(setting="2", psnr=float("inf"))]
    assert mean_curves(rows, "psnr_rgb")["jpeg"].quality == (30.0,)
    assert mean_curves(rows[1:], "psnr_rgb") == {}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_codec_that_is_better_at_equal_rate_has_a_negative_bd_rate_in_every_metric(metric: Metric) -> None:
    """Two codecs of one quality, the second at four fifths of the rate; the direction of the metric must not matter."""
    worst, best = {"ms_ssim": (0.9, 0.99), "butteraugli": (5.0, 0.5)}.get(metric.name, (3.0, 9.0))
    rows = [make_row(codec, setting=str(level), bpp=factor * 0.1 * 2 ** level, ms_ssim=None)
            for codec, factor in (("jpeg", 1.0), ("webp", 0.8)) for level in range(6)]
    rows = [replace(row, metrics={metric.name: worst + (best - worst) * int(row.setting) / 5}) for row in rows]
    curves = mean_curves(rows, metric.name)
    assert list(curves["jpeg"].quality) == sorted(curves["jpeg"].quality)
    assert bd_rate(curves["jpeg"], curves["webp"]) == pytest.approx(-20)
    assert bd_rate(curves["webp"], curves["jpeg"]) == pytest.approx(25)


def test_mean_of_pictures_counts_those_on_which_it_is_defined() -> None:
    tenth = Curve(tuple(0.9 * rate for rate in CURVE.rate), CURVE.quality)
    half = Curve(tuple(0.5 * rate for rate in CURVE.rate), CURVE.quality)
    short = Curve((0.1,), (30.0,))
    mean, count = mean_of_pictures({"a": CURVE, "b": CURVE, "c": CURVE}, {"a": tenth, "b": half, "c": short})
    assert (mean, count) == (pytest.approx(-30), 2)
    assert mean_of_pictures({"a": CURVE}, {"b": CURVE}) == (None, 0)


def test_published_means_are_only_laid_beside_all_of_kodak() -> None:
    names = tuple(f"kodim{n:02d}" for n in range(1, 25))
    assert is_kodak(make_curve_rows("jpeg", 1, names))
    assert not is_kodak(make_curve_rows("jpeg", 1, names[:-1]))
    assert not is_kodak(make_curve_rows("jpeg", 1, names, width=384))
