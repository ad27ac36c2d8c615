"""Any picture: what it becomes, what is kept of it, and what it comes back as."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

import aecodec
from aecodec import metrics
from aecodec.format import boxes, container
from aecodec.picture import metadata, reading, saving
from aecodec.picture.alpha import find_alpha

# -- the files that users have ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Good:
    """What a file of `shared/data/inputs` comes back as. Lengths are those of what the file itself holds."""

    mode: str
    size: tuple[int, int]
    note: str = ""  # part of what is said of it
    icc: bool = False
    exif: bool = False
    xmp: bool = False


GOOD = {
    "alpha-photo.png": Good("RGBA", (2048, 1536)),
    "animated.webp": Good("RGB", (370, 285), "only frame 1 of 10"),
    "cmyk-with-profile.jpg": Good("RGB", (500, 333), "CMYK converted to sRGB", exif=True, xmp=True),
    "display-p3.png": Good("RGB", (8, 8), icc=True),
    "exif-gps.jpg": Good("RGB", (8, 8), exif=True),
    "exif-orientation-6.jpg": Good("RGB", (600, 450), icc=True, exif=True),
    "exif-orientation-7.jpg": Good("RGB", (450, 600), icc=True, exif=True),
    "grey-alpha-16bit.png": Good("LA", (109, 96), "16 bits", icc=True, xmp=True),
    "grey.jpg": Good("RGB", (258, 222), "comment"),
    "icc-profile.tif": Good("RGB", (128, 128), icc=True),
    "one-bit.png": Good("L", (256, 10)),
    "palette.png": Good("RGB", (68, 68)),
    "rgb-16bit-transparent.png": Good("RGBA", (32, 32), "16 bits"),
    "rgb-16bit.tif": Good("L", (64, 64), "16 bits"),
    "rgba.png": Good("RGBA", (1024, 768)),
    "xmp-orientation.avif": Good("RGB", (326, 268), icc=True, xmp=True),
}
BAD = {"bomb.gif": "--limit-pixels", "corrupt-header.jpg": "complete copy", "truncated.png": "truncated"}
WITH_ALPHA = [name for name, good in GOOD.items() if good.mode.endswith("A")]


def expected(path: Path) -> Image.Image:
    """What Pillow shows of a file: upright, in sRGB if it was CMYK."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        if image.mode == "CMYK":
            profile = ImageCms.getOpenProfile(io.BytesIO(image.info["icc_profile"]))
            return ImageCms.profileToProfile(upright, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
        if image.mode == "I;16":
            return Image.fromarray(np.round(np.asarray(upright) / 257).astype(np.uint8))
        return upright


def test_every_input_is_named(shared_data):
    assert {path.name for path in (shared_data / "inputs").iterdir()} == {*GOOD, *BAD}


@pytest.mark.parametrize("name", GOOD)
def test_an_input_comes_back(name, shared_data, tmp_path, aec):
    source, good = shared_data / "inputs" / name, GOOD[name]
    coded, back = tmp_path / "coded.aec", tmp_path / "back.png"
    done = aec("compress", source, "-o", coded, "--verify")
    assert done.exit_code == 0, done.stderr
    assert good.note in done.stderr
    assert len(done.stderr.splitlines()) == bool(done.stderr)  # one line a file, at most
    assert aec("decompress", coded, "-o", back, "--quiet").exit_code == 0
    want = expected(source)
    with Image.open(back) as image, Image.open(source) as original:
        assert (image.mode, image.size) == (good.mode, good.size)
        assert image.getexif().get(metadata.ORIENTATION, 1) == 1
        assert ("icc_profile" in image.info, "exif" in image.info) == (good.icc, good.exif)
        assert ("xmp" in image.info or "XML:com.adobe.xmp" in image.info) == good.xmp
        if good.icc:
            assert image.info["icc_profile"] == original.info["icc_profile"]
        shown, pixels = (np.asarray(x.convert("RGB")) for x in (want, image))
        if shown.std() > 5:  # Upright: turned or flipped in any other way it is further from what Pillow shows.
            best = metrics.psnr(shown, pixels)
            for turn in Image.Transpose:
                turned, itself = (np.asarray(x.convert("RGB").transpose(turn)) for x in (image, want))
                # A turn that changes the picture less than coding does (8x8 pixels, nearly symmetric) does not show.
                if turned.shape == shown.shape and metrics.psnr(shown, itself) < best:
                    assert metrics.psnr(shown, turned) <= best
        white = Image.new("RGBA", image.size, "white")
        laid = [np.asarray(Image.alpha_composite(white, x.convert("RGBA"))).mean(axis=(0, 1)) for x in (want, image)]
        assert np.abs(laid[0] - laid[1]).max() < 4  # of 255: right colours


@pytest.mark.parametrize("name", WITH_ALPHA)
def test_alpha_of_an_input_is_exact(name, shared_data, codec):
    path = shared_data / "inputs" / name
    read = reading.read(path)
    file = container.AecFile(container.Header(*read.pixels.shape[1::-1], 0, 0, b"hash", 0, 0), b"", read.boxes())
    again = container.read_file(container.write_file(file), boxes.KNOWN)
    alpha = find_alpha(again.boxes, *read.pixels.shape[1::-1])
    with Image.open(path) as image:
        assert np.array_equal(alpha, np.asarray(image.convert("RGBA"))[:, :, 3])


@pytest.mark.parametrize("name", BAD)
def test_a_broken_input_gives_one_line(name, shared_data, tmp_path, aec):
    done = aec("compress", shared_data / "inputs" / name, "-o", tmp_path / "out.aec")
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1
    assert name in done.stderr
    assert BAD[name] in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["exif-gps.jpg", "cmyk-with-profile.jpg"])
