"""Many pictures in threads, and what is told of one on its way."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec import api, batch
from aecodec.engine.choice import has_torch
from aecodec.format.constants import STRIDE
from helpers import make_photo


def test_a_batch_is_each_picture_in_order(codec, tmp_path):
    arrays = [make_photo(40, 50 + 8 * n, seed=n) for n in range(5)]
    Image.fromarray(arrays[0]).save(tmp_path / "a.png")
    images = [tmp_path / "a.png", Image.fromarray(arrays[1]), *arrays[2:]]
    files = list(codec.encode_batch(iter(images), 70, jobs=3))
    assert files == [codec.encode(array, 70) for array in arrays]
    for array, data in zip(codec.decode_batch(iter(files), output="array"), files, strict=True):
        assert np.array_equal(array, codec.decode(data, output="array"))


def test_the_module_s_batch_is_that_of_its_codec(codec, monkeypatch):
    monkeypatch.setattr(api, "default_codec", lambda: codec)
    photo = make_photo(32, 32)
    (data,) = aecodec.encode_batch([photo], target_bpp=1.0, lossless=False)
    assert data == codec.encode(photo, target_bpp=1.0, lossless=False)
    (image,) = aecodec.decode_batch([data])
    assert image == codec.decode(data)


def test_items_are_taken_as_they_are_needed():
    taken = []
    results = batch.in_threads(lambda n: n * n, (taken.append(n) or n for n in itertools.count()), 2)
    assert list(itertools.islice(results, 4)) == [0, 1, 4, 9]
    assert len(taken) <= 4 + 3
    results.close()


def test_items_are_worked_on_at_the_same_time():
    meeting = threading.Barrier(3, timeout=20)
    assert sorted(batch.in_threads(lambda _: meeting.wait(), range(3), 3)) == [0, 1, 2]


def test_an_error_comes_where_its_result_would(codec):
    photo = make_photo(32, 32)
    results = codec.encode_batch([photo, "missing.png", photo])
    assert next(results) == codec.encode(photo)
    with pytest.raises(FileNotFoundError):
        next(results)
    with pytest.raises(ValueError, match="jobs must be at least 1"):
        codec.encode_batch([photo], jobs=0)


@pytest.mark.parametrize("engine", ["onnx", pytest.param("torch", marks=pytest.mark.skipif(
    not has_torch(), reason="no torch"))])
def test_progress_rises_to_one_strip_by_strip(engine):
    codec = aecodec.Codec(device="cpu", engine=engine)
    picture = make_photo(1100, 700)
    rows = codec.coder.engine._rows(-(-700 // STRIDE))
    strips = -(-1100 // (rows * STRIDE))
    assert strips > 1
    shares: list[float] = []
    data = codec.encode(picture, progress=shares.append)
    assert data == codec.encode(picture)
    assert len(shares) == 2 * strips + 1
    assert shares == sorted(shares)
    assert 0 < shares[0] < 1 == shares[-1]
    shares.clear()
    decoded = codec.decode(data, output="array", progress=shares.append)
    assert np.array_equal(decoded, codec.decode(data, output="array"))
    assert len(shares) == strips + 1
    assert shares == sorted(shares)
    assert 0 < shares[0] < 1 == shares[-1]


@pytest.mark.parametrize("goal", [{"lossless": True}, {"target_bpp": 1.0}, {"target_psnr": 30}])
def test_every_goal_tells_of_its_progress(codec, goal):
    shares: list[float] = []
    codec.encode(make_photo(40, 40), progress=shares.append, **goal)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_an_exception_of_progress_ends_the_work(codec):
    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        codec.encode(make_photo(40, 40), progress=stop)
