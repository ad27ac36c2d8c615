"""Every block of code in the page on latents is run, as a reader would run it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from helpers import make_photo

PAGE = Path(__file__).resolve().parents[2] / "codec" / "latents" / "README.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    Image.fromarray(make_photo(256, 320)).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_blocks_in_their_order(folder, aec):
    """Python in one program, and between its blocks the commands of the shell."""
    assert {kind for kind, _ in BLOCKS} == {"python", "sh"}
    names: dict[str, object] = {}
    for kind, text in BLOCKS:
        if kind == "python":
            exec(compile(text, str(PAGE), "exec"), names)
            continue
        for words in (shlex.split(line, comments=True) for line in text.splitlines() if line):
            done = aec(*words[1:])
            assert done.exit_code == 0, done.output
    for name in ("cut.aec", "photo.denoised.png", "photo.aec", "photo.inpainted.png"):
        assert (folder / name).exists()


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)", PAGE.read_text(encoding="utf-8")):
        assert target.startswith("http") or (PAGE.parent / target).exists(), target
