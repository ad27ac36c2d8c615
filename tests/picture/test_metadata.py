"""Orientation, EXIF and XMP."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from aecodec.format import boxes
from aecodec.picture import metadata, reading
from helpers import jpeg, make_exif, ramp


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(order, orientation, photo, tmp_path):
    scene = photo[:20, :30]
    small = np.asarray(Image.fromarray(scene).resize((12, 8)))
    exif = make_exif(order, orientation, jpeg(small))
    data = jpeg(scene, exif=b"Exif\0\0" + exif)
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    want = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    read = reading.read(path)
    assert np.array_equal(read.pixels, want)
    kept = Image.Exif()
    kept.load(b"Exif\0\0" + read.exif)
    assert kept[0x0112] == 1
    assert kept[0x010E] == "a description"
    sides = kept.get_ifd(0x8769)
    assert (sides[0xA002], sides[0xA003]) == ((20, 30) if orientation >= 5 else (30, 20))
    thumbnail = Image.open(io.BytesIO(read.exif[read.exif.index(b"\xff\xd8\xff"):]))
    assert (thumbnail.width > thumbnail.height) == (want.shape[1] > want.shape[0])
    # A picture that went through it once is not turned by going through it again.
    image = reading.to_image(read.pixels, read.grey, read.alpha, boxes.metadata(read.boxes()))
    assert np.array_equal(reading.read(image).pixels, want)


def test_a_tiff_is_turned_once(photo, tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    Image.fromarray(photo[:20, :30]).save(tmp_path / "a.tif", exif=exif)
    read = reading.read(tmp_path / "a.tif")
    assert np.array_equal(read.pixels, np.rot90(photo[:20, :30], -1))
    kept = Image.Exif()
    kept.load(b"Exif\0\0" + read.exif)
    assert dict(kept) == {0x010F: "maker"}


@pytest.mark.parametrize("xmp", [b'<x tiff:Orientation="6"/>', b"<tiff:Orientation>6</tiff:Orientation>"])
def test_orientation_in_xmp_is_applied_once(xmp, photo):
    image = Image.fromarray(photo[:20, :30])
    image.info["xmp"] = xmp
    read = reading.read(image)
    assert np.array_equal(read.pixels, np.rot90(photo[:20, :30], -1))
    assert read.xmp == xmp.replace(b"6", b"1")
    assert read.exif is None


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([b"II*\0", b"MM\0*", b""]), st.integers(1, 8))
def test_damaged_exif_does_no_harm(tail, head, orientation):
    before = head + tail
    assert len(metadata.upright_exif(before, orientation)) == len(before)
    image = Image.new("RGB", (3, 2))
    image.info["exif"] = metadata.EXIF_PREFIX + before
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of corrupt EXIF
        assert reading.read(image).pixels.size == 18


def test_strip_keeps_what_is_needed_to_show_the_picture(codec):
    image = ramp("RGBA")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.info.update(icc_profile=profile, exif=b"Exif\0\0" + make_exif("<", 1), xmp=b"<x/>")
    assert [box.kind for box in reading.read(image).boxes()] == ["ALPH", "ICCP", "exif", "xmp_"]
    decoded = codec.decode(codec.encode(image, strip=True))
    assert set(decoded.info) == {"icc_profile"}
    assert np.array_equal(np.asarray(decoded)[:, :, 3], np.asarray(image)[:, :, 3])
    decoded = codec.decode(codec.encode(image))
    assert decoded.info == {key: image.info[key] for key in ("icc_profile", "exif", "xmp")}