def test_exif_of_an_upright_input_is_kept_to_the_byte(name, shared_data):
    with Image.open(shared_data / "inputs" / name) as image:
        assert reading.read(image).exif == image.info["exif"].removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("name", ["exif-orientation-6.jpg", "exif-orientation-7.jpg"])
def test_exif_of_a_turned_input_tells_the_new_sides(name, shared_data):
    with Image.open(shared_data / "inputs" / name) as image:
        read, before = reading.read(image), image.getexif()
    after = Image.Exif()
    after.load(b"Exif\0\0" + read.exif)
    assert dict(after) == {**before, metadata.ORIENTATION: 1}
    sides = after.get_ifd(metadata.EXIF_IFD)
    assert (sides[0xA002], sides[0xA003]) == (read.pixels.shape[1], read.pixels.shape[0])
    assert {**sides, 0xA002: 0, 0xA003: 0} == {**before.get_ifd(metadata.EXIF_IFD), 0xA002: 0, 0xA003: 0}


# -- modes --------------------------------------------------------------------------------------------------------


def ramp(mode: str, size=(24, 16)) -> Image.Image:
    """A picture of a mode with many values."""
    rng = np.random.default_rng(3)
    base = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 4), dtype=np.uint8))
    if mode == "LAB":
        return Image.merge("LAB", base.convert("RGB").split())
    if mode in ("HSV", "YCbCr", "CMYK", "1"):
        return base.convert("RGB").convert(mode)
    if mode in ("La", "RGBa"):
        return base.convert({"La": "LA", "RGBa": "RGBA"}[mode]).convert(mode)
    if mode in ("I;16", "I"):
        values = rng.integers(0, 65536, size[::-1])
        return Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.int32))
    if mode == "P":
        return base.convert("RGB").quantize(16)
    if mode == "PA":
        return base.convert("RGB").quantize(16).convert("PA")
    return base.convert(mode)


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


# -- orientation, EXIF and XMP --------------------------------------------------------------------------------------


def make_exif(order: str, orientation: int, thumbnail: bytes = b"") -> bytes:
    """EXIF with an orientation, a description stored by offset, the picture's sides, and a thumbnail."""
    def entry(tag: int, kind: int, count: int, value: int) -> bytes:
        packed = struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value)
        return struct.pack(order + "HHI", tag, kind, count) + packed

    text = b"a description\0"
    main, detail, second = 8, 8 + 2 + 3 * 12 + 4, 8 + 2 + 3 * 12 + 4 + 2 + 2 * 12 + 4
    texts = second + 2 + 3 * 12 + 4
    return b"".join([
        b"II*\0" if order == "<" else b"MM\0*", struct.pack(order + "I", main),
        struct.pack(order + "H", 3), entry(0x010E, 2, len(text), texts), entry(0x0112, 3, 1, orientation),
        entry(0x8769, 4, 1, detail), struct.pack(order + "I", second if thumbnail else 0),
        struct.pack(order + "H", 2), entry(0xA002, 4, 1, 30), entry(0xA003, 3, 1, 20), struct.pack(order + "I", 0),
        struct.pack(order + "H", 3), entry(0x0112, 3, 1, orientation), entry(0x0201, 4, 1, texts + len(text)),
        entry(0x0202, 4, 1, len(thumbnail)), struct.pack(order + "I", 0), text, thumbnail,
    ])


