"""The base install: every command, the API, the Pillow plugin and the thumbnailer do their work without torch.

Where torch is installed, it is hidden from the processes that run here.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HIDE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "triton", "onnx"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name in ("torch", "triton", "onnx") else find(name, *more)
"""
INSTALL = "python3 -m pip install 'aecodec[torch]'"


@pytest.fixture(scope="module")
def without_torch(tmp_path_factory):
    """Run Python in a process without torch; gives it when it has ended."""
    folder = tmp_path_factory.mktemp("hidden")
    (folder / "sitecustomize.py").write_text(HIDE)
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

    def run(*arguments, where=folder) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, cwd=where,
                              env=environment, timeout=120, check=False)

    assert run("-c", "import torch").returncode == 1
    return run


@pytest.fixture
def aecodec_command(without_torch):
    return lambda *arguments: without_torch("-m", "aecodec", *arguments)


@pytest.fixture
def picture(photo, tmp_path) -> Path:
    path = tmp_path / "a.png"
    Image.fromarray(photo[:40, :60]).save(path)
    return path


@pytest.fixture
def coded(codec, photo, tmp_path) -> Path:
    path = tmp_path / "coded.aec"
    path.write_bytes(codec.encode(photo[:40, :60], 60))
    return path


def test_pictures_are_coded(aecodec_command, picture, codec, tmp_path):
    done = aecodec_command("compress", picture, "-q", "60")
    assert (done.returncode, done.stderr) == (0, "")
    data = (tmp_path / "a.aec").read_bytes()
    done = aecodec_command("decompress", tmp_path / "a.aec", "-o", tmp_path / "b.png")
    assert (done.returncode, done.stderr) == (0, "")
    difference = np.asarray(Image.open(tmp_path / "b.png")).astype(int) - codec.decode(data, output="array")
    assert np.abs(difference).max() <= 2  # bfloat16 may be on the other side


def test_targets_are_met(aecodec_command, picture, tmp_path):
    assert aecodec_command("compress", picture, "--target-size", "400", "--verify").returncode == 0
    assert (tmp_path / "a.aec").stat().st_size <= 400


@pytest.mark.parametrize("arguments", [["decompress", "--format", "jpg"], ["decompress", "--fit", "16", "--force"],
                                       ["info"], ["info", "--json"], ["test"]], ids=" ".join)
def test_files_are_read(aecodec_command, coded, arguments):
    done = aecodec_command(*arguments, coded)
    assert (done.returncode, done.stderr) == (0, "")


def test_pictures_are_compared(aecodec_command, picture, coded):
    done = aecodec_command("compare", picture, coded, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["psnr"] > 20


@pytest.mark.parametrize("arguments", [["models"], ["completion", "bash"], ["--help"], ["compress", "--help"],
                                       ["train", "--help"], ["export", "--help"]], ids=" ".join)
def test_what_is_told(aecodec_command, arguments):
    done = aecodec_command(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_the_version_says_how_to_get_torch(aecodec_command):
    done = aecodec_command("--version")
    assert done.returncode == 0
    assert "onnxruntime" in done.stdout
    assert INSTALL in done.stdout


@pytest.mark.parametrize("option", [["--engine", "torch"], ["--device", "cuda"], ["--device", "cuda:1"]], ids=" ".join)
def test_what_needs_torch_says_how_to_get_it(aecodec_command, picture, option):
    done = aecodec_command("compress", picture, *option)
    assert done.returncode == 1
    assert done.stderr.startswith("aecodec: ")
    assert INSTALL in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["train --data . --out x", "export x --out y --data .", "export x --graphs"])
def test_training_says_what_it_needs(aecodec_command, tmp_path, command):
    done = aecodec_command(*shlex.split(command))
    assert done.returncode == 1
    assert "python3 -m pip install 'aecodec[train]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_api(without_torch, picture):
    code = """
import pickle, sys
import numpy as np
import aecodec
from PIL import Image
import aecodec.pillow_plugin

data = aecodec.encode(sys.argv[1], 60)
picture = np.asarray(Image.open(sys.argv[1]))
assert np.abs(aecodec.decode(data, output="array").astype(int) - picture).mean() < 20
codec = pickle.loads(pickle.dumps(aecodec.Codec()))
assert (codec.engine, codec.device, codec.precision) == ("onnx", "cpu", "float32")
assert codec.render(codec.latents(data)).tobytes() == codec.decode(data).tobytes()
assert codec.encode_latents(codec.analyse(sys.argv[1], 60)) == codec.encode(sys.argv[1], 60)
Image.open(sys.argv[1]).save("b.aec", quality=60)
assert Image.open("b.aec").convert("RGB").tobytes() == aecodec.decode(data).tobytes()
for wanted in (lambda: codec.decode(data, output="tensor"), lambda: aecodec.Codec(engine="torch"),
               lambda: aecodec.Codec(precision="bfloat16"), lambda: aecodec.Codec(device="cuda")):
    try:
        wanted()
    except aecodec.MissingPackage as error:
        print(error)
print("torch" in sys.modules)
"""
    done = without_torch("-c", code, picture)
    assert done.stderr == ""
    *messages, torch = done.stdout.splitlines()
    assert len(messages) == 4
    assert all(INSTALL in message for message in messages)
    assert torch == "False"


def test_copies_are_found(aecodec_command, picture, coded):
    index = picture.with_suffix(".npz")
    done = aecodec_command("embed", picture, coded, "-o", index)
    assert (done.returncode, done.stderr) == (0, "")
    done = aecodec_command("search", picture, index, "-n", "1")
    assert done.stdout == f"1.000  {picture}  (same)\n"
