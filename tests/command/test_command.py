"""The command line: what it writes, what it prints, how it ends, and what it never leaves behind."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from aecodec.format import container
from aecodec.metrics import psnr


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def shell(*arguments: object, folder: Path | None = None) -> Ended:
    """The command in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "aecodec", *map(str, arguments)], capture_output=True, text=True,
                          cwd=folder, stdin=subprocess.DEVNULL)
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def here(capfd):
    """The command in this process, which has loaded torch already."""
    from aecodec.command.main import main

    def run(*arguments: object) -> Ended:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments], prog_name="aecodec")
        out, err = capfd.readouterr()
        return Ended(ended.value.code or 0, out, err)

    return run


def assert_one_clear_line(ended: Ended, code: int, *words: str) -> None:
    """One line says what is wrong; Pillow's warnings may stand before it, as such."""
    lines = [line for line in ended.err.splitlines() if not line.startswith("aecodec: warning: ")]
    assert ended.code == code, ended
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("aecodec: ")
    for word in words:
        assert word in lines[0]


@pytest.fixture
def picture(tmp_path, photo) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(photo[:60, :90]).save(path)
    return path


@pytest.fixture(scope="module")
def data(codec, photo) -> bytes:
    return codec.encode(photo[:60, :90], 50)


@pytest.fixture
def coded(tmp_path, data) -> Path:
    path = tmp_path / "coded.aec"
    path.write_bytes(data)
    return path


# -- what it does -------------------------------------------------------------------------------------------------


def test_there_and_back_in_processes_of_their_own(picture, photo):
    folder = picture.parent
    done = shell("compress", "photo.png", folder=folder)
    assert (done.code, done.err) == (0, "")
    size = (folder / "photo.aec").stat().st_size
    for told in ("photo.aec", "90x60", f"{size:,}", f"{8 * size / 5400:.3f} bits per pixel"):
        assert told in done.out

    done = shell("info", "photo.aec", "--json", folder=folder)
    facts = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert (facts["width"], facts["height"], facts["mode"], facts["bytes"]) == (90, 60, "RGB", size)
    assert facts["boxes"] == {}

    done = shell("decompress", "photo.aec", "-o", "back.png", folder=folder)
    assert (done.code, done.err) == (0, "")
    assert psnr(Image.open(folder / "back.png"), photo[:60, :90]) > 25
    assert sorted(p.name for p in folder.iterdir()) == ["back.png", "photo.aec", "photo.png"]


def test_the_default_names(here, tmp_path, photo, coded):
    Image.fromarray(photo).save(tmp_path / "a.b.jpeg")
    assert here("compress", tmp_path / "a.b.jpeg").code == 0
    assert (tmp_path / "a.b.aec").read_bytes().startswith(container.MAGIC)
    assert here("decompress", coded).code == 0
    assert Image.open(tmp_path / "coded.aec.png").size == (90, 60)


def test_quality_and_output(here, picture, tmp_path):
    for quality in (10, 90):
        done = here("compress", picture, "-q", quality, "-o", tmp_path / f"{quality}.x")
        assert done.code == 0
        header, _ = container.read_header((tmp_path / f"{quality}.x").read_bytes())
        assert header.quality == pytest.approx(quality, abs=1)
    assert (tmp_path / "10.x").stat().st_size < (tmp_path / "90.x").stat().st_size


def test_quiet_prints_nothing(here, picture, tmp_path):
    assert here("compress", picture, "--quiet") == Ended(0, "", "")
    assert here("decompress", tmp_path / "photo.aec", "-o", tmp_path / "b.png", "--quiet") == Ended(0, "", "")


def test_grey_stays_grey(here, tmp_path, photo):
    Image.fromarray(photo[:60, :90, 0]).save(tmp_path / "grey.png")
    assert here("compress", tmp_path / "grey.png").code == 0
    assert json.loads(here("info", tmp_path / "grey.aec", "--json").out)["mode"] == "L"
    assert here("decompress", tmp_path / "grey.aec", "-o", tmp_path / "back.png").code == 0
    assert Image.open(tmp_path / "back.png").mode == "L"


