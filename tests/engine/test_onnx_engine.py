"""The ONNX engine against the torch engine: the same symbols, always, and the same pictures, but for rounding."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from aecodec import models
from aecodec.coder import Coder
from aecodec.engine.onnx_engine import OnnxEngine, quantise_part
from aecodec.engine.onnx_export import export_graphs
from aecodec.engine.onnx_graph import MANIFEST
from aecodec.engine.torch_engine import TorchEngine
from aecodec.errors import UnknownModel
from aecodec.format.constants import LEVELS, SYMBOL_MAX, TABLES
from aecodec.format.container import write_file
from aecodec.kernels import quantiser
from helpers import random_model

SIZES = [(1, 1), (16, 500), (33, 17), (200, 300)]


@pytest.fixture(scope="module")
def file(codec):
    return models.load(codec.model)


@pytest.fixture(scope="module")
def on_torch(file):
    return Coder(file, TorchEngine(file, "cpu", "float32"))


@pytest.fixture(scope="module")
def on_onnx(file):
    return Coder(file, OnnxEngine(file))


def assert_alike(first: np.ndarray, second: np.ndarray) -> None:
    difference = np.abs(first.astype(int) - second)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3 or difference.size < 1000  # rounding alone: where a value is halfway


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("level", [0, 31, 63])
def test_files_of_either_decode_in_the_other(on_torch, on_onnx, photo, size, level):
    pixels = photo[:size[0], :size[1]] if size[0] != 16 else np.concatenate([photo[:16], photo[16:32, :200]], axis=1)
    for encoder in (on_torch, on_onnx):
        coded = encoder.encode(pixels, level)  # decoding checks the CRC of the symbols
        assert_alike(on_torch.decode(coded), on_onnx.decode(coded))
    ours, theirs = on_onnx.encode(pixels, level), on_torch.encode(pixels, level)
    error = [np.square(on_torch.decode(coded).astype(float) - pixels).mean() for coded in (ours, theirs)]
    assert error[0] == pytest.approx(error[1], rel=1e-3, abs=1e-3)
    assert abs(len(ours.payload) - len(theirs.payload)) <= 8 + len(theirs.payload) / 1000


def test_every_level_decodes(on_torch, on_onnx, photo):
    for level in range(LEVELS):
        coded = on_torch.encode(photo[:48, :64], level)
        assert_alike(on_torch.decode(coded), on_onnx.decode(coded))


@pytest.mark.parametrize("level", range(0, LEVELS, 7))
def test_table_indices_are_equal_whatever_z_is(on_torch, on_onnx, level):
    rng = np.random.default_rng(level)
    hyper = on_onnx.hyper
    normal = rng.normal(0, 12, (hyper, 5, 7)).round()
    wide = rng.integers(-SYMBOL_MAX, SYMBOL_MAX + 1, (hyper, 5, 7))
    extreme = rng.choice([-SYMBOL_MAX, -249, -248, -31, 0, 31, 248, 249, SYMBOL_MAX], (hyper, 5, 7))
    for z in (normal, wide, extreme, np.full((hyper, 5, 7), SYMBOL_MAX)):
        z = z.astype(np.int16)
        assert np.array_equal(on_onnx.engine.indices(z, level, 18, 27), on_torch.engine.indices(z, level, 18, 27))


def test_indices_of_strips_are_those_of_the_whole(file, on_onnx, monkeypatch):
    z = np.random.default_rng(0).normal(0, 12, (on_onnx.hyper, 11, 3)).round().astype(np.int16)
    whole = on_onnx.engine.indices(z, 40, 42, 9)
    monkeypatch.setattr("aecodec.engine.onnx_engine.SCALE_BYTES", 1)  # strips of one row
    assert np.array_equal(OnnxEngine(file).indices(z, 40, 42, 9), whole)


@pytest.mark.parametrize("strip_rows", [8, 12, 16])
@pytest.mark.parametrize("height", [8 * 16 + 1, 200, 24 * 16])
def test_strips_do_not_change_the_picture(file, on_onnx, strip_rows, height):
    """A symbol may still differ in strips: convolutions of other shapes may round otherwise."""
    rng = np.random.default_rng(height)
    y, x = np.mgrid[:height, :70]
    shading = np.stack([128 + 90 * np.sin(x / (7 + c) + y / 11) for c in range(3)], axis=2)
    pixels = np.clip(shading + rng.normal(0, 12, shading.shape), 0, 255).astype(np.uint8)
    strips = Coder(file, OnnxEngine(file, threads=1, strip_rows=strip_rows))
    latents = [coder.engine.to_array(coder.engine.analyse(pixels, 50)) for coder in (strips, on_onnx)]
    assert np.allclose(*latents, rtol=0, atol=1e-5 * np.abs(latents[1]).max())
    coded = strips.encode(pixels, 50)
    assert_alike(strips.decode(coded), on_onnx.decode(coded))
    assert abs(len(coded.payload) - len(on_onnx.encode(pixels, 50).payload)) <= 8


def test_it_is_the_same_with_every_number_of_threads(file, photo):
    files = [write_file(Coder(file, OnnxEngine(file, threads=n)).encode(photo, 40)) for n in (1, 2)]
    assert files[0] == files[1]


def test_latents_survive_the_way_through_an_array(on_onnx, photo):
    engine = on_onnx.engine
    array = engine.to_array(engine.analyse(photo, 20))
    again = engine.from_array(array)
    assert np.array_equal(engine.to_array(again), array)
    assert write_file(on_onnx.encode_latents(on_onnx.analyse(photo, 20))) == write_file(on_onnx.encode(photo, 20))


def test_a_picture_may_be_read_only_and_not_contiguous(on_onnx, photo):
    turned = photo.transpose(1, 0, 2)
    turned.flags.writeable = False
    assert write_file(on_onnx.encode(turned, 9)) == write_file(on_onnx.encode(turned.copy(), 9))


def test_quantising_is_the_arithmetic_of_the_kernel():
    rng = np.random.default_rng(0)
    latents, means = rng.normal(0, 3, (2, 8, 5, 7)).astype(np.float32)
    latents[0, 0, :3] = 1e9, -1e9, 2.5
    index = rng.integers(0, TABLES, (8, 5, 7)).astype(np.uint8)
    gain = rng.uniform(0.5, 90, (8, 1, 1)).astype(np.float32)
    dead_zone = rng.uniform(0, 1, (8, TABLES)).astype(np.float32)
    ours = quantise_part(latents, means, gain, 1 / gain, index, dead_zone)
    as_torch = [torch.from_numpy(a) for a in (latents[None], means[None], gain[:, 0, 0], (1 / gain)[:, 0, 0],
                                              index[None], dead_zone)]
    for mine, theirs in zip(ours, quantiser.quantise_part(*as_torch), strict=True):
        assert np.array_equal(mine, theirs[0].numpy())


# -- graphs and weights -----------------------------------------------------------------------------------------------


def manifest(folder):
    """What a manifest says but for digests: another exporter may write the same graph otherwise."""
    read = json.loads((folder / MANIFEST).read_text())
    return read["config"], {name: {k: v for k, v in about.items() if k != "sha256"}
                            for name, about in read["graphs"].items()}


def test_the_graphs_beside_each_model_are_those_of_its_network(tmp_path):
    for info in models.shipped():
        export_graphs(info.config, tmp_path)
        assert manifest(info.path.parent) == manifest(tmp_path), f"run: aecodec export {info.path.parent} --graphs"


@pytest.fixture
def copied(file, tmp_path):
    """A copy of the model's folder."""
    shutil.copytree(file.info.path.parent, tmp_path / "model")
    return replace(file, info=replace(file.info, path=tmp_path / "model" / models.WEIGHTS_FILE))


