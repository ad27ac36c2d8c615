"""Into picture files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from aecodec.picture import saving
from helpers import make_exif, ramp


def decoded_image(mode: str) -> Image.Image:
    image = ramp(mode)
    image.info = {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
                  "exif": b"Exif\0\0" + make_exif("<", 1), "xmp": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"}
    return image


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("ending", saving.FORMATS)
def test_a_format_keeps_what_it_can_and_names_the_rest(ending, mode, tmp_path):
    name, image = saving.FORMATS[ending], decoded_image(mode)
    if name == "JXL":
        pytest.importorskip("pillow_jxl")
    saving.prepare(name)
    path = tmp_path / f"out{ending}"
    with open(path, "wb") as file:
        notes = saving.save(image, file, name)
    with Image.open(path) as again:
        again.load()
        assert again.format == name
        kept_alpha = again.mode.endswith("A")
        if kept_alpha and name != "AVIF":  # whose alpha is lossy
            assert np.array_equal(np.asarray(again.getchannel("A")), np.asarray(image.getchannel("A")))
        assert (mode.endswith("A") and not kept_alpha) == any("transparency" in note for note in notes)
        if name in ("PNG", "TIFF", "BMP", "PPM"):
            assert again.mode == (mode if kept_alpha else mode.removesuffix("A"))
        info = dict(again.info)
        described = again.getexif().get(0x010E) == "a description"
        xmp = info.get("xmp") or info.get("XML:com.adobe.xmp", "").encode()
        kept = (info.get("icc_profile") == image.info["icc_profile"], described, xmp == image.info["xmp"])
        if name == "JXL":  # the plug-in reads no XMP, but has written it
            assert (kept[:2], image.info["xmp"] in path.read_bytes()) == ((False, True), True)
            assert any("colour profile" in note for note in notes)
        else:
            assert kept == ((False, False, False) if name in ("BMP", "PPM") else (True, True, True))
            assert all(kept) or any("colour profile, EXIF, XMP" in note for note in notes)


def test_a_jpeg_takes_no_more_than_it_can(tmp_path):
    image = Image.new("RGB", (8, 8))
    image.info = {"exif": b"Exif\0\0" + bytes(70000), "xmp": bytes(70000)}
    notes = saving.save(image, io.BytesIO(), "JPEG")
    assert len(notes) == 2
    assert all("too long" in note for note in notes)


def test_transparent_pixels_are_laid_on_white():
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    out = io.BytesIO()
    saving.save(image, out, "PPM")
    assert Image.open(out).getpixel((0, 0)) == (255, 255, 255)


def test_the_sides_that_exif_tells_do_not_spoil_a_tiff(tmp_path):
    exif = Image.Exif()
    exif[256], exif[257], exif[258], exif[271] = 4000, 3000, (24, 24, 24), "maker"
    image = Image.new("RGB", (9, 7), "red")
    image.info["exif"] = exif.tobytes()
    with open(tmp_path / "a.tif", "wb") as file:
        assert saving.save(image, file, "TIFF") == []
    with Image.open(tmp_path / "a.tif") as again:
        assert (again.size, again.getexif()[271], again.getpixel((8, 6))) == ((9, 7), "maker", (255, 0, 0))
