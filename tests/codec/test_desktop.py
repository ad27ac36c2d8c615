"""The files for desktops, with the programs that read them."""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from aecodec.command.main import main
from aecodec.format import container
from aecodec.jobs import loading

DESKTOP = Path(__file__).resolve().parents[2] / "tools" / "desktop"
TYPE = "image/x-aec"


@pytest.fixture
def coded(tmp_path) -> Path:
    """An .aec file without the ending: what it is must be told from its first bytes."""
    header = container.Header(300, 200, 37, 0xF000, b"hash", 0, 3, grey=True)
    path = tmp_path / "picture"
    path.write_bytes(container.write_file(container.AecFile(header, b"abc")))
    return path


def output_of(*command: object, **environment: str) -> str:
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"no program {command[0]}")
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True,
                          env={**os.environ, **environment})
    assert done.stderr == ""
    return done.stdout.strip()


def test_file_knows_the_format(coded, tmp_path):
    magic = DESKTOP / "aecodec.magic"
    assert output_of("file", "-b", "-m", magic, coded) == "AEC image data, version 0, grey, quality level 37 of 63"
    assert output_of("file", "-b", "--mime-type", "-m", magic, coded) == TYPE
    assert output_of("file", "-b", "--extension", "-m", magic, coded) == "aec"
    coded.write_bytes(coded.read_bytes()[:3] + b"X")
    assert output_of("file", "-b", "--mime-type", "-m", magic, coded) != TYPE


def test_xdg_mime_knows_the_format(coded, tmp_path):
    if shutil.which("gio") is None:
        pytest.skip("no program gio, which xdg-mime asks")
    data = tmp_path / "data"
    data.mkdir()
    environment = {"XDG_DATA_HOME": str(data), "HOME": str(tmp_path), "XDG_CURRENT_DESKTOP": "GNOME"}
    named = tmp_path / "named.aec"
    named.write_bytes(b"\0\1\2")
    assert output_of("xdg-mime", "query", "filetype", coded, **environment) != TYPE
    output_of("xdg-mime", "install", "--mode", "user", "--novendor", DESKTOP / "aecodec.xml", **environment)
    assert output_of("xdg-mime", "query", "filetype", coded, **environment) == TYPE  # by its signature
    assert output_of("xdg-mime", "query", "filetype", named, **environment) == TYPE  # by its ending
    output_of("xdg-mime", "uninstall", "--mode", "user", DESKTOP / "aecodec.xml", **environment)
    assert output_of("xdg-mime", "query", "filetype", coded, **environment) != TYPE


def test_the_thumbnailer_makes_thumbnails(codec, photo, tmp_path, monkeypatch):
    entry = configparser.ConfigParser(interpolation=None)
    entry.optionxform = str
    assert entry.read(DESKTOP / "aecodec.thumbnailer")
    section = entry["Thumbnailer Entry"]
    assert section["MimeType"] == f"{TYPE};"
    source, target = tmp_path / "a picture.aec", tmp_path / "thumbnail"  # desktops name it without an ending
    source.write_bytes(codec.encode(photo))
    target.write_bytes(b"")
    program, *arguments = shlex.split(section["Exec"])
    assert program == section["TryExec"] == "aecodec"
    values = {"%i": str(source), "%o": str(target), "%s": "64"}
    monkeypatch.setattr(loading, "load_codec", lambda *_: codec)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # the command lifts it for its process
    done = CliRunner().invoke(main, [values.get(argument, argument) for argument in arguments])
    assert (done.exit_code, done.output) == (0, "")
    with Image.open(target) as image:
        assert (image.format, image.size) == ("PNG", (64, 43))
        want = np.asarray(Image.fromarray(photo).resize(image.size), np.int16)
        assert np.abs(np.asarray(image) - want).mean() < 15


def test_the_type_is_the_one_of_the_plugin():
    from aecodec import pillow_plugin

    assert pillow_plugin.MIME == TYPE
    assert f'type="{TYPE}"' in (DESKTOP / "aecodec.xml").read_text()
    assert f"*{pillow_plugin.ENDING}" in (DESKTOP / "aecodec.xml").read_text()
