"""The command line on many files, pipes, folders and terminals; and its smaller commands."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import aecodec
from aecodec import files
from aecodec.command.main import main
from aecodec.command.options import Size
from aecodec.engine.choice import has_torch
from aecodec.format import container
from aecodec.jobs import loading, sources

COMMAND = [sys.executable, "-m", "aecodec"]


@pytest.fixture
def pictures(photo, tmp_path) -> list[Path]:
    """Four small pictures in a folder, its folder `sub`, and that one's."""
    folder = tmp_path / "photos"
    (folder / "sub" / "deep").mkdir(parents=True)
    paths = [folder / "a.png", folder / "b.jpg", folder / "sub" / "c.webp", folder / "sub" / "deep" / "d.png"]
    for number, path in enumerate(paths):
        Image.fromarray(photo[number:number + 16, :24]).save(path)
    return paths


def size_of(path: Path) -> tuple[int, int]:
    header = container.read_file(path.read_bytes(), None).header
    return header.width, header.height


# -- many files ---------------------------------------------------------------------------------------------------


def test_two_hundred_files_of_which_one_is_broken(aec, photo, tmp_path):
    paths = [tmp_path / f"{number:03d}.png" for number in range(200)]
    for number, path in enumerate(paths):
        Image.fromarray(photo[number % 50:number % 50 + 8, number // 50:number // 50 + 8]).save(path)
    paths[117].write_bytes(paths[117].read_bytes()[:60])
    done = aec("compress", *paths, "--output-dir", tmp_path / "out", "--keep-going")
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1
    assert "117.png" in done.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [p.stem + ".aec" for p in paths if p != paths[117]]
    assert "199 files compressed, 1 failed" in done.stdout


def test_without_keep_going_the_first_failure_ends_it(aec, pictures):
    pictures[1].write_bytes(b"nothing")
    done = aec("compress", *pictures, "--jobs", 1)
    assert done.exit_code == 1
    assert [path.with_suffix(".aec").exists() for path in pictures] == [True, False, False, False]
    assert "1 file compressed, 1 failed, 2 not begun (see --keep-going)" in done.stdout


def test_the_model_is_loaded_once(codec, monkeypatch, pictures):
    loaded = []
    monkeypatch.setattr(loading, "load_codec", lambda *arguments: loaded.append(arguments) or codec)
    done = CliRunner().invoke(main, ["compress", *map(str, pictures), "--jobs", "4", "--threads", "1"])
    assert (done.exit_code, len(loaded)) == (0, 1)


def test_jobs_do_not_change_the_files(aec, pictures, tmp_path):
    for jobs in (1, 3):
        assert aec("compress", *pictures, "--output-dir", tmp_path / str(jobs), "--jobs", jobs).exit_code == 0
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "3" / path.name).read_bytes()


def test_folders_are_mirrored(aec, pictures, tmp_path):
    folder, out, back = tmp_path / "photos", tmp_path / "out", tmp_path / "back"
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    done = aec("compress", "--recursive", folder, "--output-dir", out)
    assert done.exit_code == 0, done.stderr
    made = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
    assert made == ["a.aec", "b.aec", "sub/c.aec", "sub/deep/d.aec"]
    assert aec("decompress", "-r", out, "--output-dir", back, "--format", "webp").exit_code == 0
    assert sorted(str(p.relative_to(back)) for p in back.rglob("*.webp")) == [f"{name}.webp" for name in made]
    # Beside their inputs, without --output-dir; and .aec files are no pictures to compress.
    assert aec("compress", "-r", folder).exit_code == 0
    assert pictures[3].with_suffix(".aec").read_bytes() == (out / "sub/deep/d.aec").read_bytes()
    assert "4 files" in aec("compress", "-r", folder, "--force").stdout


def test_a_folder_needs_recursive_and_pictures(aec, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "--recursive" in aec("compress", tmp_path / "empty").stderr
    done = aec("compress", "-r", tmp_path / "empty")
    assert (done.exit_code, done.stderr) == (1, "aecodec: there are no pictures in these folders\n")


def test_two_inputs_never_share_an_output(aec, pictures):
    twin = pictures[0].with_suffix(".bmp")
    Image.new("RGB", (9, 9)).save(twin)
    done = aec("compress", pictures[0], twin, "--keep-going", "--force")
    assert done.exit_code == 1
    assert str(pictures[0]) in done.stderr
    assert str(twin) in done.stderr
    assert not pictures[0].with_suffix(".aec").exists()
    assert "0 files compressed, 2 failed" in done.stdout


@pytest.mark.parametrize(("options", "words"), [
    (["-o", "x.aec"], "--output-dir"), (["-o", "x.aec", "--output-dir", "y"], "exclude"),
    (["-q", "5", "--target-size", "1k"], "exclude"), (["--target-size", "0"], "size"),
    (["--target-size", "many"], "200k"),
    (["--jobs", "0"], "--jobs"), (["-q", "101"], "--quality"), (["--target-bpp", "0"], "--target-bpp"),
])
def test_wrong_usage(aec, pictures, options, words):
    done = aec("compress", *pictures, *options)
    assert done.exit_code == 2
    assert words in done.stderr
    assert not list(pictures[0].parent.rglob("*.aec"))


def test_existing_outputs_are_told_of_before_anything_is_done(aec, pictures, monkeypatch):
    monkeypatch.setattr(sources, "read_picture", lambda *_: pytest.fail("the input was decoded"))
    for path in pictures:
        path.with_suffix(".aec").write_bytes(b"mine")
    done = aec("compress", *pictures, "--keep-going")
    assert (done.exit_code, done.stderr.count("--force")) == (1, 4)
    assert pictures[0].with_suffix(".aec").read_bytes() == b"mine"


def test_a_picture_with_the_wrong_ending_is_not_overwritten(aec, pictures):
    path = pictures[0].rename(pictures[0].with_suffix(".aec"))
    before = path.read_bytes()
    done = aec("compress", path)
    assert done.exit_code == 1
    assert "is the input itself" in done.stderr
    assert aec("compress", path, "--force").exit_code == 1
    assert path.read_bytes() == before


def test_file_times_are_kept(aec, pictures, tmp_path):
    os.utime(pictures[0], ns=(10**18 + 1, 10**18 + 2))
    coded, back = tmp_path / "a.aec", tmp_path / "back.png"
    assert aec("compress", pictures[0], "-o", coded).exit_code == 0
    assert aec("decompress", coded, "-o", back).exit_code == 0
    assert coded.stat().st_mtime_ns == back.stat().st_mtime_ns == 10**18 + 2


def test_what_is_noted_of_many_is_said_once(aec, pictures):
    for path in pictures[:1] + pictures[2:]:
        with Image.open(path) as image:
            chunks = PngInfo()
            chunks.add_text("Comment", "hello")
            image.convert("RGB").save(path, "PNG", pnginfo=chunks)
    done = aec("compress", *pictures)
    assert done.stderr == f"aecodec: {pictures[0]} and 2 more: not kept: text (Comment)\n"
    assert len(aec("compress", *pictures, "-f", "-v").stderr.split("not kept: text (Comment)\n")) == 4
    assert [bool(file["notes"]) for file in json.loads(aec("compress", *pictures, "-f", "--json").stdout)["files"]] == [
        True, False, True, True]


# -- targets and checks -------------------------------------------------------------------------------------------


def test_targets(aec, photo, tmp_path):
    path, out = tmp_path / "photo.png", tmp_path / "photo.aec"
    Image.fromarray(photo[:64, :96]).save(path)
    done = aec("compress", path, "--target-size", "0.6k")
    assert "encodes" in done.stdout
    assert 0.94 * 600 <= out.stat().st_size <= 600
    assert aec("compress", path, "--target-bpp", "0.8", "--force").exit_code == 0
    assert 0.94 * 0.8 * 768 <= out.stat().st_size <= 0.8 * 768
    assert " dB" in aec("compress", path, "--target-psnr", "25", "--force").stdout
    shown = json.loads(aec("compare", path, out, "--json").stdout)
    assert shown["psnr"] >= 25
    out.unlink()
    done = aec("compress", path, "--target-size", "20")
    assert done.exit_code == 1
    assert re.search(r"photo.png: .*the smallest file has \d+\n", done.stderr)
    assert not out.exists()


@pytest.mark.parametrize(("text", "size"), [("200000", 200_000), ("200k", 200_000), ("1.5M", 1_500_000),
                                            ("64Ki", 65_536), ("2kB", 2_000), ("1KiB", 1_024)])
def test_sizes(text, size):
    assert Size().convert(text, None, None) == size


def test_verify_says_what_it_found(aec, pictures, monkeypatch):
    done = aec("compress", pictures[0], "--verify")
    assert re.search(r"verified \(\d+\.\d\d dB\)", done.stdout)
    out = pictures[0].with_suffix(".aec")
    out.unlink()
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: real(self) + (b"?" if self.suffix == ".tmp" else b""))
    done = aec("compress", pictures[0], "--verify")
    assert done.exit_code == 1
    assert "check the disk" in done.stderr
    assert not out.exists()
    assert sorted(p.name for p in out.parent.iterdir()) == ["a.png", "b.jpg", "sub"]


def test_verify_finds_a_file_that_holds_something_else(aec, pictures, codec, monkeypatch):
    other = codec.encode(np.zeros((16, 24), np.uint8))
    monkeypatch.setattr(type(codec), "encode_picture", lambda *_, **__: other)
    done = aec("compress", pictures[0], "--verify")
    assert (done.exit_code, "report" in done.stderr) == (1, True)


def test_test_tells_whole_files_from_others(aec, pictures, tmp_path):
    assert aec("compress", *pictures, "--output-dir", tmp_path / "out").exit_code == 0
    whole = sorted((tmp_path / "out").iterdir())
    done = aec("test", *whole)
    assert done.exit_code == 0
    *lines, last = done.stdout.splitlines()
    assert lines == [f"{path}: whole, 24x16 RGB" for path in whole]
    assert last.startswith("4 files whole, ")
    damaged, newer = tmp_path / "damaged.aec", tmp_path / "newer.aec"
    damaged.write_bytes(whole[0].read_bytes()[:-3])
    newer.write_bytes(whole[0].read_bytes()[:4] + b"\x7f" + whole[0].read_bytes()[5:])
    assert aec("test", damaged, *whole).exit_code == 3
    assert aec("test", *whole, newer).exit_code == 4
    done = aec("test", damaged, newer, "--quiet", whole[0])
    assert done.exit_code == 1
    assert (len(done.stderr.splitlines()), done.stdout) == (2, "")
    before = sorted(tmp_path.rglob("*"))
    assert "whole" in aec("test", "-r", tmp_path / "out").stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_compare(aec, photo, tmp_path):
    Image.fromarray(photo).save(tmp_path / "a.png")
    Image.fromarray(photo).save(tmp_path / "b.jpg")
    assert aec("compress", tmp_path / "a.png").exit_code == 0
    done = aec("compare", tmp_path / "a.png", tmp_path / "a.aec")
    assert re.search(r"300x200, PSNR \d\d\.\d\d dB, MS-SSIM 0\.\d{5}\n", done.stdout)
    assert "bits per pixel" in done.stdout
    assert "the same pixels" in aec("compare", tmp_path / "a.png", tmp_path / "a.png").stdout
    shown = json.loads(aec("compare", tmp_path / "a.png", tmp_path / "b.jpg", "--json").stdout)
    assert shown["bytes"] == [path.stat().st_size for path in (tmp_path / "a.png", tmp_path / "b.jpg")]
    Image.fromarray(photo[:50]).save(tmp_path / "c.png")
    assert "300x50" in aec("compare", tmp_path / "a.png", tmp_path / "c.png").stderr


def test_a_large_picture_is_warned_of_once_and_kindly(aec, pictures, monkeypatch):
    monkeypatch.setattr(container, "WARN_PIXELS", 100)
    done = aec("compress", pictures[0])
    assert done.exit_code == 0
    assert done.stderr == ("aecodec: warning: 24x16 is 0 megapixels: a large picture, which takes a while and "
                                   "much memory\n")


def test_standard_input_is_not_overwritten(pictures):
    before = pictures[0].read_bytes()
    with open(pictures[0], "rb") as stream:
        done = subprocess.run([*COMMAND, "compress", "-", "-o", str(pictures[0].rename(pictures[0].with_suffix(".x"))),
                               "--force"], stdin=stream, capture_output=True, text=True, check=False)
    assert (done.returncode, "is the input itself" in done.stderr) == (1, True)
    assert pictures[0].with_suffix(".x").read_bytes() == before


def test_warnings_of_pillow_are_one_line(aec, tmp_path, monkeypatch):
    def warn(*_):
        import warnings

        warnings.warn("something odd", UserWarning, stacklevel=1)
        raise aecodec.AecError("no more")

    monkeypatch.setattr(sources, "read_picture", warn)
    (tmp_path / "a.png").write_bytes(b"x")
    assert aec("compress", tmp_path / "a.png").stderr == "aecodec: warning: something odd\naecodec: no more\n"


def test_running_out_of_memory_is_one_line(aec, pictures, monkeypatch):
    for error in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
                  RuntimeError("CUDA out of memory. Tried")):
        def fail(*_, error=error):
            raise error

        monkeypatch.setattr(sources, "read_picture", fail)
        done = aec("compress", pictures[0])
        assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
        assert "not enough memory" in done.stderr


