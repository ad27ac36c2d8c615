"""The data sets of the tables. What scikit-learn does not ship, `tools/datasets` fetches into a cache folder."""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .tables import MissingData

SIDE = 28
CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")


class Pictures(NamedTuple):
    """Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017): rows of 28x28 pixels within 0..1, float32, and classes."""

    train: NDArray[np.float32]  # [60000, 784]
    train_classes: NDArray[np.uint8]
    test: NDArray[np.float32]  # [10000, 784]
    test_classes: NDArray[np.uint8]


def folder() -> Path:
    """The cache folder: `$AECODEC_DATASETS`, or `aecodec/datasets` in the user's cache."""
    given = os.environ.get("AECODEC_DATASETS")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else cache / "aecodec" / "datasets"


def fashion_mnist() -> Pictures:
    """Raises MissingData if it was not fetched."""
    where = folder() / "fashion-mnist"
    if not (where / "train-images-idx3-ubyte.gz").is_file():
        raise MissingData(f"no Fashion-MNIST in {where}; fetch it with: tools/datasets fashion-mnist")
    train, test = (_idx(where / f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, SIDE * SIDE).astype(np.float32) / 255
                   for part in ("train", "t10k"))
    classes = (_idx(where / f"{part}-labels-idx1-ubyte.gz", 8) for part in ("train", "t10k"))
    return Pictures(train, next(classes), test, next(classes))


def molecules(count: int) -> list[str]:
    """Random SMILES of the training molecules of MOSES (Polykovskiy et al., 2020), the same for every call.

    Raises MissingData if they were not fetched."""
    path = folder() / "moses" / "train.csv.gz"
    if not path.is_file():
        raise MissingData(f"no MOSES in {path.parent}; fetch it with: tools/datasets moses")
    with gzip.open(path, "rt", encoding="ascii", newline="") as file:
        known = [row["SMILES"] for row in csv.DictReader(file)]
    return [known[index] for index in np.random.default_rng(0).permutation(len(known))[:count]]


def _idx(path: Path, header: int) -> NDArray[np.uint8]:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)
