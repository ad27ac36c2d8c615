"""Files that are no pictures of pixels, or need a plug-in: told from each other, with what to do."""

from __future__ import annotations

import io
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec.jobs import sources
from aecodec.picture import kinds, reading

TIFF = b"II*\0\x08\0\0\0"


@pytest.mark.parametrize(("name", "data", "words"), [
    ("a.png", b"", "empty"), ("a", b"", "empty"), ("a.dng", TIFF, "darktable"),
    ("a.NEF", b"MM\0*\0\0\0\x08", "RawTherapee"),
    ("a.jpg", b"FUJIFILMCCD-RAW 0201", "raw file"), ("a.tif", b"II*\0\x10\0\0\0CR\x02\0", "raw file"),
    ("a.cr3", b"\0\0\0\x18ftypcrx \0\0\0\1", "raw file"), ("a.x", b"%PDF-1.7", "pdftoppm"),
    ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "rsvg-convert"),
    ("a", b"<?xml version='1.0'?>\n<!-- made by hand -->\n<svg/>", "SVG"),
    ("a.mp4", b"\0\0\0\x18ftypisom\0\0\0\1", "ffmpeg"), ("a.mov", b"\0\0\0\x14ftypqt  \0\0\0\0", "video"),
    ("a.mkv", b"\x1aE\xdf\xa3 matroska", "video"), ("a.avi", b"RIFF\0\0\0\0AVI LIST", "video"),
])
def test_what_is_no_picture_says_what_to_do(tmp_path, name, data, words):
    with pytest.raises(aecodec.AecError, match=words) as raised:
        sources.read_picture(tmp_path / name, data, None)
    assert str(raised.value).startswith(str(tmp_path / name))
    (tmp_path / name).write_bytes(data)
    assert not sources.readable_picture(tmp_path / name)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_a_picture_is_read_whatever_its_name_says(name, photo, tmp_path):
    out = io.BytesIO()
    Image.fromarray(photo[:8, :8]).save(out, name)
    for ending in (".dng", ".heic", ".txt"):
        assert sources.read_picture(tmp_path / f"a{ending}", out.getvalue(), None).pixels.shape == (8, 8, 3)


def test_a_dng_is_not_taken_for_its_preview(tmp_path):
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    tags = ImageFileDirectory_v2()
    tags[50706] = bytes((1, 4, 0, 0))
    tags.tagtype[50706] = 1
    Image.new("RGB", (8, 8)).save(tmp_path / "a.tif", tiffinfo=tags)
    with pytest.raises(aecodec.UnsupportedPicture, match="raw file"):
        reading.read(tmp_path / "a.tif")


READ = """
import sys
from aecodec.jobs import sources
from aecodec.picture import reading
from pathlib import Path
assert sources.not_a_picture(Path(sys.argv[1])) is None
assert not {"pillow_heif", "pillow_jxl"} & set(sys.modules)
assert sources.readable_picture(Path(sys.argv[1]))
sys.stdout.buffer.write(reading.read(sys.argv[1]).pixels.tobytes())
"""


@pytest.mark.parametrize(("plug_in", "name"), [(kinds.HEIF, "HEIF"), (kinds.JXL, "JXL")])
def test_plug_ins_are_registered_when_they_are_needed(plug_in, name, photo, tmp_path):
    """In a process of its own, where nothing has registered them before."""
    pytest.importorskip(plug_in.module)
    kinds.register(plug_in)
    path = tmp_path / f"a{plug_in.endings[0]}"
    Image.fromarray(photo[:64, :96]).save(path, name, quality=90)
    assert kinds.plug_in_for(path.read_bytes()) is plug_in
    done = subprocess.run([sys.executable, "-c", READ, str(path)], check=True, stdout=subprocess.PIPE)
    pixels = np.frombuffer(done.stdout, np.uint8).reshape(64, 96, 3)
    assert np.abs(pixels.astype(int) - photo[:64, :96]).mean() < 10


@pytest.mark.parametrize(("head", "package"), [(b"\xff\x0a\xfa", "pillow-jxl-plugin"),
                                               (b"\0\0\0\x18ftypheic\0\0\0\0", "pillow-heif")])
def test_a_plug_in_that_is_not_there_is_named(head, package, monkeypatch):
    for plug_in in kinds.PLUG_INS:
        monkeypatch.setitem(sys.modules, plug_in.module, None)
    with pytest.raises(aecodec.UnsupportedPicture, match=f"pip install {package}"):
        reading.read(io.BytesIO(head + bytes(100)))


def test_deep_grey_is_scaled_by_what_it_holds():
    eight = np.arange(256, dtype=np.int32).reshape(16, 16)
    assert np.array_equal(reading.read(Image.fromarray(eight)).pixels[:, :, 0], eight)
    sixteen = eight * 257
    assert np.array_equal(reading.read(Image.fromarray(sixteen)).pixels[:, :, 0], eight)
    dark = Image.fromarray(eight.astype(np.uint16))  # 16 bits by its mode, however dark
    assert reading.read(dark).pixels.max() == 1
    for values, words in ((np.array([[0, 1 << 20]], np.int32), "from 0 to 1048576"),
                          (np.array([[-1, 5]], np.int32), "from -1 to 5"),
                          (np.array([[0.25, 1]], np.float32), "from 0.25 to 1")):
        with pytest.raises(aecodec.UnsupportedPicture, match=words):
            reading.read(Image.fromarray(values))


def test_twelve_bits_of_a_tiff_are_scaled_by_4095():
    packed = bytes((0xFF, 0xFF, 0xFF, 0x80, 0x00, 0x00))  # 4095, 4095, 2048, 0
    tags = {256: 4, 257: 1, 258: 12, 259: 1, 262: 1, 273: 0, 277: 1, 278: 1, 279: len(packed)}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    data = b"II*\0" + struct.pack("<IH", 8, len(tags))
    data += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()) + bytes(4) + packed
    read = reading.read(io.BytesIO(data))
    assert read.pixels[0, :, 0].tolist() == [255, 255, 128, 0]
    assert read.notes == ("12 bits per sample reduced to 8",)
