"""Any picture there and back: sizes, modes, levels and contents as hypothesis finds them, the same in every run."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

import aecodec

MODES = ("L", "LA", "RGB", "RGBA", "P", "1", "I;16")
CONTENTS = ("smooth", "noise", "flat", "stripes")
LOWEST_PSNR = 38  # of a smooth picture at the highest level, which has 44 dB or more; photographs have about 41

repeatable = settings(max_examples=40, deadline=None, derandomize=True, database=None)
sides = st.integers(1, 130)
seeds = st.integers(0, 2**32 - 1)


def planes(height: int, width: int, contents: str, seed: int) -> np.ndarray:
    """`uint8 [height, width, 4]`: red, green, blue and alpha."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    if contents == "noise":
        return rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
    if contents == "flat":
        return np.broadcast_to(rng.integers(0, 256, 4, dtype=np.uint8), (height, width, 4)).copy()
    if contents == "stripes":
        return np.repeat(((x + y) // rng.integers(1, 9) % 2 * 255).astype(np.uint8)[:, :, None], 4, axis=2)
    slopes = rng.uniform(-0.04, 0.04, (4, 2))
    waves = [128 + 90 * np.sin(x * across + y * down + seed % 7) for across, down in slopes]
    return np.stack(waves, axis=2).round().astype(np.uint8)


def image_of(mode: str, pixels: np.ndarray) -> Image.Image:
    """A Pillow image of a mode; palettes have a colour that is transparent if the first alpha is odd."""
    if mode == "I;16":
        return Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
    if mode == "P":
        image = Image.fromarray(pixels[:, :, :3]).convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
        if pixels[0, 0, 3] % 2:
            image.info["transparency"] = 0
        return image
    image = Image.fromarray(pixels)
    return image if mode == "RGBA" else image.convert(mode)


def shown(image: Image.Image) -> Image.Image:
    """What the picture looks like, in the mode it comes back in: 8 bits, and alpha only where something is seen."""
    if image.mode == "I;16":
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    made = image
    if image.mode == "P":
        made = image.convert("RGBA" if image.has_transparency_data else "RGB")
        grey = (np.asarray(made)[:, :, :1] == np.asarray(made)[:, :, :3]).all()
        made = made.convert("LA" if made.mode == "RGBA" else "L") if grey else made
    elif image.mode == "1":
        made = image.convert("L")
    if made.mode.endswith("A") and made.getchannel("A").getextrema() == (255, 255):
        made = made.convert(made.mode[:-1])
    return made


@repeatable
@given(st.sampled_from(MODES), sides, sides, st.integers(0, 63), st.sampled_from(CONTENTS), seeds)
@example("RGBA", 1, 1, 0, "flat", 0)
@example("RGB", 130, 130, 63, "noise", 0)
@example("LA", 1, 130, 63, "stripes", 0)
@example("P", 130, 1, 0, "noise", 1)
@example("1", 64, 65, 31, "noise", 2)
def test_size_mode_and_alpha_come_back(codec, mode, height, width, level, contents, seed):
    image = image_of(mode, planes(height, width, contents, seed))
    expected = shown(image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", aecodec.PictureWarning)  # of 16 bits
        data = codec.encode(image, level=level)
    header = aecodec.read_header(data)
    assert (header.width, header.height, header.level) == (width, height, level)
    decoded = codec.decode(data)
    assert (decoded.size, decoded.mode) == (expected.size, expected.mode)
    if expected.mode.endswith("A"):
        assert np.array_equal(np.asarray(decoded.getchannel("A")), np.asarray(expected.getchannel("A")))
    assert np.array_equal(np.asarray(codec.decode(data)), np.asarray(decoded))
    assert np.array_equal(codec.decode(data, output="array"), np.asarray(decoded))


@settings(repeatable, max_examples=15)
@given(st.sampled_from(["L", "RGB", "RGBA", "I;16"]), sides, sides, seeds)
@example("RGB", 1, 1, 0)
@example("L", 1, 130, 1)
@example("RGB", 130, 1, 2)
def test_a_smooth_picture_at_the_highest_level_comes_back_well(codec, mode, height, width, seed):
    image = image_of(mode, planes(height, width, "smooth", seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", aecodec.PictureWarning)
        decoded = codec.decode(codec.encode(image, level=63))
    error = np.asarray(decoded).astype(float) - np.asarray(shown(image))
    assert 10 * np.log10(255**2 / max(float(np.mean(error**2)), 1e-9)) > LOWEST_PSNR


@settings(repeatable, max_examples=15)
@given(sides, sides, st.integers(0, 63), st.sampled_from(CONTENTS), seeds)
def test_an_array_codes_like_its_image(codec, height, width, level, contents, seed):
    """And the same picture gives the same bytes, always."""
    pixels = planes(height, width, contents, seed)
    data = codec.encode(pixels, level=level)
    assert data == codec.encode(Image.fromarray(pixels), level=level) == codec.encode(pixels.copy(), level=level)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_tried(mode, codec):
    """A mode that hypothesis' examples leave out would not be missed."""
    image = image_of(mode, planes(33, 20, "smooth", 5))
    assert image.mode == mode
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", aecodec.PictureWarning)
        assert codec.decode(codec.encode(image, level=40)).mode == shown(image).mode
