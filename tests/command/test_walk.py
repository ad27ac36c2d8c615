"""A walk through the command with a photographer's files, step by step, each in a process of its own."""

from __future__ import annotations

import ctypes
import io
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from aecodec.format import container
from aecodec.picture import gain_map
from helpers import gain_map_photo, make_photo

pytestmark = pytest.mark.slow

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def bound_by_permissions() -> None:
    """Closed folders are closed to this process and what it runs, even to root's."""
    libc = ctypes.CDLL(None, use_errno=True)
    for right in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        if libc.prctl(PR_CAPBSET_DROP, right, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


def aecodec(*arguments: object, **more) -> Ended:
    done = subprocess.run([sys.executable, "-m", "aecodec", *map(os.fspath, map(str, arguments))], check=False,
                          capture_output=True, stdin=subprocess.DEVNULL,
                          env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"}, **more)
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(name: str, height: int = 24, width: int = 32, seed: int = 0, **options) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(make_photo(height, width, seed)).save(path, **options)
    return path


def test_the_sequence_of_the_readme(here):
    """Compress and decompress beside each other: the original is never in question."""
    before = save("photo.png").read_bytes()
    assert aecodec("photo.png").err.endswith("aecodec compress photo.png\n")
    assert aecodec("compress", "photo.png").code == 0
    assert "aecodec decompress photo.aec" in aecodec("photo.aec").err
    done = aecodec("decompress", "photo.aec")
    assert (done.code, done.err) == (0, "")
    assert sorted(os.listdir()) == ["photo.aec", "photo.aec.png", "photo.png"]
    assert Image.open("photo.aec.png").size == (32, 24)

    assert "photo.png: not an .aec file" in aecodec("decompress", "photo.png").err
    again = aecodec("decompress", "photo.aec")
    assert again.code == 1
    assert again.err.index("-o") < again.err.index("--force")
    assert aecodec("decompress", "photo.aec", "--suffix", "_small", "--fit", 16).code == 0
    assert Image.open("photo_small.png").size == (16, 12)
    done = aecodec("decompress", "photo.aec", "--suffix", ".webp", "-q", 40, "--json")
    told = json.loads(done.out)["files"][0]
    assert (told["input"], told["output"]) == ("photo.aec", "photo.webp")
    assert (told["format"], told["status"]) == ("WEBP", "done")
    assert told["bytes_written"] == Path("photo.webp").stat().st_size
    assert Path("photo.png").read_bytes() == before


def test_names_that_would_mislead(here):
    save("photo.png")
    assert aecodec("compress", "photo.png", "-q", 10).code == 0
    coded = Path("photo.aec").read_bytes()
    for arguments, words in (
        (["compress", "photo.png", "-o", "photo.jpg"], "photo.aec"),
        (["compress", "photo.png", "-o", "photo.dng"], "photo.aec"),
        (["decompress", "photo.aec", "-o", "new.jpg", "--format", "png"], "new.png"),
        (["decompress", "photo.aec", "-o", "new.gif"], "new.png"),
        (["decompress", "photo.aec", "-o", "photo.aec", "--format", "png", "--force"], "is the input itself"),
        (["decompress", "photo.aec", "--suffix", ".jpg", "--format", "png"], "--suffix .png"),
    ):
        done = aecodec(*arguments)
        assert (done.code, len(done.err.splitlines())) == (1, 1), done
        assert words in done.err
    os.link("photo.aec", "hard.png")
    os.symlink("photo.aec", "soft.png")
    for name in ("hard.png", "soft.png"):
        assert "is the input itself" in aecodec("decompress", "photo.aec", "-o", name, "--force").err
    assert Path("photo.aec").read_bytes() == coded
    assert aecodec("decompress", "photo.aec", "-q", 50).code == 2
    assert sorted(os.listdir()) == ["hard.png", "photo.aec", "photo.png", "soft.png"]


def test_a_folder_from_a_camera(here):
    """RAW and JPEG side by side, a film, an empty file, one that is damaged, names of every kind."""
    odd = os.fsdecode(b"photos/\xff\xfe.png")
    save("photos/IMG_1.jpg")
    save("photos/\u00e4\u4e2d.png", seed=1)
    save(odd, seed=2)
    raw = b"II*\0\x08\0\0\0" + bytes(100)
    for name in ("IMG_1.dng", "IMG_2.CR2"):
        Path("photos", name).write_bytes(raw)
    Path("photos/film.mp4").write_bytes(b"\0\0\0\x18ftypisom")
    Path("photos/notes.txt").write_text("no picture")
    Path("photos/empty.png").write_bytes(b"")
    Path("photos/half.png").write_bytes(Path("photos/IMG_1.jpg").read_bytes()[:300])

    done = aecodec("compress", "-r", "photos", "--output-dir", "out", "-q", 20, "-v")
    assert done.code == 1
    assert "empty.png: the file is empty (0 bytes)" in done.err
    assert "half.png" in done.err
    for name, reason in (("IMG_1.dng", "raw file"), ("IMG_2.CR2", "raw file"), ("film.mp4", "a video"),
                         ("notes.txt", "not known as a picture")):
        assert any(name in line and reason in line for line in done.err.splitlines()), (name, done.err)
    assert done.out.splitlines()[-1].startswith("3 files compressed, 2 failed, 4 left out, ")
    names = {"IMG_1.aec", "\u00e4\u4e2d.aec", os.fsdecode(b"\xff\xfe.aec")}
    assert set(os.listdir("out")) == names

    # Named one by one, the RAW does not hold the JPEG's output, and is told of with what to do.
    done = aecodec("compress", "photos/IMG_1.dng", "photos/IMG_1.jpg", "--keep-going", "-q", 20)
    assert done.code == 1
    assert "darktable" in done.err
    assert "1 file compressed, 1 failed" in done.out
    assert Path("photos/IMG_1.aec").read_bytes() == Path("out/IMG_1.aec").read_bytes()

    # The same once more: what is there is passed over.
    done = aecodec("compress", "-r", "photos", "--output-dir", "out", "-q", 20, "--skip-existing", "--json")
    told = json.loads(done.out)
    assert told["counts"] == {"done": 0, "skipped": 3, "failed": 2, "not_begun": 0, "broken_off": 0, "left_out": 5}
    assert {item["path"]: item["reason"] for item in told["left_out"]}["photos/IMG_1.aec"] == "an .aec file already"

    table = aecodec("info", "-r", "out").out.splitlines()
    assert len(table) == 4
    assert table[0].split() == ["size", "mode", "quality", "bytes", "bpp", "model", "boxes", "file"]
    assert all("32x24" in line for line in table[1:])
    assert len(json.loads(aecodec("info", "-r", "out", "--json").out)) == 3
    told = json.loads(aecodec("test", "-r", "out", "--json").out)
    assert (told["counts"]["done"], {file["status"] for file in told["files"]}) == (3, {"done"})

    done = aecodec("decompress", "-r", "out", "--output-dir", "back")
    assert done.code == 0, done.err
    assert set(os.listdir("back")) == {f"{name}.png" for name in names}


def test_a_folder_that_is_closed(here):
    save("photos/a.png")
    save("photos/closed/b.png")
    os.chmod("photos/closed", 0)
    try:
        done = aecodec("compress", "-r", "photos", "-q", 20, preexec_fn=bound_by_permissions)
    except (subprocess.SubprocessError, AttributeError):
        pytest.skip("this system does not let a process give up the right to enter closed folders")
    finally:
        os.chmod("photos/closed", 0o755)
    assert done.code == 1
    assert "photos/closed cannot be read: Permission denied" in done.err
    assert done.out.splitlines()[-1].startswith("1 file compressed, 1 left out")
    assert sorted(os.listdir("photos")) == ["a.aec", "a.png", "closed"]


def test_two_pictures_that_want_one_name(here):
    for name in ("a.png", "b.png", "b.webp", "c.png"):
        save(name)
    done = aecodec("compress", "a.png", "b.png", "b.webp", "c.png")
    assert done.code == 1
    assert done.err == ("aecodec: b.png and b.webp would both be written to b.aec; do each by itself and name its "
                        "output with -o\n")
    assert "0 files compressed, 2 failed, 2 not begun (see --keep-going)" in done.out
    assert not list(here.glob("*.aec"))
    done = aecodec("compress", "a.png", "b.png", "b.webp", "c.png", "--keep-going", "-q", 20)
    assert done.code == 1
    assert "2 files compressed, 2 failed" in done.out
    assert sorted(path.name for path in here.glob("*.aec")) == ["a.aec", "c.aec"]


def test_a_batch_that_is_interrupted_goes_on(here):
    for number in range(60):
        save(f"in/{number:03d}.png", 96, 128, number % 5)
    arguments = [sys.executable, "-m", "aecodec", "compress", "-r", "in", "--output-dir", "out", "--jobs", "2"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 120
        while not list(Path("out").glob("*.aec")) and time.monotonic() < until and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (130, "aecodec: interrupted\n")
    made = len(os.listdir("out"))
    assert out.startswith(f"{made} file{'' if made == 1 else 's'} compressed, {60 - made} not begun, ")
    assert 0 < made < 60

    done = aecodec("compress", "-r", "in", "--output-dir", "out", "--skip-existing")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{60 - made} files compressed, {made} skipped, ")
    assert len(os.listdir("out")) == 60
    assert all(container.read_file(path.read_bytes()).header.width == 128 for path in Path("out").iterdir())

    # A damaged or outdated one is neither taken for done nor overwritten unasked.
    Path("out/000.aec").write_bytes(b"half")
    os.utime("in/001.png")
    done = aecodec("compress", "in/000.png", "in/001.png", "--output-dir", "out", "--skip-existing", "--keep-going")
    assert done.code == 1
    assert "out/000.aec exists, but is not whole" in done.err
    assert "out/001.aec exists, but is older than in/001.png" in done.err
    assert aecodec("compress", "in/000.png", "in/001.png", "--output-dir", "out", "--skip-existing", "-f").code == 0


def test_a_photo_with_a_gain_map(here):
    data, hdr = gain_map_photo(make_photo(64, 96))
    Path("hdr.jpg").write_bytes(data)
    done = aecodec("compress", "hdr.jpg", "--verify")
    assert (done.code, done.err) == (0, "")
    assert "gmap" in json.loads(aecodec("info", "hdr.aec", "--json").out)["boxes"]
    done = aecodec("decompress", "hdr.aec", "--suffix", "-back.jpg")
    assert (done.code, done.err) == (0, "")
    assert gain_map.find(Path("hdr-back.jpg").read_bytes()) == hdr
    done = aecodec("decompress", "hdr.aec")
    assert (done.code, "HDR gain map" in done.err) == (0, True)
    assert aecodec("compare", "hdr.jpg", "hdr-back.jpg").code == 0


def test_permissions_and_times(here):
    path = save("secret.png")
    path.chmod(0o600)
    os.utime(path, ns=(10**18, 10**18))
    assert aecodec("compress", path).code == 0
    made = os.stat("secret.aec")
    assert (stat.S_IMODE(made.st_mode), made.st_mtime_ns) == (0o600, 10**18)
    assert aecodec("compress", path, "-o", "new.aec", "--no-preserve").code == 0
    made = os.stat("new.aec")
    assert made.st_mtime_ns > 10**18
    assert stat.S_IMODE(made.st_mode) == stat.S_IMODE(path.parent.joinpath("secret.aec").stat().st_mode) | (
        0o666 & ~_umask() & 0o077)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_newer_formats(here):
    save("a.png", 64, 96)
    assert aecodec("compress", "a.png", "-q", 90).code == 0
    for quality in (20, 95):
        done = aecodec("decompress", "a.aec", "--format", "avif", "-q", quality, "--suffix", f"-{quality}")
        assert (done.code, done.err) == (0, "")
    assert Path("a-20.avif").stat().st_size < Path("a-95.avif").stat().st_size
    assert json.loads(aecodec("compare", "a.png", "a-95.avif", "--json").out)["psnr"] > 25


def test_what_is_no_picture(here):
    Path("a.pdf").write_bytes(b"%PDF-1.7\n")
    Path("a.svg").write_bytes(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    Path("a.mov").write_bytes(b"\0\0\0\x14ftypqt  ")
    Path("a.nef").write_bytes(b"MM\0*\0\0\0\x08")
    Path("empty.aec").write_bytes(b"")
    done = aecodec("compress", "a.pdf", "a.svg", "a.mov", "a.nef", "--keep-going")
    assert done.code == 1
    assert [word in line for word, line in zip(("PDF", "SVG", "video", "raw file"), done.err.splitlines(), strict=True)
            ] == [True] * 4
    for command in ("info", "decompress", "test"):
        done = aecodec(command, "empty.aec")
        assert (done.code, "empty.aec: the file is empty" in done.err) == (3, True)


def test_the_version_has_a_short_name(here):
    assert aecodec("-V").out.startswith("aecodec ")


def test_json_and_a_picture_do_not_share_standard_output(here):
    save("a.png")
    done = aecodec("compress", "a.png", "-o", "-", "--json")
    assert (done.code, done.out) == (2, "")
    done = subprocess.run([sys.executable, "-m", "aecodec", "compress", "a.png", "-o", "-"], capture_output=True,
                          check=True)
    assert container.read_file(done.stdout).header.width == 32
    with open("a.png", "rb") as stream:
        done = subprocess.run([sys.executable, "-m", "aecodec", "compress", "-", "-o", "a.aec"], stdin=stream,
                              capture_output=True, check=False)
    assert done.returncode == 0
    assert np.asarray(Image.open(io.BytesIO(Path("a.png").read_bytes()))).shape == (24, 32, 3)
