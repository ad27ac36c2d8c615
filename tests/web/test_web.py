"""The decoder for browsers and Node (codec/web), by its own tests: in Node, and in Chromium where that is installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec import models
from aecodec.format import constants, container, vectors

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "codec" / "web"
LEAST_NODE = (20, 16)


def node_version() -> tuple[int, ...]:
    """The leading and the second number of Node's version; nothing without Node."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return ()
    shown = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in shown.lstrip("v").split(".")[:2])


needs_node = pytest.mark.skipif(node_version() < LEAST_NODE,
                                reason=f"no Node from {'.'.join(map(str, LEAST_NODE))} on, with npm")


def run(*command: str, **environment: str) -> str:
    """What a command says, in the package's folder; fails with all of that if the command does."""
    done = subprocess.run(command, cwd=WEB, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
                          env={**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", **environment})
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder of files for the package's tests: test vectors of the reference decoder, and lossless files."""
    folder = tmp_path_factory.mktemp("made")
    tensors = models.load(models.find()).tensors
    golden = ROOT / "tests" / "golden" / "v0"
    files = {name: (golden / f"{name}.aec").read_bytes() for name in ("small-tall", "small-grey", "small-alpha")}
    # Wider than any tile of the web decoder, and of an odd size in latents.
    rng = np.random.default_rng(0)
    wide = np.add.outer(np.arange(37) * 3, np.arange(2150) // 9)[..., None] + rng.integers(0, 60, (37, 2150, 3))
    files["wide"] = aecodec.encode((wide % 256).astype(np.uint8), quality=40)
    for name, data in files.items():
        vectors.write(tensors, data, f"{name}.aec", folder / "vectors" / name)
        (folder / "vectors" / name / "file.aec").write_bytes(data)
    (folder / "lossless").mkdir()
    for channels, picture in lossless_pictures().items():
        (folder / "lossless" / f"{channels}.aec").write_bytes(aecodec.encode(picture, lossless=True))
        Image.fromarray(picture).save(folder / "lossless" / f"{channels}.png")
    return folder


def lossless_pictures() -> dict[str, np.ndarray]:
    """A picture of each kind: flat and noisy, with colours where it is transparent."""
    rng = np.random.default_rng(1)
    picture = np.full((61, 90, 4), (200, 30, 40, 255), np.uint8)
    picture[10:30, 20:50] = (10, 250, 90, 0)
    picture[40:, :30] = rng.integers(0, 256, (21, 30, 4))
    picture[40:, :10, 3] = rng.integers(0, 3, (21, 10))
    return {"rgba": picture, "rgb": picture[:, :, :3], "grey": picture[:, :, 0], "grey-alpha": picture[:, :, [0, 3]]}


@needs_node
def test_the_package_passes_its_tests(made):
    """`npm test`, with files and test vectors that the Python package made."""
    run("npm", "ci", "--no-audit", "--no-fund", "--prefer-offline")
    said = run("npm", "test", AECODEC_TEST_FILES=str(made))
    assert int(re.search(r"^# pass (\d+)$", said, re.M)[1]) > 90
    assert re.search(r"^# fail 0$", said, re.M)


def test_the_package_is_of_the_same_version():
    assert json.loads((WEB / "package.json").read_text())["version"] == aecodec.__version__


def test_the_lock_file_names_no_addresses():
    assert "resolved" not in (WEB / "package-lock.json").read_text()


def test_the_numbers_of_the_format_are_the_same():
    """format.ts repeats what constants.py and container.py have."""
    text = (WEB / "src" / "format.ts").read_text()
    for name in ("LEVELS", "KNOTS", "STRIDE", "HYPER_STRIDE", "PATCH", "STEPS", "TABLE_TOTAL", "SYMBOL_MAX", "Z_CLAMP",
                 "OFFSET_BITS", "EXPERIMENTAL_ID"):
        assert number(text, name) == getattr(constants, name), name
    for name in ("VERSION", "FLAG_GREY", "FLAG_LOSSLESS", "FLAG_ALPHA", "WEBP_LOSSLESS", "MAX_SIDE", "MAX_BOX",
                 "MAX_PIXELS", "MIN_SIDE", "THIN_PIXELS"):
        assert number(text, name) == getattr(container, name), name
    tunes = re.search(r"^export const TUNES = \[(.*)\]", text, re.M)
    assert tuple(re.findall(r'"([^"]+)"', tunes[1])) == constants.TUNES
    for path, name in (("src/format.ts", "OUTSIDE_BUNDLE"), ("scripts/weights.mjs", "LEFT_OUT")):
        outside = re.search(rf"^export const {name} = \[(.*)\];", (WEB / path).read_text(), re.M)
        assert set(re.findall(r'"([^"]+)"', outside[1])) == set(constants.OUTSIDE_BUNDLE), path


def number(text: str, name: str) -> int:
    """The value of an exported constant, which is a number, a shift or one less than that."""
    found = re.search(rf"^export const {name} = ([\d_a-fx<() \-]+);", text, re.M)
    assert found is not None, name
    return int(eval(found[1].replace("_", "")))
