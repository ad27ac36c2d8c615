"""Tables on search, anomalies and calibration: what they draw, render and count."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skimage")
pytest.importorskip("imagehash")

from PIL import Image

from aecodec.bench.latents import calibration, defects, distorted, plots, search
from helpers import make_photo


def test_drawn_symbols_cost_what_real_ones_do(codec, kodak):
    pixels = np.asarray(Image.open(kodak[3]).convert("RGB").reduce(3))
    rng = np.random.default_rng(0)
    for level in (21, 42):
        file = codec.coder.encode(pixels, level)
        symbols = codec.coder.read_symbols(file)
        real = calibration.bits(codec.coder.tables, symbols)
        assert real == 8 * len(file.payload)
        drawn = calibration.draw(codec.coder, symbols, rng)
        assert not np.array_equal(drawn.y, symbols.y)
        assert 0.85 < calibration.bits(codec.coder.tables, drawn) / real < 1.15


def test_all_symbols_can_be_drawn_and_rendered(codec):
    first = calibration.sample(codec.coder, (48, 80), 32, np.random.default_rng(0))
    again = calibration.sample(codec.coder, (48, 80), 32, np.random.default_rng(0))
    assert first.shape == (48, 80, 3)
    assert first.std() > 5
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("kind", defects.KINDS)
def test_a_defect_is_where_its_mask_is(kind):
    picture = make_photo(defects.TILE, defects.TILE)[..., 1]
    bad = defects.render(picture, kind, np.random.default_rng(0))
    changed = np.abs(bad.picture.astype(int) - picture)
    assert 30 < bad.mask.sum() < 3000
    assert changed[bad.mask].mean() > 20 * changed[~bad.mask].mean()


def test_ties_count_as_often_as_chance_picks_the_right_one():
    likeness = np.array([[3.0, 1, 3], [0, 2, 1], [1, 2, 1]])
    assert search._recall(likeness, np.array([0, 1, 2])) == pytest.approx((0.5 + 1 + 0) / 3)


def test_distorted_files_are_kept(codec, tmp_path, monkeypatch):
    monkeypatch.setenv("AECODEC_BENCH_CACHE", str(tmp_path / "cache"))
    for seed in range(3):
        Image.fromarray(make_photo(48, 64, seed)).save(tmp_path / f"{seed}.png")
    photos = sorted(tmp_path.glob("*.png"))
    made = distorted.coded(codec, photos, "mirror", 2)
    assert len(made) == 2
    monkeypatch.setattr(codec.coder, "encode", None)
    assert distorted.coded(codec, photos, "mirror", 2) == made


def test_figures_are_drawn(tmp_path):
    rng = np.random.default_rng(0)
    plots.copies(rng.random((3, 5, 2)), ["a", "b"], tmp_path / "copies.png")
    plots.maps([[rng.random((8, 8)) for _ in range(2)]], ["x", "y"], tmp_path / "maps.png")
    plots.pictures([make_photo(20, 30), make_photo(10, 10)], tmp_path / "pictures.png")
    for name in ("copies.png", "maps.png", "pictures.png"):
        assert np.asarray(Image.open(tmp_path / name).convert("L")).std() > 10
