"""The pictures that users have: what they become, and what they come back as."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from aecodec import metrics
from aecodec.format import boxes, container
from aecodec.picture import metadata, reading
from aecodec.picture.alpha import find_alpha


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
