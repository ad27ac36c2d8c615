"""Searching in an index, its groups and its file."""

from __future__ import annotations

import io

import numpy as np
import pytest

from aecodec import models
from aecodec.latents import embedding
from aecodec.latents.embedding import PARTS
from aecodec.latents.index import BadIndex, Index


@pytest.fixture(scope="module")
def metric():
    return embedding.load(models.find())


@pytest.fixture(scope="module")
def vectors(metric):
    """Of six pictures that have nothing in common."""
    made = np.random.default_rng(0).normal(size=(6, len(PARTS), metric.size)).astype(np.float32)
    return made / np.linalg.norm(made, axis=2, keepdims=True)


def test_the_part_of_a_crop_is_named_whichever_is_searched_for(metric, vectors):
    even = len(metric.even)
    crop = np.random.default_rng(1).permutation(vectors[5])
    crop[0] = vectors[2, 17] * np.where(np.arange(metric.size) < even, 1, -1)  # mirrored
    found = Index(metric, "abcdef", vectors).search(crop, 3)
    assert len(found) == 3
    assert (found[0].name, found[0].of, found[0].box, found[0].mirrored) == ("c", "crop", PARTS[17], True)
    assert found[0].similarity == pytest.approx(1, abs=1e-2)
    back = Index(metric, ["crop"], crop[None]).search(vectors[2])[0]
    assert (back.of, back.box, back.mirrored) == ("holds", PARTS[17], True)


def test_the_same_picture_is_most_alike(metric, vectors):
    index = Index(metric, "abcdef", vectors)
    for n, name in enumerate("abcdef"):
        best = index.search(vectors[n])[0]
        assert (best.name, best.of, best.mirrored) == (name, "whole", False)
    assert Index(metric, [], vectors[:0]).search(vectors[0]) == []


def test_groups_are_by_way_of_others_and_in_blocks(metric, vectors, monkeypatch):
    rows = vectors.copy()
    rows[3, 0] = rows[0, 4]  # 3 is a crop of 0, and 5 a crop of 3
    rows[5, 0] = rows[3, 9]
    index = Index(metric, "abcdef", rows)
    assert index.groups(0.95) == [[0, 3, 5]]
    monkeypatch.setattr("aecodec.latents.index.BLOCK", 1)
    assert index.groups(0.95) == [[0, 3, 5]]
    assert sorted((a, b) for a, b, _ in index.pairs(0.95)) == [(0, 3), (3, 5)]
    assert index.groups(-1.0) == [[0, 1, 2, 3, 4, 5]]


def test_an_index_comes_back_from_its_file(metric, vectors):
    names = ["ü/写真.png", "b", "c", "d", "e", "f"]
    back = Index.load(Index(metric, names, vectors).dump(), metric)
    assert back.names == names
    np.testing.assert_array_equal(back.vectors, vectors.astype(np.float16))


def test_other_files_are_refused(metric, vectors):
    data = Index(metric, "abcdef", vectors).dump()
    other = io.BytesIO()
    np.savez(other, about=np.array(["aecodec embeddings 1", metric.id]), names=np.array(["a"]),
             vectors=np.full((1, len(PARTS), metric.size), np.nan, np.float16))
    objects = io.BytesIO()
    np.savez(objects, about=np.array([{}], dtype=object))
    for damaged in (b"", b"PK", data[:500], data[:-30], other.getvalue(), objects.getvalue()):
        with pytest.raises(BadIndex):
            Index.load(damaged, metric)
    made_otherwise = io.BytesIO()
    np.savez(made_otherwise, about=np.array(["aecodec embeddings 1", "00000000"]), names=np.array(["a"]),
             vectors=np.zeros((1, len(PARTS), metric.size), np.float16))
    with pytest.raises(BadIndex, match="another model or release"):
        Index.load(made_otherwise.getvalue(), metric)