@pytest.mark.parametrize(("ending", "name"), [("jpg", "JPEG"), ("JPEG", "JPEG"), ("webp", "WEBP"), ("tiff", "TIFF"),
                                              ("bmp", "BMP"), ("ppm", "PPM")])
def test_the_ending_chooses_the_format(here, coded, tmp_path, photo, ending, name):
    target = tmp_path / f"out.{ending}"
    assert here("decompress", coded, "-o", target).code == 0
    assert Image.open(target).format == name
    assert psnr(Image.open(target), photo[:60, :90]) > 24


def test_info_tells_what_the_header_says(here, coded, data):
    header = container.read_header(data)[0]
    facts = json.loads(here("info", coded, "--json").out)
    assert facts["bytes"] == len(data)
    assert facts["bits_per_pixel"] == pytest.approx(8 * len(data) / 5400, abs=1e-4)
    assert (facts["level"], facts["model"]) == (header.level, f"{header.model_id:#06x}")
    assert (facts["weights"], facts["symbol_crc"]) == (header.bundle_hash.hex(), f"{header.symbol_crc:08x}")
    text = here("info", coded).out
    assert "90" in text
    assert "RGB" in text


def test_info_reads_files_that_this_version_cannot_decode(here, tmp_path, data):
    """Of a later model, with boxes of both kinds."""
    file = container.read_file(data)
    other = container.AecFile(replace(file.header, model_id=0x1234), file.payload,
                              (container.Box("Zzzz", b"abc"), container.Box("zzzz", b"")))
    path = tmp_path / "x.aec"
    path.write_bytes(container.write_file(other))
    facts = json.loads(here("info", path, "--json").out)
    assert facts["boxes"] == {"Zzzz": 3, "zzzz": 0}
    assert facts["model"] == "0x1234"
    assert facts["experimental_model"] is False


@pytest.mark.parametrize("arguments", [["--help"], ["info", "{coded}"], ["compress", "--help"]])
def test_what_needs_no_torch_does_not_load_it(coded, arguments):
    arguments = [argument.format(coded=coded) for argument in arguments]
    check = (f"import sys\nfrom aecodec.command.main import main\ntry: main({arguments!r})\n"
             "except SystemExit as ended: print(ended.code or 0, 'torch' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False"


# -- never overwriting --------------------------------------------------------------------------------------------


def test_nothing_is_overwritten_without_force(here, picture, coded, tmp_path):
    kept = tmp_path / "photo.aec"
    kept.write_bytes(b"precious")
    assert_one_clear_line(here("compress", picture), 1, "photo.aec", "--force")
    before = picture.read_bytes()
    assert_one_clear_line(here("decompress", coded, "-o", picture), 1, "photo.png", "--force")
    assert kept.read_bytes() == b"precious"
    assert picture.read_bytes() == before

    assert here("compress", picture, "--force").code == 0
    assert kept.read_bytes().startswith(container.MAGIC)
    assert here("decompress", coded, "-o", picture, "--force").code == 0
    assert picture.read_bytes() != before


def test_a_failed_command_leaves_nothing_behind(here, coded, tmp_path, data):
    coded.write_bytes(data[:-20])
    kept = tmp_path / "kept.png"
    kept.write_bytes(b"precious")
    before = sorted(p.name for p in tmp_path.iterdir())
    assert here("decompress", coded).code == 3
    assert here("decompress", coded, "-o", kept, "--force").code == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert kept.read_bytes() == b"precious"


def test_a_failed_write_leaves_nothing_behind(here, coded, tmp_path, monkeypatch):
    """The disk is full while the picture is being written."""
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    kept = tmp_path / "kept.bmp"
    kept.write_bytes(b"precious")
    before = sorted(p.name for p in tmp_path.iterdir())
    monkeypatch.setattr(Image.Image, "save", full)
    for arguments in (("-o", tmp_path / "new.bmp"), ("-o", kept, "--force")):
        assert_one_clear_line(here("decompress", coded, *arguments), 1, "No space left on device")
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert kept.read_bytes() == b"precious"


# -- exit codes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["compress"], ["frobnicate"], ["compress", "a.png", "-q", "101"],
                                       ["compress", "a.png", "-q", "fine"], ["info"], ["info", "a", "--xml"]])
