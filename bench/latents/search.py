"""Search: which photo of a thousand a copy was made of, beside a perceptual hash of the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray

import aecodec
from aecodec.format.container import read_file
from aecodec.latents import embedding
from aecodec.latents.files import latents_of
from aecodec.latents.index import Index

from ..autoencoders.tables import Row, Table, Target, timed
from . import plots
from .distorted import DISTORTIONS, PHOTO, coded, picture
from .inputs import Inputs, MissingData, spread

PHOTOS = 1000
EVERY = 4  # photo whose distortions are searched for
TIMED = 50
MAPPED = 24
GOALS = {"crop 60 %": 0.75, "mirror": 0.95, "grey": 0.9, "4x scale": 0.95}
OTHERS = 0.98


def run(inputs: Inputs, out: Path) -> Table:
    """Recall, precision at the threshold of `dedupe`, and time."""
    photos = spread(inputs.many()[1::2], PHOTOS)  # `aecodec export --embedding` learns from the others
    if len(photos) < EVERY * 2:
        raise MissingData(f"{len(photos)} photos are too few to search in; name a larger folder with --photos")
    codec = aecodec.Codec("cpu", engine="onnx", threads=1)
    metric = embedding.load(codec.model)
    files = coded(codec, photos, PHOTO)
    index = Index(metric, [path.name for path in photos], np.stack([_vectors(codec, metric, data) for data in files]))
    asked = {name: np.stack([_vectors(codec, metric, data) for data in coded(codec, photos, name, EVERY)])
             for name in DISTORTIONS}
    truth = np.arange(0, len(photos), EVERY)
    likeness = {name: _likeness(index, vectors) for name, vectors in asked.items()}
    whole = {name: _likeness(index, vectors, whole=True) for name, vectors in asked.items()}
    hashes = {name: _hash_likeness(photos, name, truth) for name in DISTORTIONS}
    table = Table(
        "search", "Search: which photo a copy was made of",
        f"{len(photos):,} photos, scaled to at most 384 pixels and coded at quality 50; distortions of every "
        f"{EVERY}th ({len(truth)}) are searched for among them. The metric was learnt from other photos of the same "
        "collection (those at even places in the order of names; these are at odd ones), with distortions of random "
        "strength; the network was trained on both. Nothing is decoded. pHash (imagehash, 64 bits) is of the pixels "
        "before they are coded. Found: share of the copies whose similarity to their photo reaches the threshold of "
        f"`aecodec dedupe`, {metric.same:.3f}.",
        dict.fromkeys(DISTORTIONS, ".3f"))
    for method, found in (("embedding", likeness), ("embedding, whole pictures only", whole), ("pHash", hashes)):
        table.rows.append(Row("recall@1", method, {name: _recall(values, truth) for name, values in found.items()},
                              ours=method != "pHash"))
    table.rows.append(Row("found", "embedding", {
        name: float((values[np.arange(len(truth)), truth] >= metric.same).mean()) for name, values in likeness.items()},
        ours=True))
    _targets(table, index, likeness, truth)
    _time(table, codec, metric, files)
    _map(asked, index, truth, len(metric.even), out)
    table.figures["search_map.png"] = (f"Vectors of {MAPPED} photos and of what became of them, in two dimensions "
                                       "(t-SNE); a colour for each photo, a large dot for the photo itself")
    return table


def _vectors(codec: aecodec.Codec, metric: embedding.Metric, data: bytes) -> NDArray[np.float32]:
    return metric.embed(latents_of(codec, read_file(data)))


def _likeness(index: Index, vectors: NDArray[np.float32], whole: bool = False) -> NDArray[np.float32]:
    """`[Q, N]` similarities; `whole`: without looking at parts."""
    if whole:
        even = len(index.metric.even)
        a, b = vectors[:, 0], index.vectors[:, 0].astype(np.float32)
        return a[:, :even] @ b[:, :even].T + np.abs(a[:, even:] @ b[:, even:].T)
    return index.similarities(vectors)


def _hash_likeness(photos: Sequence[Path], name: str, truth: NDArray[np.integer]) -> NDArray[np.float32]:
    """Minus the number of bits that differ."""
    own = _hashes(tuple(photos), PHOTO, 1)
    asked = _hashes(tuple(photos), name, EVERY)
    return -np.array([[np.count_nonzero(a != b) for b in own] for a in asked], np.float32)


_known: dict[tuple[str, int], NDArray[np.bool_]] = {}


def _hashes(photos: tuple[Path, ...], name: str, every: int) -> NDArray[np.bool_]:
    if (name, every) not in _known:
        _known[name, every] = np.array([imagehash.phash(picture(path, name, number)).hash.ravel()
                                        for number, path in enumerate(photos) if number % every == 0])
    return _known[name, every]


def _recall(likeness: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    """Share of the queries whose own photo is the one most alike; with several alike, as often as chance picks it."""
    best = likeness.max(axis=1)
    own = likeness[np.arange(len(truth)), truth]
    ties = (likeness == best[:, None]).sum(axis=1)
    return float(np.where(own == best, 1 / ties, 0).mean())


def _targets(table: Table, index: Index, likeness: dict[str, NDArray[np.float32]], truth: NDArray[np.integer]) -> None:
    for name in DISTORTIONS:
        goal = GOALS.get(name, OTHERS)
        reached = table.value("embedding", name, "recall@1")
        table.targets.append(Target(f"recall@1 of {name}: {goal} ({reached:.3f})", reached >= goal))
    same = index.metric.same
    own = sum(int((values[np.arange(len(truth)), truth] >= same).sum()) for values in likeness.values())
    all_pairs = sum(int((values >= same).sum()) for values in likeness.values())
    among = list(index.pairs(same))
    count = len(index) * (len(index) - 1) // 2
    precision = own / max(all_pairs, 1)
    table.targets.append(Target(
        f"precision at the threshold stated: {precision:.4f}, of copies against all photos ({own} of {all_pairs} pairs "
        f"belong together); {len(among)} of the {count:,} pairs of different photos reach it", precision > 0.99))


def _time(table: Table, codec: aecodec.Codec, metric: embedding.Metric, files: Sequence[bytes]) -> None:
    chosen = files[:TIMED]
    _, embedded = timed(lambda: [_vectors(codec, metric, data) for data in chosen])
    _, decoded = timed(lambda: [codec.decode(data, output="array") for data in chosen])
    ratio = decoded / embedded
    table.targets.append(Target(
        f"embedding at least twice as fast as decoding: {ratio:.1f} times ({1000 * embedded / len(chosen):.0f} ms of "
        f"one core against {1000 * decoded / len(chosen):.0f} a picture)", ratio >= 2))


def _map(asked: dict[str, NDArray[np.float32]], index: Index, truth: NDArray[np.integer], even: int,
         out: Path) -> None:
    from sklearn.manifold import TSNE

    chosen = np.linspace(0, len(truth) - 1, min(MAPPED, len(truth))).astype(int)
    own = index.vectors[truth[chosen], 0].astype(np.float32)
    rows = [own, *(vectors[chosen, 0] for vectors in asked.values())]
    points = np.concatenate([np.concatenate([r[:, :even], np.abs(r[:, even:])], axis=1) for r in rows])
    flat = TSNE(2, metric="cosine", init="random", perplexity=8, random_state=0).fit_transform(points)
    plots.copies(flat.reshape(len(rows), len(chosen), 2), list(DISTORTIONS), out / "search_map.png")
