"""Many pictures to search in: their vectors, what is like a picture, and which of them are the same."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import AecError
from .embedding import PARTS, Metric

VERSION = 1
BLOCK = 1 << 24  # numbers that are compared at a time


class BadIndex(AecError):
    """A file that is no index, or one that was made otherwise."""


@dataclass(frozen=True)
class Match:
    """A picture of an index that is like another one."""

    name: str
    similarity: float  # -1..1; the same picture has 1
    mirrored: bool
    of: str  # `whole`; `crop`: the picture that is searched for shows a part of this one; `holds`: the other way round
    box: tuple[float, float, float, float]  # of that part: left, top, right, bottom in shares of the sides


class Index:
    """Pictures by their names.

    Args:
        metric: what their vectors were made by.
        names: of the pictures.
        vectors: `[N, len(PARTS), metric.size]`, as `Metric.embed` gives them.
    """

    def __init__(self, metric: Metric, names: Sequence[str], vectors: np.ndarray) -> None:
        self.metric, self.names = metric, list(names)
        self.vectors = np.asarray(vectors, np.float16).reshape(len(self.names), len(PARTS), metric.size)

    def __len__(self) -> int:
        return len(self.names)

    # -- files ----------------------------------------------------------------------------------------------------

    def dump(self) -> bytes:
        """The file that `load` reads: an .npz archive of three arrays."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, about=np.array([f"aecodec embeddings {VERSION}", self.metric.id]),
                            names=np.array(self.names, dtype=np.str_), vectors=self.vectors)
        return buffer.getvalue()

    @classmethod
    def load(cls, data: bytes, metric: Metric) -> Index:
        """An index from the bytes of its file. Raises BadIndex."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                kind, made_by = (str(word) for word in arrays["about"])
                names, vectors = arrays["names"], arrays["vectors"]
            if not kind.startswith("aecodec embeddings") or names.ndim != 1 or names.dtype.kind != "U":
                raise ValueError("its arrays are others")
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, TypeError) as error:
            raise BadIndex(f"it is not an index that `aecodec embed` wrote ({error})") from None
        if kind != f"aecodec embeddings {VERSION}" or made_by != metric.id:
            raise BadIndex(f"it was made with another model or release ({made_by}, here {metric.id}); make it again "
                           "with `aecodec embed`")
        if vectors.dtype != np.float16 or vectors.shape != (len(names), len(PARTS), metric.size) or (
                not np.isfinite(vectors).all()):
            raise BadIndex("its vectors are damaged; make it again with `aecodec embed`")
        return cls(metric, [str(name) for name in names], vectors)

    # -- comparing ------------------------------------------------------------------------------------------------

    def search(self, vectors: np.ndarray, count: int = 10) -> list[Match]:
        """The pictures most like one, the best first.

        Args:
            vectors: `[len(PARTS), D]` of the picture that is searched for.
        """
        likeness = self.similarities(vectors[None])[0]
        best = np.argsort(-likeness, kind="stable")[:count]
        return [self._match(int(n), vectors) for n in best]

    def similarities(self, queries: np.ndarray) -> np.ndarray:
        """How similar pictures `[Q, len(PARTS), D]` are to those of the index: float32 `[Q, N]`, -1..1."""
        blocks = [block for _, block in self._compared(queries)]
        return np.concatenate([np.empty((len(queries), 0), np.float32), *blocks], axis=1)

    def pairs(self, least: float) -> Iterator[tuple[int, int, float]]:
        """Pairs of pictures, by number, that are at least so similar, and how similar they are."""
        step = max(1, BLOCK // max(self.vectors[0].size, 1) // 64) if len(self) else 1
        for first in range(0, len(self), step):
            for begin, block in self._compared(self.vectors[first:first + step].astype(np.float32), first):
                for row, column in np.argwhere(block >= least):
                    a, b = first + int(row), begin + int(column)
                    if a < b:
                        yield a, b, float(block[row, column])

    def groups(self, least: float | None = None) -> list[list[int]]:
        """Pictures that are the same, directly or by way of others: groups of two and more, by number.

        Args:
            least: the similarity from which two are the same; without it what the metric says.
        """
        root = list(range(len(self)))

        def find(n: int) -> int:
            while root[n] != n:
                root[n] = n = root[root[n]]
            return n

        for a, b, _ in self.pairs(self.metric.same if least is None else least):
            a, b = find(a), find(b)
            root[max(a, b)] = min(a, b)
        members: dict[int, list[int]] = {}
        for n in range(len(self)):
            members.setdefault(find(n), []).append(n)
        return [group for group in members.values() if len(group) > 1]

    def _compared(self, queries: np.ndarray, begin: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """The similarity of pictures `[Q, len(PARTS), D]` to those of the index from number `begin` on.

        Yields:
            The number of the first one of a block, and `[Q, block]`.
        """
        step = max(1, BLOCK // (len(PARTS) * (self.metric.size + 2 * len(queries))))
        for first in range(begin, len(self), step):
            block = self.vectors[first:first + step].astype(np.float32)
            size = block.shape[2]
            to_parts = self._likeness(queries[:, 0], block.reshape(-1, size)).reshape(len(queries), len(block), -1)
            of_parts = self._likeness(queries.reshape(-1, size), block[:, 0]).reshape(len(queries), -1, len(block))
            yield first, np.maximum(to_parts.max(2), of_parts.max(1))

    def _likeness(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Of vectors `[A, D]` to vectors `[B, D]`, either of them mirrored or not: `[A, B]`."""
        even = len(self.metric.even)
        return a[:, :even] @ b[:, :even].T + np.abs(a[:, even:] @ b[:, even:].T)  # type: ignore[no-any-return]

    def _match(self, n: int, vectors: np.ndarray) -> Match:
        own = self.vectors[n].astype(np.float32)
        to_parts, of_parts = self._likeness(vectors[:1], own)[0], self._likeness(vectors, own[:1])[:, 0]
        part = int(to_parts.argmax())
        other = int(of_parts.argmax())
        crop = to_parts[part] >= of_parts[other]
        if crop:
            a, b, place, of = vectors[0], own[part], part, "crop"
        else:
            a, b, place, of = vectors[other], own[0], other, "holds"
        even = len(self.metric.even)
        likeness = float(max(to_parts[part], of_parts[other]))
        return Match(self.names[n], min(likeness, 1.0), bool(a[even:] @ b[even:] < 0), of if place else "whole",
                     PARTS[place])


def describe(match: Match) -> dict[str, Any]:
    """A match as JSON takes it."""
    return {"name": match.name, "similarity": round(match.similarity, 4), "mirrored": match.mirrored, "of": match.of,
            "box": [round(edge, 3) for edge in match.box]}
