"""Test vectors: small arrays of every stage, which are what the package computes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

import aecodec
from aecodec.format import boxes, container, vectors
from helpers import GOLDEN

TOOL = Path(__file__).parents[2] / "tools" / "vectors"
NAMES = ("small-grey-alpha", "small-one-row", "small-highest", "small-lowest")
CHOSEN = [path for path in GOLDEN if path.stem in NAMES]


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("vectors")
    done = subprocess.run([sys.executable, str(TOOL), *map(str, CHOSEN), str(folder)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def arrays_of(folder: Path) -> dict[str, np.ndarray]:
    """The arrays that a `vectors.json` names, of the type, shape and order it says."""
    index = json.loads((folder / vectors.INDEX_FILE).read_text())
    found = {}
    for name, said in index["arrays"].items():
        found[name] = array = np.load(folder / said["file"])
        assert (array.dtype.str, list(array.shape)) == (said["dtype"], said["shape"])
        assert array.flags.c_contiguous
        with open(folder / said["file"], "rb") as file:
            assert file.read(8) == b"\x93NUMPY\x01\x00"
            assert b"'fortran_order': False" in file.read(100)
    assert found.keys() == vectors.ARRAYS.keys()
    assert {path.name for path in folder.iterdir()} == {f"{name}.npy" for name in found} | {vectors.INDEX_FILE}
    return found


@pytest.mark.parametrize("path", CHOSEN, ids=lambda path: path.stem)
def test_the_index_says_what_the_file_is(written, path):
    index = json.loads((written / path.stem / vectors.INDEX_FILE).read_text())
    data = path.read_bytes()
    header = aecodec.read_header(data)
    assert index["file"] == path.name
    assert index["file_sha256"] == hashlib.sha256(data).hexdigest()
    assert (index["model_id"], index["bundle_hash"]) == (header.model_id, header.bundle_hash.hex())
    assert (index["width"], index["height"], index["level"], index["grey"]) == (
        header.width, header.height, header.level, header.grey)
    assert int(index["symbol_crc"], 16) == header.symbol_crc
    arrays = arrays_of(written / path.stem)
    assert zlib.crc32(arrays["z"].tobytes() + arrays["y"].tobytes()) == header.symbol_crc


@pytest.fixture(scope="module")
def in_float32():
    return aecodec.Codec(device="cpu", precision="float32")


@pytest.mark.parametrize("path", CHOSEN, ids=lambda path: path.stem)
def test_the_vectors_are_what_the_package_computes(written, codec, in_float32, path):
    arrays, data = arrays_of(written / path.stem), path.read_bytes()
    symbols = codec.coder.read_symbols(container.read_file(data, boxes.KNOWN))
    for name, wanted in (("z", symbols.z), ("y", symbols.y), ("index", symbols.y_tables)):
        np.testing.assert_array_equal(arrays[name], wanted)
    latents = codec.latents(data).y
    np.testing.assert_allclose(arrays["latents"], latents, rtol=0, atol=2e-6 * np.abs(latents).max())
    decoded = in_float32.decode(data, output="array")
    np.testing.assert_allclose(arrays["pixels"].astype(int), decoded, rtol=0, atol=1)


def test_a_file_that_is_none_is_named(tmp_path):
    (tmp_path / "a.aec").write_bytes(b"text")
    for arguments, said in (((tmp_path / "a.aec", tmp_path), "a.aec: not an .aec file"), ((), "usage: ")):
        done = subprocess.run([sys.executable, str(TOOL), *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode in (1, 2)
        assert said in done.stderr
        assert "Traceback" not in done.stderr
