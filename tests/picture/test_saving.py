"""Into picture files."""

from __future__ import annotations

import io
import struct

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
            assert all(kept) or (any("EXIF, XMP: left out" in note for note in notes)
                                 and any("that of sRGB" in note for note in notes))


def linear_profile(grey: bool) -> bytes:
    """An ICC profile of sRGB's primaries, or of greys, whose curves are straight lines (ICC.1:2001-04)."""
    def fixed(*numbers: float) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * number) for number in numbers))

    line = b"curv" + bytes(8)
    tags = {b"wtpt": fixed(0.9642, 1, 0.8249)}
    if grey:
        tags[b"kTRC"] = line
    else:
        tags |= {b"rXYZ": fixed(0.43607, 0.22249, 0.01392), b"gXYZ": fixed(0.38515, 0.71687, 0.09708),
                 b"bXYZ": fixed(0.14307, 0.06061, 0.7141), b"rTRC": line, b"gTRC": line, b"bTRC": line}
    table, data, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">2I", at + len(data), len(value))
        data += value
    size = 132 + 12 * len(tags) + len(data)
    head = struct.pack(">I4sI4s4s4s12s4s", size, b"", 0x02400000, b"mntr", b"GRAY" if grey else b"RGB ", b"XYZ ",
                       bytes(12), b"acsp") + bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    return head + table + data


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("ending", [".jxl", ".bmp", ".ppm"])
def test_without_its_profile_a_picture_looks_the_same(ending, mode):
    """Of a profile without a gamma, what is written is what it means in sRGB."""
    name, image = saving.FORMATS[ending], Image.linear_gradient("L").resize((64, 48)).convert(mode)
    if name == "JXL":
        pytest.importorskip("pillow_jxl")
    saving.prepare(name)
    image.info = {"icc_profile": linear_profile(grey=mode in ("L", "LA"))}
    out = io.BytesIO()
    notes = saving.save(image, out, name, 95 if name == "JXL" else None)
    assert any("converted to sRGB" in note for note in notes)
    shown = Image.open(out).convert("RGB")
    flat = saving._on_white(image) if mode.endswith("A") and name not in saving._WITH_ALPHA else image
    share = np.asarray(flat.convert("RGB")) / 255
    expected = np.where(share <= 0.0031308, 12.92 * share, 1.055 * share ** (1 / 2.4) - 0.055) * 255  # IEC 61966-2-1
    apart = np.abs(np.asarray(shown) - expected)
    assert apart.mean() < 2 if name == "JXL" else apart.max() < 2
    assert (name in saving._WITH_ALPHA and mode.endswith("A")) == Image.open(out).mode.endswith("A")


def test_a_profile_that_is_damaged_is_left_out_and_named():
    image = ramp("RGB")
    image.info = {"icc_profile": bytes(16) + b"RGB " + bytes(108)}
    out = io.BytesIO()
    (note,) = saving.save(image, out, "PPM")
    assert "colours may differ" in note
    assert np.array_equal(np.asarray(Image.open(out)), np.asarray(image))


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