def test_graphs_hold_no_weights(file):
    graphs = list(file.info.path.parent.glob("*.onnx"))
    assert len(graphs) == 9
    assert sum(path.stat().st_size for path in graphs) < 400_000


def test_missing_graphs_are_told(copied):
    (copied.info.path.parent / MANIFEST).unlink()
    with pytest.raises(UnknownModel, match=r"there are no ONNX graphs beside .*--graphs"):
        OnnxEngine(copied)


def test_graphs_of_a_model_of_other_sizes_are_refused(copied):
    other = replace(copied, info=replace(copied.info, config={**copied.info.config, "latents": 256}))
    with pytest.raises(UnknownModel, match="other sizes"):
        OnnxEngine(other)


def test_graphs_that_do_not_fit_a_tensor_are_refused(copied):
    tensors = {**copied.tensors, "synthesis.up.bias": copied.tensors["synthesis.up.bias"][1:]}
    with pytest.raises(UnknownModel, match=r"synthesis\.up\.bias"):
        OnnxEngine(replace(copied, tensors=tensors))


@pytest.mark.parametrize("content", [b"", b"\x08\x07", None])
def test_a_graph_that_is_not_the_manifests_is_refused(copied, photo, content):
    path = copied.info.path.parent / "synthesis.onnx"
    path.write_bytes((path.parent / "scales.onnx").read_bytes() if content is None else content)
    coder = Coder(copied, OnnxEngine(copied))
    with pytest.raises(UnknownModel, match=r"synthesis\.onnx is damaged"):
        coder.decode(coder.encode(photo[:16, :16], 3))


SMALL = {"channels": 16, "latents": 32, "hyper": 8, "context": 16}


@pytest.mark.parametrize("settings", [
    pytest.param({"analysis_blocks": (3, 2), "synthesis_blocks": (2, 3)}, id="odd numbers of blocks"),
    pytest.param({"tunes": 2, "kernel": 5, "conditioned": True, "informed": True}, id="told of everything"),
    pytest.param({"tunes": 2, "conditioned": True}, id="told of level and tune"),
    pytest.param({"kernel": 5}, id="wide kernels"),
    pytest.param({"informed": True}, id="corrected"),
])
@pytest.mark.parametrize("size", [(1, 1), (24 * 16 + 5, 50)])
def test_a_network_of_other_sizes_runs_alike(codec, tmp_path, settings, size):
    """With weights that are no identity anywhere."""
    file = random_model({**SMALL, **settings}, tmp_path)
    export_graphs(file.info.config, tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    engines = TorchEngine(file, "cpu", "float32"), OnnxEngine(file, strip_rows=8), OnnxEngine(file)
    coders = [Coder(file, engine) for engine in engines]
    latents = [coder.engine.to_array(coder.engine.analyse(pixels, 30)) for coder in coders]
    for other in latents[1:]:
        assert np.allclose(latents[0], other, rtol=0, atol=1e-5 * np.abs(latents[0]).max())
    for encoder in coders:
        coded = encoder.encode(pixels, 30, tune=encoder.tunes[-1])
        first, *others = (coder.decode(coded) for coder in coders)
        for other in others:
            assert_alike(first, other)


def test_the_command_makes_the_graphs_of_a_folder(aec, copied):
    folder = copied.info.path.parent
    for path in (*folder.glob("*.onnx"), folder / MANIFEST):
        path.unlink()
    done = aec("export", folder, "--graphs")
    assert done.exit_code == 0, done.output
    assert manifest(folder) == manifest(models.find().path.parent)
    OnnxEngine(copied)
