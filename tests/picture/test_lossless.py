"""Lossless files: every pixel comes back, damage is refused, and which pictures they are made of."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec.bench import drawings
from aecodec.bench.graphics import chart, pixel_art, scan
from aecodec.format import container, reference
from aecodec.goals import Goal, reach
from aecodec.picture import lossless, reading
from helpers import format_example, hex_bytes, make_photo, resigned


def webp_size(array: np.ndarray) -> int:
    """As Pillow writes it, with every pixel kept."""
    out = io.BytesIO()
    Image.fromarray(array).save(out, "WEBP", lossless=True, exact=True)
    return out.tell()


def gradient() -> np.ndarray:
    y, x = np.mgrid[:200, :256]
    return np.stack([x, y, (x + y) // 2], axis=2).astype(np.uint8)


def dithered() -> np.ndarray:
    return np.array(Image.fromarray(drawings.photograph(240, 160)).convert("1").convert("RGB"))


GRAPHICS = {
    **{f"{dataset}/{name}": lambda d=dataset, n=name: drawings.draw(d, n)
       for dataset, names in drawings.NAMES.items() for name in names},
    "chart": chart, "pixel-art": lambda: pixel_art(1), "pixel-art-x8": lambda: pixel_art(8), "gradient": gradient,
    "scan": scan, "dithered": dithered,
    "one-colour": lambda: np.full((300, 400, 3), 77, np.uint8), "one-pixel": lambda: np.zeros((1, 1, 3), np.uint8),
    "bilevel": lambda: np.where(drawings.draw("text", "page") > 127, 255, 0).astype(np.uint8),
}


@pytest.mark.parametrize("quality", [50, 90])
@pytest.mark.parametrize("name", GRAPHICS)
def test_graphics_take_no_more_than_the_better_of_lossless_webp_and_lossy(name, quality, codec):
    array = GRAPHICS[name]()
    data = codec.encode(array, quality)
    lossy = codec.encode(array, quality, lossless=False)
    best = min(webp_size(array), len(lossy))
    assert len(data) <= max(1.02 * best, best + 8)  # of a few bytes, the larger header is more than 2 %
    if aecodec.read_header(data).lossless:
        assert np.array_equal(codec.decode(data, output="array"), array)
    else:
        assert data == lossy


def test_text_and_charts_are_lossless_by_default_and_photographs_are_not(codec, photo):
    for array in (chart(), drawings.draw("text", "page"), pixel_art(8)):
        header = aecodec.read_header(codec.encode(array))
        assert (header.lossless, header.coding, header.quality) == (True, "WebP lossless", None)
    for array in (photo, drawings.photograph(300, 200)):
        assert not aecodec.read_header(codec.encode(array)).lossless
        assert not lossless.drawn(reading.read(array))


def test_photographs_are_not_tried(kodak):
    assert not any(lossless.drawn(reading.read(path)) for path in kodak)


@pytest.mark.parametrize("shape", [(31, 47, 3), (31, 47), (31, 47, 4), (31, 47, 2), (1, 1), (1, 300, 3)])
def test_every_pixel_comes_back(shape, codec):
    array = np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)
    array[..., -1] //= 2  # transparent pixels keep their colours
    data = codec.encode(array, lossless=True)
    assert np.array_equal(codec.decode(data, output="array"), array)
    header, image = aecodec.read_header(data), codec.decode(data)
    assert image.mode == header.mode == {2: "L", 3: "RGB"}.get(len(shape)) if shape[2:] in ((), (3,)) else True
    assert (header.level, header.bundle_hash, header.model_id) == (0, bytes(4), 1)
    assert np.array_equal(np.asarray(image), array)


def test_what_goes_with_the_picture_is_kept(full, codec):
    data = codec.encode(full, lossless=True)
    image = codec.decode(data)
    assert image.info == full.info
    assert np.array_equal(np.asarray(image), np.asarray(full))
    file = container.read_file(data, None)
    assert file.header.alpha
    assert sorted(box.kind for box in file.boxes) == ["ICCP", "exif", "gmap", "xmp_"]
    assert codec.decode(codec.encode(full, lossless=True, strip=True)).info == {"icc_profile": full.info["icc_profile"]}


def test_a_size_is_met_without_loss_where_it_can_be(codec):
    array = drawings.draw("screenshot", "window")[260:380, 290:450]
    size = len(codec.encode(array, lossless=True))
    assert aecodec.read_header(codec.encode(array, target_size=size)).lossless
    smaller = codec.encode(array, target_size=size - 1)
    assert not aecodec.read_header(smaller).lossless
    assert len(smaller) < size
    assert not aecodec.read_header(codec.encode(array, target_size=size, lossless=False)).lossless


def test_a_target_that_cannot_be_met_names_the_lossless_file(codec):
    size = len(codec.encode(chart(), lossless=True))
    with pytest.raises(aecodec.AecError, match=f"the smallest file has .*; without loss it has {size} bytes"):
        codec.encode(chart(), target_size=size - 1)
    reached = reach(codec, reading.read(chart()), Goal(target_psnr=30.0))
    assert reached.level is None
    assert len(reached.data) == size < reached.lossy_size


def test_a_level_is_always_the_network_s(codec):
    assert not aecodec.read_header(codec.encode(chart(), level=31)).lossless
    array = chart()
    assert codec.encode(array, lossless=False) == codec.encode_latents(codec.analyse(array))


def test_the_example_of_the_format(codec):
    data = b"".join(hex_bytes(line) for line in format_example("example-lossless"))
    assert codec.decode(data, output="array").tolist() == [[[255, 0, 0], [255, 0, 0]]]
    assert len(data) == 34


# -- damage and limits ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(codec):
    return codec.encode(pixel_art(1)[:20, :31], lossless=True)


def test_any_flipped_bit_is_refused(small, codec):
    for place in range(len(small)):
        for bit in range(8):
            damaged = bytearray(small)
            damaged[place] ^= 1 << bit
            with pytest.raises(aecodec.AecError):
                codec.decode(bytes(damaged))


def test_any_cut_is_refused(small, codec):
    for length in range(len(small)):
        with pytest.raises(aecodec.AecError):
            codec.decode(small[:length])


@pytest.mark.parametrize("changes", [{"width": 30}, {"height": 21}, {"symbol_crc": 1}, {"grey": True},
                                     {"alpha": True}, {"payload": b""}, {"payload": b"\x2f"}])
def test_a_header_that_contradicts_the_stream_is_damage(small, codec, changes):
    with pytest.raises(aecodec.CorruptFile):
        codec.decode(resigned(container.read_file(small), **changes))


def test_a_damaged_stream_under_right_checksums_is_damage(small, codec):
    file = container.read_file(small)
    refused = 0
    for place in range(5, len(file.payload)):
        payload = bytearray(file.payload)
        payload[place] ^= 0x55
        try:
            assert np.array_equal(codec.decode(resigned(file, payload=bytes(payload)), output="array"),
                                  codec.decode(small, output="array"))  # padding bits have no meaning
        except aecodec.CorruptFile:
            refused += 1
    assert refused > 0.9 * (len(file.payload) - 5)


def test_alpha_twice_is_damage(codec, full):
    file = container.read_file(codec.encode(full, lossless=True), None)
    with pytest.raises(aecodec.CorruptFile, match="alpha in a box"):
        codec.decode(resigned(file, boxes=(container.Box("ALPH", b"x"),)))


def test_the_limit_is_checked_before_webp_decodes(small, codec, monkeypatch):
    monkeypatch.setattr(lossless, "decode", lambda file: pytest.fail("decoded"))
    file = container.read_file(small)
    with pytest.raises(aecodec.LimitExceeded):
        codec.decode(resigned(file, width=20_000, height=20_000))


def test_what_is_not_known_needs_a_newer_reader(small):
    for place, value in ((5, 0x0A), (5, 0x04), (6, 2)):  # another flag; alpha without lossless; another coding
        changed = bytearray(small)
        changed[place] = value
        with pytest.raises(aecodec.UnsupportedVersion, match="upgrade aecodec"):
            aecodec.read_header(bytes(changed))
    for place in (8, 9):  # a level; a bundle hash
        changed = bytearray(small)
        changed[place] = 1
        with pytest.raises(aecodec.CorruptFile):
            aecodec.read_header(bytes(changed))


def test_a_header_that_cannot_be_is_not_written(small):
    header = container.read_header(small)[0]
    for changes in ({"level": 1}, {"model_id": 2}, {"bundle_hash": b"abcd"}):
        with pytest.raises(ValueError, match="a lossless file has"):
            container.write_header(dataclasses.replace(header, **changes))
    with pytest.raises(ValueError, match="alpha"):
        container.write_header(dataclasses.replace(header, lossless=False, alpha=True))


def test_too_long_a_side_says_so(codec):
    long = np.zeros((1, 16384, 3), np.uint8)
    with pytest.raises(aecodec.UnsupportedPicture, match="16383 pixels each way; compress it with a quality"):
        codec.encode(long, lossless=True)
    assert not aecodec.read_header(codec.encode(long)).lossless


def test_those_without_webp_or_latents_say_so(small, codec):
    with pytest.raises(aecodec.UnsupportedVersion, match="lossless"):
        reference.decode({}, small)
    with pytest.raises(aecodec.UnsupportedPicture, match="holds no latents"):
        codec.latents(small)


def test_noise_is_given_up_early(monkeypatch):
    efforts = []
    real = lossless._webp
    monkeypatch.setattr(lossless, "_webp", lambda picture, effort: efforts.append(effort) or real(picture, effort))
    assert lossless.encode(reading.read(make_photo(100, 100)), below=500) is None
    assert len(efforts) == 1
