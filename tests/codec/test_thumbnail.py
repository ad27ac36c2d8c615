"""Small pictures of large files: without the synthesis, and as near to the picture as they ought to be."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from aecodec import api, metrics, pillow_plugin, thumbnail
from aecodec.format.opening import read_file
from helpers import make_photo


@pytest.fixture(autouse=True)
def _loaded_once(codec, monkeypatch):
    monkeypatch.setattr(api, "default_codec", lambda: codec)
    monkeypatch.setattr(pillow_plugin, "default_codec", lambda: codec)


@pytest.fixture(scope="module")
def photo_of_many() -> np.ndarray:
    return np.asarray(Image.fromarray(make_photo(200, 260)).resize((531, 403), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def data(codec, photo_of_many) -> bytes:
    return codec.encode(photo_of_many, 70)


@pytest.fixture
def no_synthesis(codec, monkeypatch):
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("the picture is decoded in full")

    monkeypatch.setattr(codec.coder.engine, "synthesise", refused)


@pytest.mark.parametrize("fit", [66, 40, 1])
@pytest.mark.usefixtures("no_synthesis")
def test_a_small_picture_takes_no_synthesis(codec, data, photo_of_many, fit):
    made = thumbnail.of_file(codec, read_file(data, None), fit)
    wanted = Image.fromarray(photo_of_many)
    wanted.thumbnail((fit, fit))
    assert made.size == wanted.size
    assert metrics.psnr(np.asarray(wanted), np.asarray(made)) > 28


def test_a_larger_one_is_decoded(codec, data):
    made = thumbnail.of_file(codec, read_file(data, None), 67)
    wanted = codec.decode(data)
    wanted.thumbnail((67, 67))
    np.testing.assert_array_equal(np.asarray(made), np.asarray(wanted))
    assert thumbnail.of_file(codec, read_file(data, None), 1000).size == (531, 403)


@pytest.mark.parametrize("size", [(531, 403), (403, 531), (640, 640), (1000, 3), (3, 1000), (17, 16)])
@pytest.mark.parametrize("fit", [1, 7, 128])
def test_sizes_are_pillows(size, fit):
    image = Image.new("L", size)
    image.thumbnail((fit, fit))
    assert thumbnail.fitting(*size, fit) == image.size


def test_strips_make_no_difference(codec, data):
    latents = codec.latents(data).y
    head = thumbnail.ThumbnailHead(codec.coder.extras, 44)
    whole = np.concatenate(list(head([latents])))
    parts = np.concatenate(list(head([latents[:, :8], latents[:, 8:9], latents[:, 9:]])))
    np.testing.assert_array_equal(whole, parts)


def test_alpha_and_metadata_are_there(codec, full):
    large = full.resize((256, 160))
    large.info = full.info
    data = codec.encode(large, level=40)
    made = thumbnail.of_file(codec, read_file(data, None), 32)
    assert (made.mode, made.size) == ("RGBA", (32, 20))
    assert made.info["icc_profile"] == full.info["icc_profile"]
    wanted = large.getchannel("A").reduce(8)
    assert np.abs(np.asarray(made.getchannel("A"), np.int16) - np.asarray(wanted)).max() <= 1


def test_a_lossless_file_is_scaled(codec, photo_of_many):
    data = codec.encode(photo_of_many[:128, :128], lossless=True)
    made = thumbnail.of_file(codec, read_file(data, None), 8)
    wanted = Image.fromarray(photo_of_many[:128, :128])
    wanted.thumbnail((8, 8))
    np.testing.assert_array_equal(np.asarray(made), np.asarray(wanted))


def test_a_model_without_a_head_decodes_in_full(codec, data, monkeypatch):
    monkeypatch.setattr(codec.coder, "extras", {})
    made = thumbnail.of_file(codec, read_file(data, None), 40)
    wanted = codec.decode(data)
    wanted.thumbnail((40, 40))
    np.testing.assert_array_equal(np.asarray(made), np.asarray(wanted))


@pytest.mark.usefixtures("no_synthesis")
def test_pillows_thumbnail_takes_no_synthesis(data, photo_of_many):
    image = Image.open(io.BytesIO(data))
    image.thumbnail((20, 20))  # it asks for twice as much
    wanted = Image.fromarray(photo_of_many)
    wanted.thumbnail((20, 20))
    assert image.size == wanted.size
    assert metrics.psnr(np.asarray(wanted), np.asarray(image)) > 28


def test_draft_gives_an_eighth_or_all(data, codec):
    image = Image.open(io.BytesIO(data))
    assert image.draft(None, (67, 50)) is None
    assert image.size == (531, 403)
    mode, box = image.draft("RGB", (60, 50))
    assert (mode, box) == ("RGB", (0, 0, 531 / 8, 403 / 8))
    assert image.size == (67, 51)
    assert image.draft(None, (8, 8)) is None  # once
    assert np.asarray(image).shape == (51, 67, 3)


def test_draft_without_a_head_is_scaled(data, codec, monkeypatch):
    monkeypatch.setattr(codec.coder, "extras", {})
    image = Image.open(io.BytesIO(data))
    image.draft(None, (60, 50))
    np.testing.assert_array_equal(np.asarray(image), np.asarray(codec.decode(data).reduce(8)))


@pytest.mark.usefixtures("no_synthesis")
def test_the_command_uses_it(aec, data, tmp_path):
    (tmp_path / "a.aec").write_bytes(data)
    done = aec("decompress", tmp_path / "a.aec", "--fit", 60)
    assert done.exit_code == 0, done.output
    assert Image.open(tmp_path / "a.aec.png").size == (60, 46)
