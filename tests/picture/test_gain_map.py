"""HDR gain maps: found in files as phones write them, kept in a box, written back, and never claimed in vain."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, MpoImagePlugin

from aecodec.format import boxes, container
from aecodec.picture import gain_map, reading, saving
from helpers import HDRGM, gain_map_photo, jpeg, make_exif


def mpf_of(data: bytes) -> list[tuple[int, int]]:
    """Offset and size of the pictures that a file's MPF segment lists, by Pillow's reader."""
    with Image.open(io.BytesIO(data)) as image:
        base, found = image.info["mpoffset"], image._getmp()[0xB002]
    return [(entry["DataOffset"] + (base if n else 0), entry["Size"]) for n, entry in enumerate(found)]


@pytest.mark.parametrize("iso", [True, False])
def test_there_and_back(codec, photo, iso):
    data, hdr = gain_map_photo(photo[:64, :96], iso=iso)
    assert mpf_of(data)[1] == (len(data) - len(hdr), len(hdr))  # the photo is as it should be
    read = reading.read(io.BytesIO(data))
    assert (read.gain_map, read.notes) == (hdr, ())
    assert HDRGM not in read.xmp
    assert b"dc:format" in read.xmp
    coded = codec.encode_picture(read, 30)
    assert [box.kind for box in container.read_file(coded, boxes.KNOWN).boxes] == ["xmp_", "gmap"]
    image = codec.decode(coded)
    assert image.info["gain_map"] == hdr
    out = io.BytesIO()
    assert saving.save(image, out, "JPEG") == []
    written = out.getvalue()
    (_, size), (offset, length) = mpf_of(written)
    assert written[offset:offset + length] == hdr
    assert (size, offset + length) == (offset, len(written))
    with Image.open(io.BytesIO(written)) as again:
        assert again.size == (96, 64)
        assert b"hdrgm:Version" in again.info["xmp"]
        assert b'Item:Length="%d"' % len(hdr) in again.info["xmp"]
        assert b"dc:format" in again.info["xmp"]
        assert any(body.startswith(gain_map.ISO) for _, body in again.applist) == iso
    second = reading.read(io.BytesIO(written))
    assert (second.gain_map, second.xmp) == (hdr, read.xmp)


@pytest.mark.parametrize("name", ["PNG", "WEBP", "TIFF", "BMP", "PPM", "AVIF"])
def test_other_formats_say_that_it_is_lost(codec, photo, name):
    data, _ = gain_map_photo(photo[:64, :96])
    image = codec.decode(codec.encode_picture(reading.read(io.BytesIO(data)), 30))
    out = io.BytesIO()
    assert any("HDR gain map" in note for note in saving.save(image, out, name))
    assert HDRGM not in out.getvalue()


def test_strip_leaves_it_out_and_claims_nothing(codec, photo):
    data, _ = gain_map_photo(photo[:64, :96])
    image = codec.decode(codec.encode_picture(reading.read(io.BytesIO(data)), 30, strip=True))
    assert image.info == {}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_with_the_picture(photo, orientation):
    scene = photo[:64, :96]
    data, hdr = gain_map_photo(scene, b"Exif\0\0" + make_exif("<", orientation))
    read = reading.read(io.BytesIO(data))
    assert read.gain_map is not None
    bright = Image.open(io.BytesIO(read.gain_map))
    assert bright.size == ((48, 32) if orientation < 5 else (32, 48))
    want = Image.fromarray(read.pixels).convert("L").resize(bright.size)
    assert np.abs(np.asarray(bright, np.int16) - np.asarray(want)).mean() < 4
    assert (read.gain_map == hdr) == (orientation == 1)
    assert gain_map.find(data) == hdr
    for said in (HDRGM + b'" hdrgm:Version="1.0" hdrgm:GainMapMin', gain_map.ISO + bytes(4) + b"the parameters"):
        assert said in read.gain_map


def test_without_an_index_it_is_found_behind_the_picture(photo):
    data, hdr = gain_map_photo(photo[:64, :96])
    at = data.index(b"MPF\0")
    length = int.from_bytes(data[at - 2:at], "big")
    assert reading.read(io.BytesIO(data[:at - 4] + data[at - 2 + length:])).gain_map == hdr


def test_a_claim_without_a_map_is_removed_and_said(photo):
    data, hdr = gain_map_photo(photo[:64, :96])
    read = reading.read(io.BytesIO(data[:-len(hdr)]))
    assert read.gain_map is None
    assert HDRGM not in read.xmp
    assert read.notes == ("not kept: the HDR gain map",)


def test_a_second_picture_that_is_no_gain_map_is_only_a_frame(photo):
    out = io.BytesIO()
    first = Image.fromarray(photo[:64, :96])
    first.save(out, "MPO", save_all=True, append_images=[first])
    assert isinstance(Image.open(io.BytesIO(out.getvalue())), MpoImagePlugin.MpoImageFile)
    read = reading.read(io.BytesIO(out.getvalue()))
    assert (read.gain_map, read.notes) == (None, ("only frame 1 of 2 is kept",))


def test_the_tone_map_of_an_avif_is_named(photo):
    from PIL import features

    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    out = io.BytesIO()
    exif = Image.Exif()
    exif[271] = "maker"
    Image.fromarray(photo[:64, :96]).save(out, "AVIF", exif=exif)
    assert reading.read(io.BytesIO(out.getvalue())).notes == ()
    image = Image.open(io.BytesIO(out.getvalue()))
    at = out.getvalue().index(b"Exif", out.getvalue().index(b"infe"))
    image.fp = io.BytesIO(out.getvalue()[:at] + b"tmap" + out.getvalue()[at + 4:])  # only what is said of the item
    assert reading.read(image).notes == ("not kept: the HDR gain map",)


@pytest.mark.parametrize("xmp", [b"", b"<x/>", b"<rdf:Description", b"\xff\xfe nonsense", b"<hdrgm:Version>"])
def test_xmp_without_a_claim_is_left_as_it_is(xmp):
    assert gain_map.unclaimed(xmp) == xmp


def test_xmp_that_holds_only_the_claim_goes(photo):
    _, hdr = gain_map_photo(photo[:8, :8])
    assert gain_map.unclaimed(gain_map.claim(None, hdr)) is None


def test_damaged_files_do_no_harm(photo):
    """Bytes changed and files cut: a picture, or an error that Pillow gives, never another one."""
    rng = np.random.default_rng(0)
    data, _ = gain_map_photo(photo[:64, :96])
    for _ in range(300):
        broken = bytearray(data)
        for place in rng.integers(0, 1500, 3):
            broken[place] ^= int(rng.integers(1, 256))
        gain_map.find(bytes(broken))
        gain_map.find(bytes(broken[:int(rng.integers(len(data)))]))
    for orientation in (1, 6):
        assert gain_map.turned(jpeg(photo[:8, :8])[:100], orientation) is None or orientation == 1


def test_a_list_that_points_anywhere_does_no_harm():
    mpf = b"MPF\0II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHII", 0xB002, 7, 0xFFFFFFF0, 0xFFFFFFF0)
    assert gain_map.find(b"\xff\xd8\xff\xe2" + struct.pack(">H", len(mpf) + 2) + mpf + b"\xff\xda\0\2\xff\xd9") is None
