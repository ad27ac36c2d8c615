"""Lossless files and targets on the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

import aecodec
from aecodec import api, metrics, pillow_plugin
from aecodec.jobs import loading


@pytest.fixture
def label(tmp_path):
    """A drawing of text as a PNG."""
    image = Image.new("RGB", (240, 120), "white")
    ImageDraw.Draw(image).text((20, 20), "every pixel\nof this is kept", fill="navy", font_size=24)
    image.save(tmp_path / "label.png")
    return tmp_path / "label.png"


@pytest.fixture
def photograph(photo, tmp_path):
    Image.fromarray(photo).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_text_is_lossless_and_the_line_says_so(label, aec):
    done = aec("compress", label, "--verify")
    assert done.exit_code == 0, done.stderr
    assert "lossless, as " in done.stdout
    assert "bytes would be lossy (--lossy has them)" in done.stdout
    assert "verified (every pixel)" in done.stdout
    coded = label.with_suffix(".aec")
    assert aec("decompress", coded).exit_code == 0
    assert np.array_equal(np.asarray(Image.open(f"{coded}.png")), np.asarray(Image.open(label)))
    assert "whole" in aec("test", coded).stdout


def test_info_names_the_coding(label, photograph, aec):
    aec("compress", label, photograph)
    shown = aec("info", label.with_suffix(".aec")).stdout
    assert "coding: WebP lossless\n" in shown
    assert "quality" not in shown
    assert "coding: learned\n" in aec("info", photograph.with_suffix(".aec")).stdout
    facts = json.loads(aec("info", label.with_suffix(".aec"), "--json").stdout)
    assert facts["coding"] == "WebP lossless"
    assert "model" not in facts
    table = aec("info", label.with_suffix(".aec"), photograph.with_suffix(".aec")).stdout
    assert " lossless " in table


def test_it_is_asked_for_and_switched_off(label, photograph, aec):
    assert ", lossless, " in aec("compress", photograph, "--lossless", "-v").stdout
    assert aecodec.read_header(photograph.with_suffix(".aec").read_bytes()).lossless
    told = json.loads(aec("compress", label, "--lossy", "--json").stdout)["files"][0]
    assert (told["coding"], told["quality"], told["level"]) == ("learned", 50.8, 32)
    told = json.loads(aec("compress", label, "-f", "--json", "--verify").stdout)["files"][0]
    assert (told["coding"], told["quality"], told["level"], told["verified"]) == ("WebP lossless", None, None, True)
    assert told["lossy_bytes"] > told["bytes_written"]


def test_a_batch_counts_what_became_lossless(label, photograph, aec):
    assert ", 1 of them without loss (see `aecodec info`), " in aec("compress", label, photograph).stdout
    assert "without loss" not in aec("compress", label, photograph, "-f", "--lossy").stdout


def test_no_weights_are_loaded_for_a_lossless_file(label, aec, monkeypatch):
    aec("compress", label)
    coded = label.with_suffix(".aec")

    def never(*_: object) -> None:
        pytest.fail("the weights were loaded")

    monkeypatch.setattr(loading, "load_codec", never)
    monkeypatch.setattr(api, "default_codec", never)
    for arguments in (["decompress", coded], ["test", coded], ["compare", label, coded]):
        assert aec(*arguments).exit_code == 0
    original = np.asarray(Image.open(label))
    assert np.array_equal(np.asarray(aecodec.decode(coded)), original)
    assert np.array_equal(aecodec.decode(coded, output="array"), original)
    with Image.open(coded, formats=[pillow_plugin.FORMAT]) as image:
        assert np.array_equal(np.asarray(image), original)


@pytest.mark.parametrize("other", [["-q", "50"], ["--target-size", "10k"], ["--target-ssimulacra2", "70"]])
def test_a_goal_and_lossless_exclude_each_other(label, aec, other):
    done = aec("compress", label, "--lossless", *other)
    assert done.exit_code == 2
    assert "exclude each other" in done.stderr


def test_a_ssimulacra2_is_met_with_the_smallest_file(photograph, aec, codec):
    done = aec("compress", photograph, "--target-ssimulacra2", "60", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)["files"][0]
    original = np.asarray(Image.open(photograph))
    measured = metrics.ssimulacra2(original, codec.decode(photograph.with_suffix(".aec").read_bytes(), output="array"))
    assert told["ssimulacra2"] == pytest.approx(measured, abs=1e-6)
    assert measured >= 60
    below = codec.encode(original, level=told["level"] - 1)
    assert metrics.ssimulacra2(original, codec.decode(below, output="array")) < 60


def test_a_ssimulacra2_that_cannot_be_says_what_can(photograph, aec, tmp_path):
    done = aec("compress", photograph, "--target-ssimulacra2", "99.9")
    assert done.exit_code == 1
    assert "cannot reach 99.9 (SSIMULACRA2): the best quality has " in done.stderr
    Image.new("RGB", (4, 4)).save(tmp_path / "small.png")
    done = aec("compress", tmp_path / "small.png", "--target-ssimulacra2", "60")
    assert "needs at least 8 pixels each way" in done.stderr


def test_a_single_picture_tells_the_bar_of_its_progress(label, photograph, aec, monkeypatch):
    from aecodec.command import reporting

    shares: list[float] = []
    monkeypatch.setattr(reporting.Reporter, "progress", lambda self, share: shares.append(share))
    for arguments in (("compress", photograph), ("decompress", photograph.with_suffix(".aec"))):
        done = aec(*arguments)
        assert done.exit_code == 0, done.stderr
        assert len(shares) >= 2
        assert shares == sorted(shares)
        assert shares[-1] == 1
        shares.clear()
    aec("compress", "-f", label, photograph)
    assert not shares  # two at a time: the bar counts files
