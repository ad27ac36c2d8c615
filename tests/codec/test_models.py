"""Weights files: what is loaded of them, and that a second decoder has room in one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import aecodec
from aecodec import models
from aecodec.engine.onnx_graph import MANIFEST
from helpers import GOLDEN


def copy_of_weights(target: Path, change) -> Path:
    """The shipped weights file with other tensors and metadata, by `change(tensors, metadata)`."""
    with safe_open(str(models.find().path), "numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        metadata = dict(file.metadata())
    change(tensors, metadata)
    save_file(tensors, str(target), metadata)
    for graph in (*models.find().path.parent.glob("*.onnx"), models.find().path.with_name(MANIFEST)):
        shutil.copy(graph, target.parent)
    return target


def add_decoder(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """A finer synthesis: its first layers, and sizes that only who knows it understands."""
    rng = np.random.default_rng(0)
    tensors["decoders.fine.up.weight"] = rng.normal(size=(1024, 320)).astype(np.float16)
    tensors["decoders.fine.steps"] = rng.integers(0, 9, (64, 3), np.uint8)
    metadata["decoders.fine"] = json.dumps({"channels": 256})
    metadata["checksum"] = models.checksum(tensors)


@pytest.fixture(scope="module")
def two_decoders(tmp_path_factory) -> Path:
    return copy_of_weights(tmp_path_factory.mktemp("weights") / models.WEIGHTS_FILE, add_decoder)


def test_a_second_decoder_changes_nothing_for_who_does_not_know_it(two_decoders):
    shipped, file = models.load(models.find()), models.load(models.find(two_decoders))
    assert file.bundle_hash == shipped.bundle_hash
    assert file.tensors.keys() == shipped.tensors.keys()
    assert file.info.checksum != shipped.info.checksum
    assert file.info.config == shipped.info.config


@pytest.mark.parametrize("path", GOLDEN[:4], ids=lambda path: path.stem)
def test_files_made_before_the_second_decoder_decode(two_decoders, codec, path):
    data = path.read_bytes()
    decoded = aecodec.Codec(device="cpu", model=two_decoders, engine=codec.engine).decode(data, output="array")
    np.testing.assert_array_equal(decoded, codec.decode(data, output="array"))


def test_files_made_after_it_decode_without_it(two_decoders, codec, photo):
    data = aecodec.Codec(device="cpu", model=two_decoders, engine=codec.engine).encode(photo[:40, :60])
    assert data == codec.encode(photo[:40, :60])
    assert codec.decode(data).size == (60, 40)


def test_the_command_takes_such_weights(two_decoders, tmp_path):
    path = tmp_path / "a.aec"
    path.write_bytes(GOLDEN[0].read_bytes())
    done = subprocess.run([sys.executable, "-m", "aecodec", "decompress", str(path), "--model", str(two_decoders)],
                          capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert path.with_suffix(".aec.png").exists()


def test_damage_in_a_decoder_that_is_not_known_is_found(tmp_path):
    def damage(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
        add_decoder(tensors, metadata)
        tensors["decoders.fine.steps"][0, 0] += 1

    info = models.find(copy_of_weights(tmp_path / models.WEIGHTS_FILE, damage))
    with pytest.raises(aecodec.UnknownModel, match="damaged"):
        models.load(info)


def test_every_other_tensor_of_decoding_is_in_the_bundle_hash():
    tensors = models.load(models.find()).tensors
    wanted = models.bundle_hash(tensors)
    for name in ("synthesis.up.bias", "scale_decoder.steps", "z_index", "tables.counts", "gain.knots"):
        assert models.bundle_hash({**tensors, name: tensors[name] + 1}) != wanted
    for name in ("analysis.patches.bias", "hyper_analysis.enter.bias", "rounding.tables"):
        assert models.bundle_hash({**tensors, name: tensors[name] + 1}) == wanted
