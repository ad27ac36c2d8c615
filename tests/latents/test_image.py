"""Latents read from files, looked at, cut, put together and written again."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec import metrics, models
from aecodec.engine.choice import has_torch
from aecodec.format import container
from aecodec.latents.image import read_latents
from helpers import make_photo


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return make_photo(280, 392)


@pytest.fixture(scope="module")
def data(codec, pixels) -> bytes:
    return codec.encode(pixels, level=40)


@pytest.fixture(scope="module")
def latents(codec, data):
    return read_latents(data, codec)


def test_what_was_read_is_written_to_the_byte(latents, data):
    assert latents.encode() == data
    assert latents.size == (392, 280)
    assert latents.quality == aecodec.read_header(data).quality


def test_rendering_is_decoding(latents, codec, data):
    np.testing.assert_array_equal(np.asarray(latents.render()), codec.decode(data, output="array"))


def test_either_engine_writes_the_same_file_again(data):
    if not has_torch():
        pytest.skip("there is one engine")
    assert read_latents(data, aecodec.Codec(engine="onnx")).encode() == data


def test_bits_are_those_of_the_payload(latents, data):
    bits = latents.bits()
    assert bits.shape == latents.latents.y.shape[1:]
    payload = 8 * aecodec.read_header(data).payload_length
    assert abs(bits.sum() - payload) < 64 + 0.002 * payload


def test_bits_count_escapes(codec):
    """At the highest level of a picture of nothing but edges, some symbols lie outside their tables."""
    random = np.random.default_rng(0).integers(0, 2, (64, 64, 1), np.uint8) * np.full((1, 1, 3), 255, np.uint8)
    data = codec.encode(random, level=63)
    payload = 8 * aecodec.read_header(data).payload_length
    assert abs(read_latents(data, codec).bits().sum() - payload) < 64 + 0.002 * payload


def test_bits_lie_where_the_detail_is(codec):
    half = np.full((64, 128, 3), 128, np.uint8)
    half[:, 64:] = np.random.default_rng(0).integers(0, 255, (64, 64, 3))
    bits = read_latents(codec.encode(half, level=40), codec).bits()
    assert bits[:, 5:].mean() > 5 * bits[:, :3].mean()


@pytest.mark.parametrize("scale", [16, 8])
def test_thumbnails_are_near_to_the_picture(latents, codec, data, scale):
    wanted = codec.decode(data).reduce(scale)
    made = latents.thumbnail(scale)
    assert (made.size, made.mode) == (wanted.size, "RGB")
    assert metrics.psnr(np.asarray(wanted), np.asarray(made)) > 27  # a generated picture is no photo


def test_thumbnails_of_photos_are_good(codec, kodak):
    with Image.open(kodak[3]) as image:
        data = codec.encode(image.convert("RGB").crop((128, 64, 384, 320)), quality=75)
    wanted = codec.decode(data).reduce(16)
    assert metrics.psnr(np.asarray(wanted), np.asarray(read_latents(data, codec).thumbnail())) > 36


def test_other_scales_are_refused(latents):
    with pytest.raises(ValueError, match="16 or 8"):
        latents.thumbnail(4)


def test_a_crop_on_the_grid_of_64_keeps_the_hyper_latents(latents, codec):
    part = latents.crop((64, 128, 256, 280))
    np.testing.assert_array_equal(part.latents.z, latents.latents.z[:, 2:5, 1:4])
    np.testing.assert_array_equal(part.latents.y, latents.latents.y[:, 8:18, 4:16])
    decoded = codec.decode(part.encode(), output="array")
    whole = codec.decode(latents.encode(), output="array")[128:280, 64:256]
    assert decoded.shape == whole.shape
    assert metrics.psnr(whole, decoded) > 30


def test_a_crop_elsewhere_makes_them_anew(latents, codec):
    part = latents.crop((16, 32, 144, 160))
    assert part.latents.z is None
    assert codec.decode(part.encode()).size == (128, 128)


@pytest.mark.parametrize(("box", "message"), [
    ((8, 0, 64, 64), r"\(0, 0, 64, 64\) is"),
    ((0, 0, 60, 100), r"\(0, 0, 64, 112\) is"),
    ((0, 0, 400, 64), "does not lie within"),
    ((64, 64, 64, 80), "does not lie within"),
])
def test_boxes_off_the_grid_are_refused(latents, box, message):
    with pytest.raises(ValueError, match=message):
        latents.crop(box)


def test_what_is_pasted_back_changes_nothing(latents, data):
    whole = latents.paste(latents.crop((64, 64, 192, 128)), (64, 64))
    assert whole.encode() == data


def test_a_pasted_part_is_seen(latents, codec, pixels):
    changed = np.asarray(latents.paste(latents.crop((0, 0, 128, 128)), (192, 128)).render(), np.int16)
    assert metrics.psnr(changed[144:240, 208:304], pixels[16:112, 16:112]) > 24
    np.testing.assert_array_equal(changed[:64, :128], np.asarray(latents.render())[:64, :128])


def test_pasting_what_does_not_fit_is_refused(latents, codec, pixels):
    other = read_latents(codec.encode(pixels[:64, :64], level=41), codec)
    with pytest.raises(ValueError, match="level"):
        latents.paste(other)
    part = latents.crop((0, 0, 64, 64))
    with pytest.raises(ValueError, match="not on the grid"):
        latents.paste(part, (8, 0))
    with pytest.raises(ValueError, match="do not end on the grid"):
        latents.paste(part, (384, 0))
    with pytest.raises(ValueError, match="do not end on the grid"):
        latents.paste(latents.crop((0, 0, 392, 64)).crop((320, 0, 392, 64)), (0, 0))


def test_alpha_and_metadata_go_with_them(codec, full):
    codec_data = codec.encode(full, level=40)
    picture = read_latents(codec_data, codec)
    part = picture.crop((16, 0, 40, 16))
    decoded = codec.decode(part.encode())
    np.testing.assert_array_equal(np.asarray(decoded)[:, :, 3], np.asarray(full)[:16, 16:40, 3])
    assert decoded.info["icc_profile"] == full.info["icc_profile"]
    assert "gain_map" not in decoded.info
    pasted = codec.decode(picture.paste(picture.crop((0, 0, 16, 16)), (16, 0)).encode())
    wanted = np.asarray(full)[:, :, 3].copy()
    wanted[:16, 16:32] = wanted[:16, :16]
    np.testing.assert_array_equal(np.asarray(pasted)[:, :, 3], wanted)
    assert picture.thumbnail().mode == "RGBA"


def test_a_lossless_file_holds_none(codec):
    with pytest.raises(aecodec.UnsupportedPicture, match="holds no latents"):
        read_latents(codec.encode(make_photo(20, 20), lossless=True), codec)


def test_damage_is_told(data, codec):
    with pytest.raises(aecodec.CorruptFile):
        read_latents(data[:-9], codec)


def test_what_was_changed_is_a_file_that_every_reader_takes(latents):
    file = container.read_file(latents.crop((0, 64, 192, 192)).encode(), None)
    assert file.header.bundle_hash == models.load(models.find()).bundle_hash