# -- pipes and terminals --------------------------------------------------------------------------------------------


def test_a_pipe(photo, tmp_path):
    Image.fromarray(photo[:40, :60]).save(tmp_path / "photo.jpg")
    line = " ".join(COMMAND)
    done = subprocess.run(f"cat photo.jpg | {line} compress - -o - | {line} decompress - -o - > out.png", shell=True,
                          cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    with Image.open(tmp_path / "out.png") as image:
        assert (image.format, image.size) == ("PNG", (60, 40))


def test_standard_input_and_output(aec, pictures, tmp_path):
    piped = aec("compress", "-", input=pictures[0].read_bytes())
    assert aec("compress", pictures[0], "-o", tmp_path / "a.aec").exit_code == 0
    assert piped.stdout_bytes == (tmp_path / "a.aec").read_bytes()
    shown = aec("decompress", "-", "--format", "jpg", input=piped.stdout_bytes)
    assert Image.open(io.BytesIO(shown.stdout_bytes)).format == "JPEG"
    assert "standard input" in aec("info", "-", input=piped.stdout_bytes).stdout
    assert aec("test", "-", input=piped.stdout_bytes).stdout == "standard input: whole, 24x16 RGB\n"
    assert "standard input" in aec("compress", "-", input=b"nothing").stderr
    assert aec("compress", "-", "--output-dir", tmp_path, input=b"").exit_code == 2


def test_no_binary_data_to_or_from_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    with pytest.raises(aecodec.AecError, match="redirect it"):
        files.check_output(files.STANDARD, force=True)
    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(aecodec.AecError, match="pipe a file"):
        files.read_bytes(files.STANDARD)


def test_a_device_is_written_to_and_a_link_followed(tmp_path):
    files.write_file(Path(os.devnull), lambda file: file.write(b"x"))
    assert Path(os.devnull).is_char_device()
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    files.write_file(link, lambda file: file.write(b"new"))
    assert link.is_symlink()
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"new", 0o640)


