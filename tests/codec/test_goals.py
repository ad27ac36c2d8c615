"""What Python may ask of `encode`, and what it may pass for pictures and files."""

from __future__ import annotations

import io

import numpy as np
import pytest

import aecodec
from aecodec import api, metrics
from aecodec.engine.choice import has_torch
from aecodec.goals import Goal


@pytest.fixture(autouse=True)
def _loaded_once(codec, monkeypatch):
    monkeypatch.setattr(api, "default_codec", lambda: codec)


@pytest.fixture(scope="module")
def data(codec, photo):
    return codec.encode(photo[:64, :96])


def test_targets_are_met(codec, photo):
    picture = photo[:96, :128]
    size = len(codec.encode(picture, level=30))
    assert 0.94 * size <= len(aecodec.encode(picture, target_size=size)) <= size
    bpp = 8 * size / picture[:, :, 0].size
    assert aecodec.encode(picture, target_bpp=bpp) == aecodec.encode(picture, target_size=size)
    found = aecodec.encode(picture, target_psnr=32)
    assert metrics.psnr(picture, codec.decode(found, output="array")) >= 32
    found = aecodec.encode(picture, target_ssimulacra2=50)
    assert metrics.ssimulacra2(picture, codec.decode(found, output="array")) >= 50
    assert aecodec.encode(picture, 70) == codec.encode(picture, quality=70)


@pytest.mark.parametrize("options", [{"quality": 50, "target_size": 10}, {"level": 3, "target_psnr": 30},
                                     {"lossless": True, "quality": 50}])
def test_goals_exclude_each_other(photo, codec, options):
    with pytest.raises(ValueError, match=r" and .* exclude each other; pass one of them"):
        codec.encode(photo, **options)


@pytest.mark.parametrize("options", [{"quality": "50"}, {"quality": True}, {"target_size": "200k"}, {"level": [1]}])
def test_what_is_no_number_is_named(photo, options):
    with pytest.raises(TypeError, match=f"{next(iter(options))} must be a number, not "):
        Goal(**options)


@pytest.mark.parametrize("options", [{"quality": 101}, {"level": 64}, {"target_size": 0}, {"target_bpp": -1.0},
                                     {"lossless": "yes"}])
def test_what_is_out_of_range_is_refused(options):
    with pytest.raises(ValueError, match=r"is outside|is not above 0|choose True, False"):
        Goal(**options)


def test_files_are_bytes_paths_or_file_objects(data, codec, tmp_path):
    path = tmp_path / "photo.aec"
    path.write_bytes(data)
    header, pixels = aecodec.read_header(data), codec.decode(data, output="array")
    for given in (data, bytearray(data), memoryview(data), path, str(path)):
        assert aecodec.read_header(given) == header
        assert np.array_equal(aecodec.decode(given, output="array"), pixels)
        assert np.array_equal(codec.render(codec.latents(given)), pixels)
    with open(path, "rb") as file:
        assert aecodec.read_header(file) == header
        file.seek(0)
        assert np.array_equal(codec.decode(file, output="array"), pixels)
    assert aecodec.read_header(io.BytesIO(data)) == header
    with pytest.raises(FileNotFoundError):
        aecodec.decode(tmp_path / "missing.aec")


@pytest.mark.parametrize("given", [None, 5, [1, 2]])
def test_types_that_are_no_file_or_picture_are_named(codec, given):
    for function in (aecodec.decode, aecodec.read_header, codec.latents):
        with pytest.raises(TypeError, match=f"bytes of an .aec file, its path or .*, not {type(given).__name__}"):
            function(given)
    with pytest.raises(TypeError, match=f"a Pillow image, a uint8 array .* not {type(given).__name__}"):
        codec.encode(given)


@pytest.mark.skipif(not has_torch(), reason="no torch")
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_torch_tensors_are_planes(codec, photo, channels):
    import torch

    array = np.dstack([photo, photo[:, :, 0]])[:40, :50, :channels]
    tensor = torch.from_numpy(array.transpose(2, 0, 1).copy())
    assert codec.encode(tensor) == codec.encode(array)
    assert codec.encode(tensor[0]) == codec.encode(array[:, :, 0])
    again = codec.decode(codec.encode(tensor, lossless=True), output="tensor")
    assert torch.equal(again.cpu(), tensor)
    with pytest.raises(aecodec.UnsupportedPicture, match=r"one of a batch is x\[0\]"):
        codec.encode(tensor[None])
    with pytest.raises(aecodec.UnsupportedPicture, match=r"not uint8; scale it to 0\.\.255"):
        codec.encode(tensor / 255)


def test_arrays_of_one_channel_are_grey(codec, photo):
    assert codec.encode(photo[:, :, :1]) == codec.encode(photo[:, :, 0])
