"""The quality level that meets a target: a size in bytes, a PSNR, or a SSIMULACRA2."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from . import metrics
from .errors import AecError
from .format.constants import LEVELS, TUNES
from .picture.reading import Picture

MOST_ENCODES = 8
CLOSE = 0.97  # a file this close to the size asked for is not improved further
STRONGEST = 0.99  # share of optimised rounding, see `_between`

# What one level more usually does, to guess from one measurement; the search does not depend on it.
_LOG_BYTES_PER_LEVEL = 0.05
_DB_PER_LEVEL = 0.25
_SCORE_PER_LEVEL = 1.2


class Encoder(Protocol):
    """What a search needs of `aecodec.Codec`."""

    def encode_picture(self, read: Picture, level: int, *, strip: bool = False, rdoq_strength: float = 1.0,
                       timings: dict[str, float] | None = None,
                       progress: Callable[[float], None] | None = None, tune: str = TUNES[0]) -> bytes:
        """The file of a picture at a quality level."""

    def decode(self, data: bytes, *, output: Any = "image") -> Any:
        """A file as the array it holds."""


@dataclass(frozen=True)
class Reached:
    """A file that meets a target."""

    data: bytes
    level: int | None  # None: lossless
    encodes: int  # how many it took to find
    psnr: float | None = None  # in dB, where that was the target
    ssimulacra2: float | None = None  # where that was the target
    lossy_size: int | None = None  # of the larger lossy file, in whose place this lossless one is


def for_size(codec: Encoder, picture: Picture, size: int, strip: bool = False) -> Reached:
    """The largest file of at most `size` bytes, boxes included.

    Two levels lie up to a tenth apart in size, so where that leaves more than 3 % unused, the level above is encoded
    with more of rate-distortion optimised rounding.

    Raises:
        AecError: not even the smallest file is that small; the message tells its size.
    """
    fixed = sum(len(box.data) + 12 for box in picture.boxes(strip))
    files: list[tuple[int, bytes]] = []  # level, file

    def log_bytes(level: int, rdoq_strength: float = 1.0) -> float:
        data = codec.encode_picture(picture, level, strip=strip, rdoq_strength=rdoq_strength)
        files.append((level, data))
        return math.log(len(data) - fixed)

    def best() -> tuple[int, bytes] | None:
        return max((file for file in files if len(file[1]) <= size), key=lambda file: len(file[1]), default=None)

    target = math.log(size - fixed) if size > fixed else -math.inf
    seen: dict[int, float] = {}
    level = highest_level(log_bytes, target, _LOG_BYTES_PER_LEVEL, seen) + 1
    found = best()
    if level < LEVELS and (found is None or len(found[1]) < CLOSE * size):
        _between(lambda strength: log_bytes(level, strength), seen[level], target, found is None,
                 MOST_ENCODES - len(files))
        found = best()
    if found is None:
        smallest = min(len(data) for _, data in files)
        metadata = f", {fixed:,} of them for what goes with the picture, which stripping makes less" if fixed else ""
        raise AecError(f"it cannot be made as small as {size:,} bytes: the smallest file has {smallest:,}{metadata}")
    return Reached(found[1], found[0], len(files))


def _between(log_bytes: Callable[[float], float], plain: float, target: float, impossible: bool, budget: int) -> None:
    """Encode a level that is too large with more optimised rounding, until its size comes just below the target.

    At a strength of the usual and `share / (1 - share)` the logarithm of the size falls almost evenly with `share`.
    """
    low, at_low = 0.0, plain  # too large
    high, at_high = STRONGEST, plain - 0.2  # small enough, it is supposed
    aim = target + math.log((1 + CLOSE) / 2)
    share = STRONGEST if impossible else None
    for _ in range(budget):
        if share is None:
            part = (at_low - aim) / max(at_low - at_high, 1e-9)
            share = low + (high - low) * min(max(part, 0.1), 0.9)
        size = log_bytes(1 + share / (1 - share))
        if size > target:
            low, at_low = share, size
        elif size < target + math.log(CLOSE):
            high, at_high = share, size
        else:
            return
        if low == STRONGEST:
            return
        share = None


def for_psnr(codec: Encoder, picture: Picture, decibels: float, strip: bool = False) -> Reached:
    """The smallest file whose picture has at least this PSNR (over all samples of R, G and B; alpha does not count).

    Raises:
        AecError: not even the best quality reaches it; the message tells what that has.
    """
    def measure(decoded: np.ndarray) -> float:
        if picture.grey:
            return metrics.psnr(picture.pixels[:, :, 0], decoded[:, :, 0])
        return metrics.psnr(picture.pixels, decoded)

    data, level, encodes, value = _for_measure(codec, picture, measure, decibels, _DB_PER_LEVEL, " dB", strip)
    return Reached(data, level, encodes, psnr=value)


def for_ssimulacra2(codec: Encoder, picture: Picture, score: float, strip: bool = False) -> Reached:
    """The smallest file whose picture has at least this SSIMULACRA2 (alpha does not count).

    Raises:
        AecError: not even the best quality reaches it, or the picture is too small to be judged.
    """
    height, width = picture.pixels.shape[:2]
    if min(height, width) < metrics.SSIMULACRA2_SIDE:
        raise AecError(f"SSIMULACRA2 needs at least {metrics.SSIMULACRA2_SIDE} pixels each way, and the picture is "
                       f"{width}x{height}; give a quality")

    def measure(decoded: np.ndarray) -> float:
        return metrics.ssimulacra2(picture.pixels, np.ascontiguousarray(decoded))

    data, level, encodes, value = _for_measure(codec, picture, measure, score, _SCORE_PER_LEVEL, " (SSIMULACRA2)",
                                               strip)
    return Reached(data, level, encodes, ssimulacra2=value)


def _for_measure(codec: Encoder, picture: Picture, measure: Callable[[np.ndarray], float], least: float,
                 per_level: float, unit: str, strip: bool) -> tuple[bytes, int, int, float]:
    """The smallest file whose picture `uint8 [H, W, 3]` measures at least so much: file, level, encodings, measure."""
    files: dict[int, bytes] = {}

    def measured(level: int) -> float:
        files[level] = codec.encode_picture(picture, level, strip=strip)
        decoded = codec.decode(files[level], output="array")
        planes = decoded.reshape(*decoded.shape[:2], -1)
        return measure(np.repeat(planes[:, :, :1], 3, axis=2) if picture.grey else planes[:, :, :3])

    seen: dict[int, float] = {}
    highest_level(measured, float(np.nextafter(least, -math.inf)), per_level, seen)
    enough = [level for level, value in seen.items() if value >= least]
    if not enough:
        raise AecError(f"it cannot reach {least:g}{unit}: the best quality has {max(seen.values()):.2f}{unit}")
    return files[min(enough)], min(enough), len(files), seen[min(enough)]


def highest_level(measure: Callable[[int], float], target: float, per_level: float, seen: dict[int, float]) -> int:
    """The highest level whose measure is at most `target`, -1 if there is none, in at most eight measurements.

    Args:
        measure: rises with the level, nearly always. Where it does not, the result is a level that meets the target
            below one that does not.
        per_level: how much it usually rises.
        seen: receives every measurement.
    """
    low, high, level = -1, LEVELS, LEVELS // 2
    while high - low > 1:
        value = seen[level] = measure(level)
        if value <= target:
            low = level
        else:
            high = level
        # Guess where the measure meets the target, as long as halving could still follow if the guess helps nothing.
        if MOST_ENCODES - len(seen) > math.ceil(math.log2(high - low)) and math.isfinite(target):
            if low in seen and high in seen:
                guess = low + (target - seen[low]) / (seen[high] - seen[low]) * (high - low)
            else:
                guess = level + (target - value) / per_level
            level = min(max(math.floor(min(max(guess, -1.0), LEVELS)), low + 1), high - 1)
        else:
            level = (low + high) // 2
    return low
