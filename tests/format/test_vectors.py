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
import torch

import aecodec
from aecodec import models
from aecodec.format import vectors
from aecodec.network.context import step_of
from aecodec.network.model import CodecNetwork, ModelConfig
from helpers import GOLDEN

TOOL = Path(__file__).parents[2] / "tools" / "vectors"
NAMES = ("small-grey-alpha", "small-one-row", "small-highest", "small-lowest")
CHOSEN = [path for path in GOLDEN if path.stem in NAMES]


@pytest.fixture(scope="module")
def network() -> CodecNetwork:
    """The network as it is shipped, in float32."""
    file = models.load(models.find())
    network = CodecNetwork(ModelConfig.from_dict(file.info.config))
    state = {name: torch.from_numpy(tensor) for name, tensor in file.tensors.items() if not name.startswith("tables.")}
    network.load_state_dict({name: tensor.float() if tensor.dtype == torch.float16 else tensor
                             for name, tensor in state.items()})
    return network.eval()


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


@pytest.mark.parametrize("path", CHOSEN, ids=lambda path: path.stem)
def test_the_vectors_are_what_the_package_computes(written, network, codec, path):
    arrays, level = arrays_of(written / path.stem), aecodec.read_header(path.read_bytes()).level
    z, y = (torch.from_numpy(arrays[name])[None].float() for name in ("z", "y"))
    height, width = y.shape[2:]
    levels = torch.tensor([level])
    with torch.inference_mode():
        index = network.scale_decoder(z, level)[0, :, :height, :width].numpy()
        features = network.mean_decoder(network.scale_decoder.dequantise(z, level))[:, :, :height, :width]
        known, gain, steps = torch.zeros_like(y), network.gain(levels), step_of(*y.shape[1:])

        def code(step: int, means) -> torch.Tensor:
            return known.copy_(torch.where(steps == step, y / gain + means.all(), known))

        latents = network.context(features, levels, code)[0].numpy()
    np.testing.assert_array_equal(arrays["index"], index.astype(np.uint8))
    np.testing.assert_allclose(arrays["latents"], latents, rtol=0, atol=2e-6 * np.abs(latents).max())
    decoded = codec.decode(path.read_bytes(), output="array")
    np.testing.assert_allclose(arrays["pixels"].astype(int), decoded, rtol=0, atol=1)


def test_a_file_that_is_none_is_named(tmp_path):
    (tmp_path / "a.aec").write_bytes(b"text")
    for arguments, said in (((tmp_path / "a.aec", tmp_path), "a.aec: not an .aec file"), ((), "usage: ")):
        done = subprocess.run([sys.executable, str(TOOL), *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode in (1, 2)
        assert said in done.stderr
        assert "Traceback" not in done.stderr
