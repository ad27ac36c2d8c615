"""Files that cannot be written or read to the end: one clear line, and the file that was there is there as it was."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

import aecodec
from aecodec import files
from aecodec.command.main import main

NOBODY = 65534
OLD, NEW = b"precious", b"x" * 100_000
COMMAND = [sys.executable, "-m", "aecodec"]

full_device = pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no /dev/full here")
no_root = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="folders are not closed by permissions here")


@pytest.fixture
def old(tmp_path) -> Path:
    """A file to overwrite, alone in its folder."""
    path = tmp_path / "folder" / "old.aec"
    path.parent.mkdir()
    path.write_bytes(OLD)
    return path


@pytest.fixture
def picture(photo, tmp_path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(photo[:40, :60]).save(path)
    return path


@pytest.fixture(scope="module")
def data(codec, photo) -> bytes:
    return codec.encode(photo[:16, :24], 50)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder below folders that anyone may enter."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, which opens everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def write_new(file: io.BufferedIOBase) -> None:
    file.write(NEW)


def assert_untouched(path: Path) -> None:
    assert path.read_bytes() == OLD
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def assert_one_line(code: int, said: str, *words: str) -> None:
    assert code == 1, said
    assert len(said.splitlines()) == 1, said
    assert said.startswith("aecodec: ")
    for word in words:
        assert word in said


def python(code: str, *arguments: object, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], stderr=subprocess.PIPE, text=True,
                          check=False, timeout=300, **more)


# -- disks that are full ------------------------------------------------------------------------------------------


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
from aecodec.command.main import main
main(sys.argv[1:], prog_name="aecodec")
"""


def test_compress_beyond_what_the_disk_takes(old, picture):
    """In a process of its own, which may write no file above 100 bytes."""
    pytest.importorskip("resource")
    done = python(LIMITED, "compress", picture, "-o", old, "--force", "--threads", 1, stdout=subprocess.DEVNULL)
    assert_one_line(done.returncode, done.stderr, "old.aec", "cannot be written")
    assert_untouched(old)


@full_device
def test_a_full_standard_output(picture):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*COMMAND, "compress", str(picture), "-o", "-", "--threads", "1"], stdout=full,
                              stderr=subprocess.PIPE, text=True, check=False)
    assert_one_line(done.returncode, done.stderr, "standard output", os.strerror(errno.ENOSPC))


@full_device
@pytest.mark.parametrize("arguments", [["models"], ["--help"], ["compress", "--help"], ["--version"]], ids=" ".join)
def test_messages_that_find_no_room(arguments):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert_one_line(done.returncode, done.stderr, os.strerror(errno.ENOSPC))


@pytest.mark.skipif(os.name != "posix", reason="no pipes that break")
def test_a_pipe_that_nobody_reads():
    """As with other commands before `head`: it ends, and is not told off."""
    code = ("import click\nfrom aecodec import files\n"
            "click.command()(lambda: files.write_file(files.STANDARD, lambda f: f.write(bytes(10**6))))()")
    ours, theirs = os.pipe()
    os.close(ours)
    done = python(code, stdout=theirs)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (1, "")


