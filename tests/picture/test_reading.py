"""Any picture: what it becomes, and what is said of it."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

import aecodec
from aecodec.picture import reading
from helpers import ramp


@pytest.mark.parametrize(("mode", "becomes"), [
    ("1", "L"), ("L", "L"), ("LA", "LA"), ("La", "LA"), ("P", "RGB"), ("PA", "RGB"), ("RGB", "RGB"), ("RGBA", "RGBA"),
    ("RGBa", "RGBA"), ("RGBX", "RGB"), ("CMYK", "RGB"), ("YCbCr", "RGB"), ("LAB", "RGB"), ("HSV", "RGB"), ("I;16", "L"),
    ("I", "L"),
])
def test_a_mode_becomes(mode, becomes):
    image = ramp(mode)
    assert image.mode == mode
    read = reading.read(image)
    assert read.mode == becomes
    array = reading.to_array(read.pixels, read.grey, read.alpha)
    if mode in ("I;16", "I"):
        assert np.array_equal(array, np.round(np.asarray(image) / 257))
    elif mode != "LAB":  # which Pillow converts through a profile alone
        assert np.array_equal(array, np.asarray(image.convert(becomes)))


def test_lab_is_converted_through_a_profile():
    lab = Image.merge("LAB", [Image.new("L", (4, 4), value) for value in (255, 128, 128)])  # L* = 100, a* = b* = 0
    read = reading.read(lab)
    assert read.pixels.min() >= 254
    assert any("Lab" in note for note in read.notes)


def test_floating_point_is_refused():
    with pytest.raises(aecodec.UnsupportedPicture, match=r"convert it to L"):
        reading.read(Image.new("F", (3, 3)))
    with pytest.raises(aecodec.UnsupportedPicture, match=r"0..255"):
        reading.read(Image.fromarray(np.array([[0, 70000]], np.int32)))


def test_cmyk_without_a_profile_is_said_to_be_approximate():
    assert any("approximate" in note for note in reading.read(Image.new("CMYK", (2, 2))).notes)


@pytest.mark.parametrize("mode", ["P", "L", "1", "RGB"])
def test_a_transparent_colour_becomes_alpha(mode, tmp_path):
    image = ramp(mode)
    key = image.getpixel((2, 3))
    image.save(tmp_path / "key.png", transparency=key)
    read = reading.read(tmp_path / "key.png")
    transparent = np.array([[image.getpixel((x, y)) == key for x in range(image.width)] for y in range(image.height)])
    assert np.array_equal(read.alpha == 0, transparent)
    assert read.mode == {"P": "RGBA", "L": "LA", "1": "LA", "RGB": "RGBA"}[mode]


def sixteen_bit_png(samples: np.ndarray, colour_type: int, key: bytes = b"") -> bytes:
    """`uint16 [H, W, C]` as PNG, which Pillow does not write."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], 16, colour_type, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + (chunk(b"tRNS", key) if key else b"")
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


@pytest.mark.parametrize(("channels", "colour_type", "mode"),
                         [(1, 0, "L"), (2, 4, "LA"), (3, 2, "RGB"), (4, 6, "RGBA")])
def test_sixteen_bits_become_eight_with_a_note(channels, colour_type, mode):
    samples = np.random.default_rng(0).integers(0, 65536, (9, 7, channels))
    read = reading.read(io.BytesIO(sixteen_bit_png(samples, colour_type)))
    assert read.mode == mode
    assert any("16 bits" in note for note in read.notes)
    array = reading.to_array(read.pixels, read.grey, read.alpha).reshape(9, 7, channels)
    assert np.abs(array - samples / 257).max() <= 1


def test_a_transparent_colour_of_sixteen_bits():
    samples = np.array([[[0x1234, 0x5678, 0x9ABC], [0xFFFF, 0xFFFF, 0xFFFF]]])
    read = reading.read(io.BytesIO(sixteen_bit_png(samples, 2, struct.pack(">3H", 0x1234, 0x5678, 0x9ABC))))
    assert read.alpha.tolist() == [[0, 255]]
    grey = reading.read(io.BytesIO(sixteen_bit_png(samples[:, :, :1], 0, struct.pack(">H", 0x1234))))
    assert grey.alpha.tolist() == [[0, 255]]


def test_a_deep_avif_is_noted(tmp_path):
    from PIL import features

    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, "AVIF")
    data = bytearray(out.getvalue())
    assert reading.read(io.BytesIO(data)).notes == ()
    image = Image.open(io.BytesIO(data))
    data[data.index(b"av1C") + 6] |= 0x40  # only what is said of the depth: Pillow decodes what it read before
    image.fp = io.BytesIO(data)
    assert reading.read(image).notes == ("more than 8 bits reduced to 8",)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_opaque_alpha_is_dropped(mode):
    image = ramp(mode)
    image.putalpha(255)
    read = reading.read(image)
    assert read.mode == mode[:-1]
    assert read.boxes() == ()


def test_grey_stays_grey(codec):
    for image in (ramp("L"), ramp("LA"), np.zeros((5, 4), np.uint8), np.zeros((5, 4, 2), np.uint8)):
        assert codec.decode(codec.encode(image)).mode == reading.read(image).mode
        assert reading.read(image).grey


def test_frames(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    read = reading.read(tmp_path / "a.gif")
    assert read.notes == ("only frame 1 of 3 is kept",)
    assert read.pixels[0, 0].tolist() == [255, 0, 0]


def test_what_has_no_place_is_named(tmp_path):
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("Author", "me")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png", pnginfo=text, dpi=(300, 300))
    assert reading.read(tmp_path / "a.png").notes == ("not kept: text (Author), the resolution (300 dpi)",)
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg", comment="hello", dpi=(72, 72))
    assert reading.read(tmp_path / "a.jpg").notes == ("not kept: the comment",)
    Image.new("RGB", (4, 4), "red").save(tmp_path / "b.jpg", icc_profile=grey_profile())
    assert "colour profile" in reading.read(tmp_path / "b.jpg").notes[0]


def grey_profile() -> bytes:
    """Enough of an ICC profile to say that it is for grey."""
    head = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    head[16:20] = b"GRAY"
    return bytes(head)
