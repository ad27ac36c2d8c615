"""The seams: picture -> latents -> symbols -> file, and back, each half by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import aecodec
from aecodec import coder
from aecodec.format.container import read_file


@pytest.mark.parametrize("level", [0, 31, 63])
def test_decode_is_render_of_latents(codec, photo, level):
    data = codec.encode(photo, level=level)
    latents = codec.latents(data)
    assert (latents.level, latents.width, latents.height) == (level, photo.shape[1], photo.shape[0])
    assert latents.y.shape == (codec.model.config["latents"], 13, 19)
    assert latents.y.dtype == np.float32
    assert latents.z.shape == (codec.model.config["hyper"], 4, 5)
    assert codec.render(latents).tobytes() == codec.decode(data).tobytes()


def test_rendering_leaves_the_latents_alone(codec, photo):
    latents = codec.latents(codec.encode(photo, level=40))
    before = latents.y.copy()
    first, second = codec.render(latents), codec.render(latents)
    assert np.array_equal(latents.y, before)
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("size", [(1, 1), (5, 70), (200, 300)])
def test_encode_is_analyse_and_encode_latents(codec, photo, size):
    pixels = photo[:size[0], :size[1]]
    latents = codec.analyse(pixels, level=27)
    before = latents.y.copy()
    assert latents.z is None
    assert codec.encode_latents(latents) == codec.encode(pixels, level=27)
    assert np.array_equal(latents.y, before)


def test_what_goes_with_a_picture_goes_with_its_latents(codec, full):
    data = codec.encode(full)
    rendered, decoded = codec.render(codec.latents(data)), codec.decode(data)
    assert (rendered.mode, rendered.info) == (decoded.mode, decoded.info)
    assert rendered.tobytes() == decoded.tobytes()
    assert codec.encode_latents(codec.analyse(full)) == data


def test_the_symbols_of_a_file_and_their_tables(codec, photo):
    file = read_file(codec.encode(photo, level=35))
    symbols = codec.coder.read_symbols(file)
    assert coder.symbol_crc(symbols.z, symbols.y) == file.header.symbol_crc
    assert symbols.z.shape == symbols.z_tables.shape
    assert symbols.y.shape == symbols.y_tables.shape
    assert not symbols.y[symbols.y_tables == 0].any()


def test_latents_of_other_weights_are_refused(codec, photo):
    file = read_file(codec.encode(photo[:16, :16]))
    with pytest.raises(aecodec.UnknownModel):
        codec.coder.latents(replace(file, header=replace(file.header, bundle_hash=b"none")))


def test_a_level_that_does_not_exist_is_refused(codec, photo):
    for level in (-1, 64):
        with pytest.raises(ValueError, match=r"outside 0\.\.63"):
            codec.coder.analyse(photo[:16, :16], level)
