"""The Pillow plugin: .aec files as any other picture file."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile, UnidentifiedImageError

import aecodec
from aecodec import api, pillow_plugin
from aecodec.format import container
from aecodec.format.container import Box


@pytest.fixture(autouse=True)
def _loaded_once(codec, monkeypatch):
    monkeypatch.setattr(api, "default_codec", lambda: codec)
    monkeypatch.setattr(pillow_plugin, "default_codec", lambda: codec)


@pytest.fixture(scope="module")
def data(full, codec) -> bytes:
    return codec.encode(full)


class Counting(io.BytesIO):
    """A file that counts the bytes read from it."""

    count = 0

    def read(self, size=-1):
        found = super().read(size)
        self.count += len(found)
        return found


def test_open_reads_the_header_and_load_the_pixels(data, full, codec, monkeypatch):
    file = Counting(data)
    image = Image.open(file)
    boxes = container.read_file(data, None).boxes
    metadata = sum(len(box.data) for box in boxes if box.kind != "ALPH")
    assert file.count < metadata + 250  # neither the payload nor the alpha
    assert (image.format, image.mode, image.size) == ("AEC", "RGBA", (40, 24))
    assert image.info == full.info
    assert image.getexif()[271] == "maker"
    assert image.get_format_mimetype() == "image/x-aec"
    assert np.array_equal(np.asarray(image), codec.decode(data, output="array"))
    assert image.load() is not None  # a second time, without the file


def test_torch_is_loaded_by_the_first_pixels_alone(data, tmp_path):
    (tmp_path / "a.aec").write_bytes(data)
    code = ("import sys, aecodec.pillow_plugin\nfrom PIL import Image\n"
            "image = Image.open(sys.argv[1])\nassert image.size == (40, 24)\nassert 'torch' not in sys.modules")
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.aec")], check=True)


@pytest.mark.parametrize(("mode", "becomes"), [("1", "L"), ("L", "L"), ("LA", "LA"), ("P", "RGBA"), ("RGB", "RGB"),
                                               ("RGBA", "RGBA"), ("CMYK", "RGB"), ("YCbCr", "RGB"), ("I;16", "L")])
@pytest.mark.filterwarnings("ignore::aecodec.PictureWarning")
def test_save_takes_any_mode(mode, becomes, photo, tmp_path):
    if mode == "I;16":
        image = Image.fromarray(photo[:20, :30, 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(np.dstack([photo[:20, :30], photo[:20, :30, 0]])).convert(mode)
    image.save(tmp_path / "a.aec")
    with Image.open(tmp_path / "a.aec") as again:
        assert (again.mode, again.size) == (becomes, (30, 20))
        again.load()


def test_quality_and_its_limits(photo):
    image, sizes = Image.fromarray(photo[:64, :64]), []
    for options in ({"quality": 0}, {}, {"quality": 50}, {"quality": 87.5}, {"quality": 100}):
        out = io.BytesIO()
        image.save(out, "AEC", **options)
        sizes.append(out.tell())
    assert sizes[0] < sizes[1] == sizes[2] < sizes[3] < sizes[4]
    for quality in (-1, 100.5, "50", True):
        with pytest.raises(ValueError, match="Invalid quality setting"):
            image.save(io.BytesIO(), "AEC", quality=quality)


def saved(image, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, "AEC", **options)
    return out.getvalue()


def test_options_are_honoured_and_others_raise(photo, full, codec):
    image = Image.fromarray(photo[:64, :64])
    assert saved(image, target_size=1500) == codec.encode(image, target_size=1500)
    data = saved(image, lossless=True)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), photo[:64, :64])
    assert saved(image, lossless=False) == codec.encode(image, lossless=False)
    given = {"exif": full.getexif(), "xmp": b"<x/>", "icc_profile": full.info["icc_profile"]}
    assert set(Image.open(io.BytesIO(saved(image, **given))).info) == {"exif", "xmp", "icc_profile"}
    assert set(Image.open(io.BytesIO(saved(image, strip=True, **given))).info) == {"icc_profile"}
    with pytest.raises(TypeError, match=r"AEC has no option effort, optimise; it has quality, target_size"):
        image.save(io.BytesIO(), "AEC", optimise=True, effort=3)
    with pytest.raises(ValueError, match="exclude each other"):
        image.save(io.BytesIO(), "AEC", quality=50, target_size=1500)


def test_a_lossless_file_opens(full, tmp_path):
    full.save(tmp_path / "a.aec", lossless=True)
    with Image.open(tmp_path / "a.aec") as image:
        assert (image.mode, image.size) == ("RGBA", full.size)
        assert np.array_equal(np.asarray(image), np.asarray(full))


def test_verify_finds_damage_without_pixels(data, codec, monkeypatch, tmp_path):
    monkeypatch.setattr(codec, "decode_file", lambda *_: pytest.fail("decoded"))
    (tmp_path / "a.aec").write_bytes(data)
    with Image.open(tmp_path / "a.aec") as image:
        image.verify()
    header, at = container.read_header(data)
    payload = at + header.payload_length // 2
    broken = data[:payload] + bytes([data[payload] ^ 1]) + data[payload + 1:]
    for content in (broken, data[:-1], data + b"x"):
        with pytest.raises(OSError, match=r"damaged|beyond the end|follow the end|cut short"):
            Image.open(io.BytesIO(content)).verify()


def test_notebooks_show_it(data):
    shown = Image.open(io.BytesIO(data))._repr_png_()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(shown))), np.asarray(Image.open(io.BytesIO(data))))


def test_save_keeps_what_pillow_would(full, tmp_path):
    path = tmp_path / "a.aec"
    full.save(path)  # the profile of the image; EXIF and XMP only if they are given
    assert Image.open(path).info == {"icc_profile": full.info["icc_profile"]}
    full.save(path, icc_profile=None, exif=full.getexif(), xmp="<x/>")
    assert Image.open(path).info == {"exif": full.getexif().tobytes(), "xmp": b"<x/>"}
    with Image.open(path) as image:
        image.save(tmp_path / "b.aec", exif=image.info["exif"])
    assert Image.open(tmp_path / "b.aec").getexif()[271] == "maker"


def test_the_orientation_of_given_exif_is_applied(photo, tmp_path):
    image = Image.fromarray(photo[:20, :30])
    exif = Image.Exif()
    exif[0x0112] = 6
    image.info["exif"] = exif.tobytes()  # not given: applied, and not kept
    image.save(tmp_path / "a.aec")
    with Image.open(tmp_path / "a.aec") as again:
        assert (again.size, again.info) == ((20, 30), {})
        assert np.array_equal(np.asarray(again), aecodec.decode(aecodec.encode(image), output="array"))
    other = Image.Exif()
    other[271] = "maker"
    image.save(tmp_path / "a.aec", exif=other)  # what is given says that it is upright
    assert Image.open(tmp_path / "a.aec").size == (30, 20)
    image.save(tmp_path / "a.aec", exif=exif)
    with Image.open(tmp_path / "a.aec") as again:
        assert (again.size, again.getexif()[0x0112]) == ((20, 30), 1)


def test_errors_are_those_of_pillow(data):
    with pytest.raises(OSError, match="cannot write mode F as AEC"):
        Image.new("F", (4, 4)).save(io.BytesIO(), "AEC")
    for broken in (b"", data[:1], b"\xaeAEX" + data[4:]):
        with pytest.raises(UnidentifiedImageError):
            Image.open(io.BytesIO(broken))
    for broken in (data[:10], data[:4] + b"\x09" + data[5:]):  # cut in the header; of a later version
        with pytest.raises(OSError):  # noqa: PT011 (as Pillow's)
            Image.open(io.BytesIO(broken))
    header, at = container.read_header(data)
    end = at + header.payload_length + 4
    for broken in (data[:end - 20], data[:end - 30] + b"\0\0" + data[end - 28:]):
        image = Image.open(io.BytesIO(broken))
        assert image.size == (40, 24)
        with pytest.raises(OSError, match=r"cut short|damaged"):
            image.load()
    image = Image.open(io.BytesIO(data[:-10]))  # within the last box
    with pytest.raises(OSError, match=r"beyond the end|cut short"):
        image.load()


def test_a_damaged_profile_is_found_when_opening(data):
    at = data.index(b"ICCP")
    with pytest.raises(OSError, match="damaged"):
        Image.open(io.BytesIO(data[:at + 20] + b"\0\0\0" + data[at + 23:]))


def test_a_closed_image_says_so(data, tmp_path):
    (tmp_path / "a.aec").write_bytes(data)
    with Image.open(tmp_path / "a.aec") as image:
        pass
    with pytest.raises(ValueError, match="closed"):
        image.load()


def test_pillows_limit_stands_before_the_pixels(data, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(data))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    image = Image.open(io.BytesIO(data))
    image.load()
    assert image.mode == "RGBA"


def test_a_box_that_must_be_understood_is_refused(data):
    file = container.read_file(data, None)
    strange = container.write_file(container.AecFile(file.header, file.payload, (Box("WHAT", b""),)))
    with pytest.raises(OSError, match="WHAT"):
        Image.open(io.BytesIO(strange)).load()


def test_a_bomb_of_metadata_is_refused(data):
    header, at = container.read_header(data)
    packed = zlib.compress(bytes(1 << 27), 9)
    body = struct.pack("<4sI", b"exif", len(packed)) + packed
    end = at + header.payload_length + 4
    with pytest.raises(OSError, match="damaged"):
        Image.open(io.BytesIO(data[:end] + body + struct.pack("<I", zlib.crc32(body))))


def test_the_parser_of_pillow_takes_it(data):
    parser = ImageFile.Parser()
    parser.feed(data)
    assert parser.close().size == (40, 24)


def test_registering_again_changes_nothing():
    before = Image.registered_extensions()[".aec"], list(Image.ID)
    pillow_plugin.register()
    assert (Image.registered_extensions()[".aec"], list(Image.ID)) == before == ("AEC", before[1])
    assert Image.MIME["AEC"] == "image/x-aec"


def test_imageio_works_through_pillow(photo, tmp_path):
    imageio = pytest.importorskip("imageio.v3")
    path = tmp_path / "a.aec"
    imageio.imwrite(path, photo[:40, :60])
    again = imageio.imread(path)
    assert again.shape == (40, 60, 3)
    assert np.array_equal(again, np.asarray(Image.open(path)))
    assert imageio.improps(path).shape == (40, 60, 3)
    assert imageio.immeta(path)["mode"] == "RGB"


def test_scikit_image_works_through_imageio(photo, tmp_path):
    skimage_io = pytest.importorskip("skimage.io")
    skimage_io.imsave(tmp_path / "a.aec", photo[:40, :60], check_contrast=False)
    again = skimage_io.imread(tmp_path / "a.aec")
    assert np.array_equal(again, np.asarray(Image.open(tmp_path / "a.aec")))


def test_what_was_reduced_is_warned_of(photo):
    with pytest.warns(aecodec.PictureWarning, match="16 bits"):
        Image.fromarray(photo[:4, :4, 0].astype(np.uint16)).save(io.BytesIO(), "AEC")