def run_with_terminal(arguments: list[str], cwd: Path) -> tuple[bytes, bytes, int]:
    """Standard output, what a terminal on standard error got, and the exit code."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([*COMMAND, *arguments], cwd=cwd, stdout=subprocess.PIPE, stderr=theirs,
                          env={**os.environ, "TERM": "xterm", "COLUMNS": "80"}) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                data = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            shown += data
        assert process.stdout is not None
        printed = process.stdout.read()
    os.close(ours)
    return printed, shown, process.returncode


def test_a_progress_bar_on_a_terminal_alone(pictures, tmp_path):
    arguments = ["compress", *map(str, pictures), "--output-dir", str(tmp_path / "out"), "-v"]
    printed, shown, code = run_with_terminal(arguments, tmp_path)
    assert code == 0
    assert b"4/4" in shown
    assert b"\x1b" not in printed
    assert len(printed.splitlines()) == 5  # a line per file, and the summary


def test_ctrl_c_leaves_no_partial_file(photo, tmp_path):
    for number in range(300):
        Image.fromarray(photo[number % 100:number % 100 + 96, :200]).save(tmp_path / f"{number:03d}.png")
    out = tmp_path / "out"
    with subprocess.Popen([*COMMAND, "compress", "-r", str(tmp_path), "--output-dir", str(out), "--jobs", "3"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 60
        while not list(out.glob("*.aec")) and time.monotonic() < until and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "aecodec: interrupted\n"
    made = list(out.iterdir())
    assert 0 < len(made) < 300
    assert all(path.suffix == ".aec" and size_of(path) == (200, 96) for path in made)


def test_an_interrupt_while_writing_leaves_nothing(tmp_path):
    path = tmp_path / "a.aec"

    def interrupted(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.write_file(path, interrupted)
    assert list(tmp_path.iterdir()) == []


# -- quiet, verbose, and the smaller commands -----------------------------------------------------------------------


def test_quiet_and_verbose(aec, pictures):
    done = aec("compress", pictures[0], "--quiet")
    assert (done.stdout, done.stderr) == ("", "")
    done = aec("compress", *pictures[1:], "-v")
    assert all(f"{path.with_suffix('.aec')}: " in done.stdout for path in pictures[1:])
    assert "analysis" in done.stderr
    assert "level 32" in done.stderr


def test_fit_scales_down(aec, pictures, tmp_path):
    assert aec("compress", pictures[0], "-o", tmp_path / "a.aec").exit_code == 0
    assert aec("decompress", tmp_path / "a.aec", "--fit", 12, "-o", tmp_path / "small.png").exit_code == 0
    assert Image.open(tmp_path / "small.png").size == (12, 8)


def test_what_a_format_cannot_hold_is_said(aec, photo, tmp_path):
    image = Image.fromarray(photo[:16, :16])
    image.putalpha(Image.fromarray(photo[:16, :16, 0]))
    image.save(tmp_path / "a.png")
    assert aec("compress", tmp_path / "a.png").exit_code == 0
    assert json.loads(aec("info", tmp_path / "a.aec", "--json").stdout)["mode"] == "RGBA"
    done = aec("decompress", tmp_path / "a.aec", "-o", tmp_path / "a.jpg")
    assert (done.exit_code, "no transparency" in done.stderr) == (0, True)


def test_models(aec, codec):
    done = aec("models")
    assert done.exit_code == 0
    assert codec.model.name in done.stdout
    assert str(codec.model.path.stat().st_size) in done.stdout.replace(",", "")


def test_version_names_what_matters(aec, codec):
    done = aec("--version")
    for word in (aecodec.__version__, importlib.metadata.version("onnxruntime"), codec.model.name):
        assert word in done.stdout
    if has_torch():
        assert importlib.metadata.version("torch") in done.stdout
        assert "device" in done.stdout
    else:
        assert "pip install 'aecodec[torch]'" in done.stdout


@pytest.mark.parametrize(("shell", "word"), [("bash", "complete"), ("zsh", "compdef"), ("fish", "complete")])
def test_completion(aec, shell, word):
    done = aec("completion", shell)
    assert word in done.stdout
    assert "_AECODEC_COMPLETE" in done.stdout


def test_completion_knows_the_commands(monkeypatch):
    monkeypatch.setenv("COMP_WORDS", "aecodec comp")
    monkeypatch.setenv("COMP_CWORD", "1")
    monkeypatch.setenv("_AECODEC_COMPLETE", "bash_complete")
    done = CliRunner().invoke(main, [], prog_name="aecodec")
    assert sorted(done.stdout.split()) == ["plain,compare", "plain,completion", "plain,compress"]


@pytest.mark.parametrize(("command", "most"), [
    ([], 28), (["compress"], 36), (["decompress"], 36), (["info"], 24), (["test"], 24), (["compare"], 24),
    (["models"], 24), (["completion"], 24)])
def test_help_fits_a_screen(command, most):
    done = CliRunner().invoke(main, [*command, "--help"], terminal_width=80)
    lines = done.stdout.splitlines()
    assert len(lines) <= most
    assert max(map(len, lines)) <= 80


def test_quick_commands_import_nothing_slow(aec, pictures):
    assert aec("compress", pictures[0]).exit_code == 0
    code = ("import sys\nfrom aecodec.command.main import main\n"
            "try: main(sys.argv[1:])\n"
            "finally: assert not {'torch', 'numpy', 'PIL', 'rich'} & set(sys.modules)")
    for arguments in (["--help"], ["compress", "--help"], ["info", str(pictures[0].with_suffix(".aec"))]):
        subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
