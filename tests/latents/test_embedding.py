"""Vectors of pictures: what they are alike in, and the metric's file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec import models
from aecodec.latents import embedding
from aecodec.latents.files import latents_of, read
from helpers import make_photo


@pytest.fixture(scope="module")
def metric():
    return embedding.load(models.find())


def likeness(metric, a, b):
    even = len(metric.even)
    return float(a[:even] @ b[:even] + np.abs(a[even:] @ b[even:]))


def test_a_picture_has_a_unit_vector_for_each_part(codec, metric, photo):
    vectors = metric.embed(codec.coder.analyse(photo, 32))
    assert vectors.shape == (35, 80)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert embedding.PARTS[0] == (0, 0, 1, 1)


def test_copies_are_more_alike_than_other_pictures(codec, metric, photo):
    own = metric.embed(codec.coder.analyse(photo, 32))[0]
    pixels = Image.fromarray(photo)
    copies = {"mirrored": photo[:, ::-1], "grey": np.asarray(pixels.convert("L").convert("RGB")),
              "small": np.asarray(pixels.resize((150, 100)))}
    like = {name: likeness(metric, own, metric.embed(codec.coder.analyse(np.ascontiguousarray(copy), 32))[0])
            for name, copy in copies.items()}
    others = [likeness(metric, own, metric.embed(codec.coder.analyse(make_photo(200, 300, seed), 32))[0])
              for seed in (1, 2, 3)]
    assert min(like.values()) > max(others), (like, others)


def test_means_are_those_of_the_parts():
    rng = np.random.default_rng(0)
    planes = rng.random((2, 20, 10), dtype=np.float32)
    means = embedding._means(planes, (20, 10), 2)
    for part, (left, top, right, bottom) in enumerate(embedding.PARTS):
        rows, columns = np.array([top, bottom]) * 20, np.array([left, right]) * 10
        if not np.allclose([*rows, *columns], np.rint([*rows, *columns])):
            continue
        (first, last), (begin, end) = np.rint(rows).astype(int), np.rint(columns).astype(int)
        whole = planes[:, first:last, begin:end].mean((1, 2))
        np.testing.assert_allclose(means[part].mean((1, 2)), whole, rtol=1e-5)
    half = embedding._means(planes, (20, 5), 1)[0, :, 0, 0]  # what lies beyond the picture does not count
    np.testing.assert_allclose(half, planes[:, :, :5].mean((1, 2)), rtol=1e-5)


def test_files_are_embedded_without_synthesis(codec, metric, photo, monkeypatch):
    data = codec.encode(photo, 60, lossless=False)
    kept = codec.encode(photo, lossless=True)
    monkeypatch.setattr(codec.coder.engine, "synthesise", None)
    lossy = metric.embed(latents_of(codec, read(data)))[0]
    lossless = metric.embed(latents_of(codec, read(kept)))[0]  # has no latents: decoded and analysed
    assert likeness(metric, lossy, lossless) > 0.8


def test_latents_of_other_weights_are_refused(codec, photo):
    file = read(codec.encode(photo[:32, :32], 60, lossless=False))
    with pytest.raises(aecodec.UnknownModel, match="cannot be compared"):
        latents_of(codec, replace(file, header=replace(file.header, bundle_hash=b"\1\2\3\4")))


def test_a_metric_of_other_weights_is_refused(metric, tmp_path):
    embedding.write(replace(metric, bundle_hash="01020304"), tmp_path / embedding.FILE)
    with pytest.raises(aecodec.UnknownModel, match="made for other weights"):
        embedding._load(tmp_path / embedding.FILE, metric.bundle_hash)
    embedding.write(metric, tmp_path / "again.safetensors")
    assert embedding._load(tmp_path / "again.safetensors", metric.bundle_hash).id == metric.id


@pytest.mark.parametrize("content", [None, b"", b"\0" * 100])
def test_a_missing_or_damaged_metric_says_how_to_get_one(content, tmp_path):
    path = tmp_path / embedding.FILE
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(aecodec.UnknownModel, match=r"export .* --embedding"):
        embedding._load(path, "01020304")