def jpeg(array: np.ndarray, **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, "JPEG", quality=95, **options)
    return out.getvalue()


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


# -- into picture files -------------------------------------------------------------------------------------------


def decoded_image(mode: str) -> Image.Image:
    image = ramp(mode)
    image.info = {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
                  "exif": b"Exif\0\0" + make_exif("<", 1), "xmp": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"}
    return image


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("ending", saving.FORMATS)
def test_a_format_keeps_what_it_can_and_names_the_rest(ending, mode, tmp_path):
    name, image = saving.FORMATS[ending], decoded_image(mode)
    path = tmp_path / f"out{ending}"
    with open(path, "wb") as file:
        notes = saving.save(image, file, name)
    with Image.open(path) as again:
        again.load()
        assert again.format == name
        kept_alpha = again.mode.endswith("A")
        if kept_alpha:
            assert np.array_equal(np.asarray(again.getchannel("A")), np.asarray(image.getchannel("A")))
        assert (mode.endswith("A") and not kept_alpha) == any("transparency" in note for note in notes)
        if name in ("PNG", "TIFF", "BMP", "PPM"):
            assert again.mode == (mode if kept_alpha else mode.removesuffix("A"))
        info = dict(again.info)
        described = again.getexif().get(0x010E) == "a description"
        xmp = info.get("xmp") or info.get("XML:com.adobe.xmp", "").encode()
        kept = (info.get("icc_profile") == image.info["icc_profile"], described, xmp == image.info["xmp"])
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


# -- the Python API -----------------------------------------------------------------------------------------------


def test_encode_takes_what_people_have(codec, photo, tmp_path):
    crop = photo[:40, :60]
    want = codec.encode(crop)
    image = Image.fromarray(crop)
    image.save(tmp_path / "a.png")
    with open(tmp_path / "a.png", "rb") as file:
        assert codec.encode(file) == want
    for source in (image, tmp_path / "a.png", str(tmp_path / "a.png"), io.BytesIO((tmp_path / "a.png").read_bytes())):
        assert codec.encode(source) == want
    with pytest.raises(aecodec.UnsupportedPicture, match="file object"):
        codec.encode([[0]])


def test_decode_gives_what_people_ask_for(codec, photo):
    import torch

    alpha = np.random.default_rng(0).integers(0, 256, (40, 60, 1), dtype=np.uint8)
    for pixels in (photo[:40, :60], photo[:40, :60, 0], np.dstack([photo[:40, :60], alpha]),
                   np.dstack([photo[:40, :60, 0], alpha])):
        data = codec.encode(pixels)
        array = codec.decode(data, output="array")
        assert array.shape == pixels.shape
        assert np.array_equal(array, np.asarray(codec.decode(io.BytesIO(data))))
        tensor = codec.decode(data, output="tensor")
        assert (tensor.dtype, str(tensor.device)) == (torch.uint8, codec.device)
        planes = array[:, :, None] if array.ndim == 2 else array
        assert np.array_equal(tensor.permute(1, 2, 0).numpy(), planes)
        if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
            assert np.array_equal(array[:, :, -1:], alpha)
    with pytest.raises(ValueError, match="image, array or tensor"):
        codec.decode(data, output="numpy")


def test_the_api_warns(codec):
    with pytest.warns(aecodec.PictureWarning, match="16 bits"):
        codec.encode(Image.fromarray(np.zeros((4, 4), np.uint16)))


def test_importing_the_package_imports_nothing_slow():
    import subprocess
    import sys

    code = ("import sys, aecodec; slow = {'torch', 'numpy', 'PIL', 'click', 'rich'} & set(sys.modules); "
            "assert not slow, slow; assert set(aecodec.__all__) <= set(dir(aecodec)); aecodec.Codec")
    subprocess.run([sys.executable, "-c", code], check=True)
