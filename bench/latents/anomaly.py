"""Anomalies: defects rendered into textures, beside three detectors on pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

import aecodec
from aecodec.format.constants import STRIDE
from aecodec.latents.anomaly import WORST, Finding, Moments, Statistics
from aecodec.latents.files import latents_of
from aecodec.picture import reading

from ..autoencoders.tables import Row, Table, Target, timed
from . import defects, plots
from .defects import KINDS, TILE, Texture
from .inputs import Inputs

TUNED, REPORTED = "gravel", ("brick", "grass")
CELL = 8
OURS = "latents"
PATCH, STEP = 8, 2  # of the baselines: pixels
COMPONENTS, NEIGHBOURS = 16, 20_000
SHOWN = 4  # defects of each texture in the figure
Grey = NDArray[np.uint8]
Detector = Callable[[Grey], tuple[float, NDArray[np.floating]]]  # the picture's score, and its map [TILE, TILE]


def run(_: Inputs, out: Path) -> Table:
    """AUROC of pixels and pictures."""
    textures = {name: defects.texture(name) for name in (TUNED, *REPORTED)}
    codec = aecodec.Codec("cpu", engine="onnx", threads=1)
    methods: dict[str, Callable[[Sequence[Grey]], Detector]] = {
        "pixel PCA": _by_pca, "pixel nearest neighbours": _by_neighbours, "isolation forest": _by_forest,
        OURS: partial(_by_latents, codec)}
    table = Table(
        "anomaly", "Anomalies: defects in textures",
        f"scikit-image's gravel, brick and grass: learnt from {len(textures[TUNED].good)} pictures of {TILE}x{TILE} of "
        f"the left half, reported on as many of the right half, as they are and with {len(textures[TUNED].bad)} "
        f"defects: stains ({defects.STAIN} standard deviations of the picture brighter or darker, soft ellipses of "
        f"about {2 * defects.RADIUS:.0f} pixels), scratches ({defects.SCRATCH:g} standard deviations, {defects.WIDTH} "
        f"pixels wide) and worn places (blurred by {defects.WEAR:g} pixels). All settings were chosen on gravel. A "
        "picture's score is the mean of its most unusual fiftieth, or, of ours, that of the picture as a whole if it "
        "is more; pictures of another domain are those of the two other textures, without defects. The baselines look "
        f"at {PATCH}x{PATCH} pixels, ours at {CELL}x{CELL} (`--cell {CELL}`) and around. Below 0.5 a worn place looks "
        "more usual than a good one.",
        {"pixel": ".3f", **dict.fromkeys(KINDS, ".3f"), "picture": ".3f", "other domain": ".3f"})
    shown: list[list[NDArray[np.floating]]] = []
    for name, texture in textures.items():
        found = {}
        for method, fit in methods.items():
            detect, seconds = timed(partial(fit, texture.good))
            found[method] = [detect(bad.picture) for bad in texture.bad]
            others = [picture for other, its in textures.items() if other != name for picture in its.held]
            values = _values(texture, found[method], [detect(picture) for picture in texture.held],
                             [detect(picture) for picture in others])
            table.rows.append(Row(name, method, values, seconds, ours=method == OURS,
                                  note="tuned on it" if method == OURS and name == TUNED else ""))
        chosen = np.linspace(0, len(texture.bad) - 1, SHOWN).astype(int)
        shown += [[texture.bad[n].picture, texture.bad[n].mask, *(found[method][n][1] for method in methods)]
                  for n in chosen]
    plots.maps(shown, ["picture", "defect", *methods], out / "anomaly_maps.png")
    table.figures["anomaly_maps.png"] = "Defects, and what each method makes of them; brighter is more unusual"
    _targets(table, [method for method in methods if method != OURS])
    return table


def _values(texture: Texture, bad: Sequence[tuple[float, NDArray[np.floating]]],
            held: Sequence[tuple[float, NDArray[np.floating]]],
            others: Sequence[tuple[float, NDArray[np.floating]]]) -> dict[str, float | None]:
    def pixels(kinds: Sequence[str]) -> float:
        chosen = [n for n, one in enumerate(texture.bad) if one.kind in kinds]
        return float(roc_auc_score(np.concatenate([texture.bad[n].mask.ravel() for n in chosen]),
                                   np.concatenate([bad[n][1].ravel() for n in chosen])))

    def pictures(unusual: Sequence[tuple[float, NDArray[np.floating]]]) -> float:
        return float(roc_auc_score([0] * len(held) + [1] * len(unusual), [score for score, _ in (*held, *unusual)]))

    return {"pixel": pixels(KINDS), **{kind: pixels([kind]) for kind in KINDS}, "picture": pictures(bad),
            "other domain": pictures(others)}


def _targets(table: Table, baselines: Sequence[str]) -> None:
    for name in REPORTED:
        best = max(table.value(method, "pixel", name) for method in baselines)
        ours = table.value(OURS, "pixel", name)
        table.targets.append(Target(f"{name}: pixel AUROC 0.05 above the best baseline ({ours:.3f}, {best:.3f})",
                                    ours >= best + 0.05))
        for column, goal in (("picture", 0.85), ("other domain", 0.98)):
            value = table.value(OURS, column, name)
            table.targets.append(Target(f"{name}: {column} AUROC of {goal} ({value:.3f})", value >= goal))


# -- detectors ----------------------------------------------------------------------------------------------------


def _by_latents(codec: aecodec.Codec, good: Sequence[Grey]) -> Detector:
    moments = Moments()
    latents = [latents_of(codec, reading.read(picture), STRIDE // CELL) for picture in good]
    folds = [moments.add(one) for one in latents]
    statistics = Statistics(moments)
    for one, fold in zip(latents, folds, strict=True):
        statistics.add(one, fold)
    model = statistics.model(CELL, codec.coder.bundle_hash.hex())

    def detect(picture: Grey) -> tuple[float, NDArray[np.floating]]:
        finding: Finding = model.find(latents_of(codec, reading.read(picture), STRIDE // CELL))
        return finding.score, _enlarged(finding.map)

    return detect


def _patches(picture: Grey) -> NDArray[np.float32]:
    """`[rows, columns, PATCH * PATCH]`."""
    windows = np.lib.stride_tricks.sliding_window_view(picture.astype(np.float32), (PATCH, PATCH))[::STEP, ::STEP]
    return windows.reshape(*windows.shape[:2], -1)


def _rows(good: Sequence[Grey]) -> NDArray[np.float32]:
    return np.concatenate([_patches(picture).reshape(-1, PATCH * PATCH) for picture in good])


def _on_patches(score: Callable[[NDArray[np.float32]], NDArray[np.floating]]) -> Detector:
    def detect(picture: Grey) -> tuple[float, NDArray[np.floating]]:
        patches = _patches(picture)
        scores = score(patches.reshape(-1, PATCH * PATCH)).reshape(patches.shape[:2])
        worst = np.sort(scores.ravel())[-max(1, round(WORST * scores.size)):]
        edge = PATCH // 2 // STEP
        return float(worst.mean()), _enlarged(np.pad(scores, edge, mode="edge"))

    return detect


def _enlarged(scores: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(Image.fromarray(scores.astype(np.float32)).resize((TILE, TILE), Image.Resampling.BICUBIC))


def _by_pca(good: Sequence[Grey]) -> Detector:
    pca = PCA(COMPONENTS, random_state=0).fit(_rows(good))
    return _on_patches(lambda rows: np.square(rows - pca.inverse_transform(pca.transform(rows))).sum(1))


def _by_neighbours(good: Sequence[Grey]) -> Detector:
    rows = np.random.default_rng(0).permutation(_rows(good))[:NEIGHBOURS]
    neighbours = NearestNeighbors(n_neighbors=1).fit(rows)
    return _on_patches(lambda patches: neighbours.kneighbors(patches)[0][:, 0])


def _by_forest(good: Sequence[Grey]) -> Detector:
    rows = _rows(good)
    pca = PCA(COMPONENTS, random_state=0).fit(rows)
    forest = IsolationForest(random_state=0).fit(pca.transform(rows))
    return _on_patches(lambda patches: -forest.score_samples(pca.transform(patches)))
