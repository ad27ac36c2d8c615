"""`aecodec embed`, `search`, `dedupe` and `anomaly`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers import make_photo


@pytest.fixture
def folder(codec, tmp_path, monkeypatch) -> Path:
    """Three photos, a mirrored copy of one of them, and what is no picture."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for seed in (1, 2):
        Image.fromarray(make_photo(128, 160, seed)).save(f"in/{seed}.png")
    Image.fromarray(make_photo(128, 160, 3)).save("in/3.png")
    Path("in/3.aec").write_bytes(codec.encode(make_photo(128, 160, 3)[:, ::-1].copy(), 80, lossless=False))
    Path("in/bad.png").write_bytes(b"no picture")
    return tmp_path


def test_copies_are_found_in_an_index(aec, folder):
    done = aec("embed", "in", "-r", "-o", "i.npz", "--json")
    assert done.exit_code == 1
    assert "bad.png is not a picture" in done.output
    told = json.loads(done.stdout)
    assert told["counts"]["done"] == 4
    done = aec("search", "in/3.png", "i.npz", "--json")
    assert done.exit_code == 0, done.output
    first, second = json.loads(done.stdout)["matches"][:2]
    assert (first["name"], first["mirrored"]) == (str(Path("in/3.png")), False)
    assert (second["name"], second["mirrored"]) == (str(Path("in/3.aec")), True)
    done = aec("search", "in/1.png", "i.npz", "-n", "2", "--least", "0.9")
    assert done.stdout.splitlines() == [f"1.000  {Path('in/1.png')}  (same)"]


def test_groups_are_listed_and_nothing_is_deleted(aec, folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = aec("dedupe", "in", "--threshold", "0.75", "--json")
    assert done.exit_code == 1  # a file could not be read
    told = json.loads(done.stdout)
    assert told["pictures"] == 4
    assert [str(Path("in/3.aec")), str(Path("in/3.png"))] in told["groups"]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    (folder / "in/link.png").symlink_to(folder / "in/1.png")
    done = aec("dedupe", "in/1.png", "in/2.png", "./in/../in/1.png", "in/link.png")  # one of them by three names
    assert done.stdout == "2 pictures, 0 groups of copies, 0 more than needed\n"


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (("embed", "in/1.png", "-o", "in/2.png"), 1, "call it"),
    (("embed", "in/1.png", "-o", "there.npz"), 1, "overwrite it with --force"),
    (("embed", "in/1.png", "-o", "-", "--json"), 2, "standard output"),
    (("search", "in/1.png", "absent.npz"), 1, "absent.npz does not exist"),
    (("search", "in/1.png", "there.npz"), 1, "there.npz: it is not an index"),
    (("search", "in/bad.png", "in"), 1, "is not a picture"),
    (("search", "in/1.png", "empty"), 1, "no pictures in empty"),
    (("dedupe", "empty"), 1, "no pictures in empty"),
    (("anomaly", "fit", "in/1.png", "-o", "m.npz"), 1, "name at least 2"),
    (("anomaly", "fit", "in/1.png", "-o", "m.png"), 1, "call it m.npz"),
    (("anomaly", "score", "in/1.png", "-m", "there.npz"), 1, "there.npz: it is not what"),
])
def test_what_is_wrong_is_said_in_a_line(aec, folder, arguments, code, words):
    (folder / "there.npz").write_bytes(b"something else")
    (folder / "empty").mkdir()
    done = aec(*arguments)
    assert done.exit_code == code, done.output
    assert words in done.stderr
    assert "Traceback" not in done.output
    assert (folder / "there.npz").read_bytes() == b"something else"


@pytest.mark.parametrize("cell", ["8", "16"])
def test_defects_are_scored_and_mapped(aec, folder, cell):
    side = 16 * int(cell)
    for name, count in (("good", 4), ("new", 2)):
        (folder / name).mkdir()
        for n in range(count):
            rng = np.random.default_rng([len(name), n])
            weave = 128 + 40 * np.sin(np.arange(side) / 2)[:, None] + rng.normal(0, 20, (side, side))
            if (name, n) == ("new", 1):
                weave[side // 4:side // 2, side // 2:3 * side // 4] = 128
            Image.fromarray(np.rint(weave).clip(0, 255).astype(np.uint8)).save(folder / name / f"{n}.png")
    done = aec("anomaly", "fit", "good", "-o", "m.npz", "--cell", cell)
    assert done.exit_code == 0, done.output
    done = aec("anomaly", "score", "new", "-m", "m.npz", "--map", "maps", "--json")
    assert done.exit_code == 0, done.output
    worst, other = json.loads(done.stdout)["pictures"]
    assert worst["file"] == str(Path("new/1.png"))
    assert worst["unusual"]
    assert other["score"] < worst["score"]
    shown = np.asarray(Image.open(worst["map"])).astype(int)
    assert shown.shape == (side, side, 3)
    red = shown[..., 0] - shown[..., 1]
    place = slice(side // 4, side // 2), slice(side // 2, 3 * side // 4)
    inside, everywhere = red[place].mean(), red.mean()  # the place is a sixteenth of all
    assert inside > 2 * (16 * everywhere - inside) / 15
    done = aec("anomaly", "score", "new", "-m", "m.npz", "--map", "maps")
    assert done.exit_code == 1
    assert "--force" in done.stderr