def test_wrong_usage_ends_with_2(here, arguments):
    done = here(*arguments)
    assert done.code == 2
    assert "Usage:" in done.err


def altered(data: bytes, offset: int, value: int) -> bytes:
    """A byte of the header changed, the checksum right."""
    file = container.read_file(data)
    front = bytearray(data[:len(data) - 4 - sum(len(box.data) + 12 for box in file.boxes)])
    front[offset] = value
    return bytes(front) + struct.pack("<I", zlib.crc32(front))


@pytest.mark.parametrize(("damage", "code"), [
    pytest.param(lambda data: data[:-1], 3, id="cut short"),
    pytest.param(lambda data: data[:50] + b"?" + data[51:], 3, id="damaged"),
    pytest.param(lambda data: b"", 3, id="empty"),
    pytest.param(lambda data: b"hello, world", 3, id="text"),
    pytest.param(lambda data: altered(data, 8, 128), 4, id="later tune"),
    pytest.param(lambda data: altered(data, 4, 1), 4, id="later version"),
    pytest.param(lambda data: altered(data, 5, 0x08), 4, id="later feature"),
])
def test_files_that_cannot_be_decoded(here, tmp_path, data, damage, code):
    path = tmp_path / "x.aec"
    path.write_bytes(damage(data))
    assert_one_clear_line(here("decompress", path), code, "x.aec")
    assert_one_clear_line(here("info", path), code, "x.aec")
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize(("damage", "code"), [
    pytest.param(lambda data: altered(data, 6, 0x77), 4, id="another model"),
    pytest.param(lambda data: altered(data, 10, data[10] ^ 1), 4, id="other weights"),
    pytest.param(lambda data: altered(data, 14, data[14] ^ 1), 3, id="forged symbols"),
    pytest.param(lambda data: altered(data, 8, data[8] | 64), 3, id="another tune"),
])
def test_files_whose_checksums_are_right_but_that_do_not_decode(here, tmp_path, data, damage, code):
    path = tmp_path / "x.aec"
    path.write_bytes(damage(data))
    assert here("info", path).code == 0
    assert_one_clear_line(here("decompress", path), code, "x.aec")
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize(("arguments", "words"), [
    (["compress", "nothing.png"], ["nothing.png", "does not exist"]),
    (["decompress", "nothing.aec"], ["nothing.aec", "does not exist"]),
    (["info", "nothing.aec"], ["nothing.aec", "does not exist"]),
    (["compress", "photo.png", "-o", "nowhere/x.aec"], ["nowhere"]),
    (["decompress", "coded.aec", "-o", "x.gif"], ["x.gif", ".png"]),
    (["decompress", "coded.aec", "-o", "x"], [".png"]),
    (["compress", "photo.png", "-o", "."], []),
    (["info", "."], []),
])
def test_what_cannot_be_done_ends_with_1(here, picture, coded, monkeypatch, arguments, words):
    monkeypatch.chdir(picture.parent)
    before = sorted(p.name for p in picture.parent.iterdir())
    assert_one_clear_line(here(*arguments), 1, *words)
    assert sorted(p.name for p in picture.parent.iterdir()) == before


@pytest.mark.parametrize("arguments", [["compress", "."], ["compress", ".."], ["compress", "/"], ["decompress", "."],
                                       ["decompress", "/"]])