@full_device
def test_a_full_device(aec, picture):
    with pytest.raises(aecodec.AecError, match="/dev/full cannot be written"):
        files.write_file(Path("/dev/full"), write_new)
    done = aec("compress", picture, "-o", "/dev/full")
    assert_one_line(done.exit_code, done.stderr, "/dev/full", os.strerror(errno.ENOSPC))
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("call", ["fsync", "chmod", "replace"])
def test_whatever_step_fails_the_old_file_stays(old, monkeypatch, call):
    def failing(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(aecodec.AecError, match=r"old.aec cannot be written: Input/output error"):
        files.write_file(old, write_new)
    assert_untouched(old)


@pytest.mark.parametrize("error", [MemoryError, ValueError, KeyboardInterrupt, aecodec.CorruptFile])
def test_an_error_that_is_not_of_the_disk_passes(old, error):
    def failing(file: io.BufferedIOBase) -> None:
        file.write(NEW)
        raise error

    for check in (None, lambda _: pytest.fail("it was not written")):
        with pytest.raises(error):
            files.write_file(old, failing, check=check)
        assert_untouched(old)


# -- folders ------------------------------------------------------------------------------------------------------


@no_root
def test_a_folder_that_is_closed_for_writing(aec, open_folder, data):
    """Neither a new file nor an old one: that, too, would have to be made anew beside itself."""
    folder = open_folder / "closed"
    folder.mkdir()
    old, coded = folder / "old.png", open_folder / "coded.aec"
    old.write_bytes(OLD)
    coded.write_bytes(data)
    folder.chmod(0o555)
    for target in (old, folder / "new.png"):
        with as_nobody():
            done = aec("decompress", coded, "-o", target, "--force")
        assert_one_line(done.exit_code, done.stderr, target.name, os.strerror(errno.EACCES))
    assert_untouched(old)
    folder.chmod(0o755)


@no_root
def test_a_file_and_a_folder_that_are_closed_for_reading(open_folder):
    folder = open_folder / "closed"
    folder.mkdir()
    hidden = folder / "hidden.aec"
    hidden.write_bytes(OLD)
    hidden.chmod(0)
    for mode in (0o755, 0):  # the file is closed; its folder is
        folder.chmod(mode)
        with as_nobody(), pytest.raises(aecodec.AecError, match=rf"cannot be read: {os.strerror(errno.EACCES)}"):
            files.read_bytes(hidden)
    with as_nobody(), pytest.raises(aecodec.AecError, match=r"hidden\.aec"):
        files.check_output(hidden / "x.aec", force=False)
    with as_nobody(), pytest.raises(aecodec.AecError, match="cannot be written"):
        files.write_file(hidden, write_new)
    folder.chmod(0o755)
    hidden.chmod(0o644)
    assert_untouched(hidden)


def test_a_folder_that_goes_while_the_file_is_written(tmp_path):
    folder = tmp_path / "folder"

    def removing(file: io.BufferedIOBase) -> None:
        file.write(NEW)
        shutil.rmtree(folder)

    for path in (folder / "a.aec", folder / "deep" / "a.aec"):
        path.parent.mkdir(parents=True)
        with pytest.raises(aecodec.AecError, match=r"a\.aec cannot be written"):
            files.write_file(path, removing)
        assert list(tmp_path.iterdir()) == []


def test_a_folder_that_goes_while_the_picture_is_coded(aec, codec, tmp_path, data, monkeypatch):
    folder, coded = tmp_path / "out", tmp_path / "coded.aec"
    coded.write_bytes(data)
    real = codec.decode_file

    def decode(*arguments, **options):
        shutil.rmtree(folder)
        return real(*arguments, **options)

    monkeypatch.setattr(codec, "decode_file", decode)
    done = aec("decompress", coded, "--output-dir", folder)
    assert_one_line(done.exit_code, done.stderr, "coded.aec.png", "cannot be written")
    assert [p.name for p in tmp_path.iterdir()] == ["coded.aec"]


def test_a_folder_that_takes_the_name_meanwhile(tmp_path):
    path = tmp_path / "a.aec"

    def naming(file: io.BufferedIOBase) -> None:
        file.write(NEW)
        path.mkdir()

    with pytest.raises(aecodec.AecError, match=r"a\.aec cannot be written"):
        files.write_file(path, naming)
    assert [p.name for p in tmp_path.iterdir()] == ["a.aec"]
    assert path.is_dir()


# -- inputs that go -----------------------------------------------------------------------------------------------


def test_an_input_that_goes_after_it_was_listed(aec, picture, tmp_path):
    """A link to nothing is listed like a file; the other pictures are done."""
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing.png")
    done = aec("compress", "-r", tmp_path, "--output-dir", tmp_path / "out", "--keep-going")
    assert_one_line(done.exit_code, done.stderr, "gone.png", "does not exist")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["photo.aec"]


def test_an_input_that_goes_after_it_was_read_does_no_harm(aec, codec, picture, monkeypatch):
    """Only its times cannot be had any more; what was made of it is not thrown away."""
    real = codec.encode_picture

    def encode(*arguments, **options):
        picture.unlink()
        return real(*arguments, **options)

    monkeypatch.setattr(codec, "encode_picture", encode)
    done = aec("compress", picture)
    assert (done.exit_code, done.stderr) == (0, "")
    assert [p.name for p in picture.parent.iterdir()] == ["photo.aec"]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file that opens but cannot be read")
def test_an_input_that_fails_while_it_is_read(aec):
    done = CliRunner().invoke(main, ["info", "/proc/self/mem"])
    assert_one_line(done.exit_code, done.stderr, "/proc/self/mem", "cannot be read")


@pytest.mark.skipif(os.name != "posix", reason="no shell that closes streams")
@pytest.mark.parametrize(("line", "words"), [
    ("info - <&-", "standard input is closed"),
    ("compress photo.png -o - >&-", "standard output is closed"),
])
def test_standard_streams_that_are_closed(picture, line, words):
    done = subprocess.run(f'"{sys.executable}" -m aecodec {line}', shell=True, cwd=picture.parent, text=True,
                          stderr=subprocess.PIPE, check=False)
    assert_one_line(done.returncode, done.stderr, words)


# -- processes that end -------------------------------------------------------------------------------------------


BLOCKED = """
import sys, time
from pathlib import Path
from aecodec import files

def write(file):
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(600)

files.write_file(Path(sys.argv[1]), write)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no signal that cannot be caught")
def test_a_process_that_is_killed_while_it_writes(old):
    """What it leaves is a hidden file beside the old one, which is whole; the next writing is not disturbed."""
    with subprocess.Popen([sys.executable, "-c", BLOCKED, str(old)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert old.read_bytes() == OLD
    left = [p.name for p in old.parent.iterdir() if p != old]
    assert len(left) == 1
    assert left[0].startswith(".old.aec.")
    assert left[0].endswith(".tmp")
    files.write_file(old, write_new)
    assert old.read_bytes() == NEW


@pytest.mark.skipif(os.name != "posix", reason="open files are not replaced here")
def test_several_at_once_give_one_whole_file(old):
    """And whoever reads meanwhile sees a whole file, the old or a new one."""
    contents = [bytes([65 + number]) * 50_000 for number in range(8)]
    start, seen, failures = threading.Barrier(9), set(), []

    def work(content: bytes) -> Callable[[], None]:
        def run() -> None:
            start.wait()
            try:
                for _ in range(5):
                    files.write_file(old, lambda file: file.write(content))
            except Exception as error:
                failures.append(error)
        return run

    workers = [threading.Thread(target=work(content)) for content in contents]
    for worker in workers:
        worker.start()
    start.wait()
    while any(worker.is_alive() for worker in workers):
        seen.add(old.read_bytes())
    for worker in workers:
        worker.join()
    assert failures == []
    assert seen <= {OLD, *contents}
    assert old.read_bytes() in contents
    assert [p.name for p in old.parent.iterdir()] == ["old.aec"]


# -- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a" * 251 + ".aec", "\u00e4" * 125 + ".aec", "\U0001f4f7" * 62 + ".aec"],
                         ids=["1 byte", "2 bytes", "4 bytes"])
def test_the_longest_names_are_written(tmp_path, name):
    """255 bytes, or nearly: the temporary file beside it has a shorter name."""
    path = tmp_path / name
    try:
        path.touch()
        path.unlink()
    except OSError:
        pytest.skip("the file system takes no such names")
    files.write_file(path, write_new)
    assert path.read_bytes() == NEW


def test_names_that_are_too_long_are_told_of(tmp_path):
    path = tmp_path / ("a" * 300 + ".aec")
    files.check_output(path, force=False)
    with pytest.raises(aecodec.AecError, match="cannot be written"):
        files.write_file(path, write_new)
    with pytest.raises(aecodec.AecError, match="cannot be read"):
        files.read_bytes(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="names are text here")
def test_a_name_that_is_not_text_can_be_printed(tmp_path, data):
    path = tmp_path / os.fsdecode(b"\xff\xfe.aec")
    path.write_bytes(data)
    assert files.shown(path).encode()
    assert files.shown(tmp_path / "\u00e4.aec") == f"{tmp_path}/\u00e4.aec"
    done = subprocess.run([*COMMAND, "info", path], capture_output=True, check=False,
                          env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert b".aec" in done.stdout.splitlines()[0]
