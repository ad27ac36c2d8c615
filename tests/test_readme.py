"""Every block of code in the README is run, as a reader would run it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from PIL import Image

from helpers import make_photo

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
COMMAND = [sys.executable, "-m", "aecodec"]


def lines(block: str) -> list[list[str]]:
    """The commands of a block, in words, without what follows `#`."""
    return [words for line in block.splitlines() if (words := shlex.split(line, comments=True))]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with what the README's commands name."""
    (tmp_path / "photos").mkdir()
    for number, name in enumerate(("photo.png", "photos/a.png", "photos/b.jpg")):
        Image.fromarray(make_photo(192, 208, number)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(words: list[str]) -> None:
    done = subprocess.run([*COMMAND, *words[1:]], capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr}"


def test_there_are_blocks_of_both_kinds():
    assert {kind for kind, _ in BLOCKS} == {"sh", "python"}
    assert len(BLOCKS) >= 5


@pytest.mark.parametrize("block", [text for kind, text in BLOCKS if kind == "sh"], ids=lambda text: text.split("\n")[0])
def test_a_block_of_the_shell(block, folder):
    if "train" in block or "s3://" in block:
        if "train" in block:
            pytest.importorskip("torch")
        _parse(block)
        return
    if "photo.aec" in block and "compress photo.png\n" not in block:
        run(["aecodec", "compress", "photo.png"])
        if "compress photo.png -q" in block:
            (folder / "photo.aec").unlink()
    for words in lines(block):
        if words[0] == "aecodec":
            run(words)
        elif "&&" in words:  # the install, and what comes after it
            assert words[:words.index("&&")] == ["python3", "-m", "pip", "install", "."]
            run(words[words.index("&&") + 1:])
        else:
            assert words == ["tools/check"]
            assert (ROOT / words[0]).exists()


def _parse(block: str) -> None:
    """Commands that take hours, or a store, are read as the command line would read them: names, options, values."""
    from aecodec.command.main import main

    for words in lines(block):
        command = main.get_command(click.Context(main), words[1])
        assert command is not None, words[1]
        for name in {"photos/", "plateau/", "decay/", "test/", "my-model/"} & set(words):
            Path(name).mkdir(exist_ok=True)
        command.make_context(words[1], words[2:])


def test_the_blocks_of_python(folder, monkeypatch):
    """One after the other, in one program, as a reader would type them."""
    program = "\n".join(text for kind, text in BLOCKS if kind == "python")
    before = 'import aecodec\nopen("photo.aec", "wb").write(aecodec.encode("photo.png"))\n'
    done = subprocess.run([sys.executable, "-c", before + program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Image.open(folder / "copy.webp").size == (208, 192)


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)", TEXT):
        assert target.startswith("http") or (ROOT / target).exists(), target