def test_a_folder_is_not_a_picture(here, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    done = here(*arguments)
    assert done.code in (1, 2)
    assert "folder" in done.err or "directory" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_tune_that_the_model_was_not_trained_for(here, picture):
    done = here("compress", picture, "--tune", "psnr")
    assert done.code == 2
    assert "the model has no tune psnr; choose visual" in done.err
    assert not picture.with_suffix(".aec").exists()


@pytest.mark.parametrize(("options", "code"), [(["--device", "gpu0"], 1), (["--device", ""], 1),
                                               (["--model", "none"], 4)])
def test_a_device_or_model_that_is_not_there(here, picture, options, code):
    assert_one_clear_line(here("compress", picture, *options), code)
    assert not picture.with_suffix(".aec").exists()


def test_an_aec_file_is_not_compressed_again(here, coded):
    done = here("compress", coded, "-o", coded.with_name("again.aec"))
    assert_one_clear_line(done, 1, "already", "decompress")
    # Without an output name, what is wrong is the input, not that the output (the same file) exists.
    assert_one_clear_line(here("compress", coded), 1, "already")


# -- broken pictures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["truncated.png", "corrupt-header.jpg", "bomb.gif"])
def test_broken_pictures_from_the_wild(shared_data, tmp_path, name):
    """In a process of their own: what Pillow's C libraries print would show."""
    done = shell("compress", shared_data / "inputs" / name, "-o", tmp_path / "x.aec")
    assert_one_clear_line(done, 1, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [
    pytest.param(b"", id="empty"),
    pytest.param(b"hello, world", id="text"),
    pytest.param(b"\x89PNG\r\n\x1a\n", id="a PNG signature"),
    pytest.param(b"\xff\xd8\xff\xe0\0\x10JFIF\0", id="a JPEG start"),
    pytest.param(b"GIF89a\xff\xff\xff\xff\0\0\0", id="a large GIF"),
    pytest.param(b"RIFF\x20\0\0\0WEBPVP8 ", id="a WebP start"),
    pytest.param(b"II*\0\x08\0\0\0\xff\xff", id="a TIFF start"),
    pytest.param(b"P6 10 10 255\n", id="a PPM without pixels"),
    pytest.param(b"P6 100000 100000 255\n", id="a huge PPM"),
    pytest.param(b"BM" + bytes(60), id="a BMP of nothing"),
])
def test_broken_pictures(here, tmp_path, content):
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    assert_one_clear_line(here("compress", path), 1, "broken.png")
    assert [p.name for p in tmp_path.iterdir()] == ["broken.png"]


def test_damaged_pictures_of_every_format(here, tmp_path, photo):
    """Bytes changed at a few places: it decodes, or it ends with one line."""
    from PIL import features

    rng = np.random.default_rng(0)
    formats = ["png", "jpg", "webp", "tiff", "bmp", "gif", *(["avif"] if features.check("avif") else [])]
    refused = 0
    for ending in formats:
        whole = tmp_path / f"whole.{ending}"
        Image.fromarray(photo[:40, :50]).save(whole)
        for _ in range(15):
            content = bytearray(whole.read_bytes())
            for place in rng.integers(0, len(content), 3):
                content[place] ^= int(rng.integers(1, 256))
            if rng.random() < 0.3:
                del content[int(rng.integers(len(content))):]
            broken = tmp_path / f"broken.{ending}"
            broken.write_bytes(content)
            done = here("compress", broken, "-o", tmp_path / "x.aec", "--force", "--quiet")
            if done.code:
                refused += 1
                assert_one_clear_line(done, 1, "broken")
    assert refused > 20


# -- limits -------------------------------------------------------------------------------------------------------


def test_the_limit_on_pixels_can_be_set_and_lifted(here, picture, coded, tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # the command lifts it for its process
    out = tmp_path / "out.aec"
    assert_one_clear_line(here("compress", picture, "-o", out, "--limit-pixels", 5399), 1, "--limit-pixels")
    assert not out.exists()
    for limit in (5400, 0):
        assert here("compress", picture, "-o", out, "--force", "--limit-pixels", limit).code == 0
    for command in ("decompress", "test"):
        assert_one_clear_line(here(command, coded, "--limit-pixels", 5399), 1, "--limit-pixels")
        assert here(command, coded, "--limit-pixels", 5400).code == 0
    assert_one_clear_line(here("compare", picture, coded, "--limit-pixels", 5399), 1, "--limit-pixels")


def test_a_bomb_is_refused_by_its_header(here, tmp_path, monkeypatch):
    """180 megapixels in 60 bytes; with the limit lifted it is found to have no pixels."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    bomb = tmp_path / "bomb.png"
    header = struct.pack(">IIBBBBB", 18_000, 10_000, 8, 0, 0, 0, 0)
    bomb.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b""))
    assert_one_clear_line(here("compress", bomb), 1, "bomb.png", "18000x10000", "--limit-pixels")
    assert_one_clear_line(here("compress", bomb, "--limit-pixels", 0), 1, "cannot be decoded")
    assert not bomb.with_suffix(".aec").exists()
