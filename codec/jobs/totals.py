"""What a job has done so far, in numbers: counts, bytes, rate, time left, percentiles."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from typing import Any

from .manifest import DONE, FAILED, LEFT_OUT, SKIPPED, Line

STEP = 1.02  # from one bin of a distribution to the next one: percentiles are within 1 %
WINDOW = 60.0  # seconds that the rate looks back


class Distribution:
    """Positive numbers, as many as there are, in bins of equal ratio."""

    def __init__(self) -> None:
        self.bins: Counter[int] = Counter()

    def add(self, value: float) -> None:
        self.bins[round(math.log(max(value, 1e-9), STEP))] += 1

    def percentile(self, percent: float) -> float | None:
        """The value that `percent` of all are not above; None if there are none."""
        wanted, seen = self.bins.total() * percent / 100, 0
        for place in sorted(self.bins):
            seen += self.bins[place]
            if seen >= wanted:
                return float(STEP**place)
        return None


class Totals:
    """Counts lines. A listing that goes on at the same time sets `found` and `all_found`."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.bytes_in, self.bytes_out, self.pixels, self.seconds = 0, 0, 0, 0.0
        self.per_picture, self.per_megapixel = Distribution(), Distribution()
        self.found, self.all_found = 0, False
        self.began = time.monotonic()
        self._recent: deque[tuple[float, int]] = deque([(self.began, 0)])

    def add(self, line: Line) -> None:
        self.counts[line.status] += 1
        if line.status == DONE:
            self.bytes_in += line.bytes_in
            self.bytes_out += line.bytes_out
            self.pixels += line.pixels
            self.seconds += line.seconds
            self.per_picture.add(line.seconds)
            if line.pixels:
                self.per_megapixel.add(line.seconds / line.pixels * 1e6)
        now = time.monotonic()
        if now - self._recent[-1][0] > 0.5:
            self._recent.append((now, self.finished))
            while now - self._recent[1][0] > WINDOW:
                self._recent.popleft()

    @property
    def finished(self) -> int:
        return self.counts[DONE] + self.counts[SKIPPED] + self.counts[FAILED]

    @property
    def saved(self) -> int:
        """Bytes that the outputs have less than the inputs."""
        return self.bytes_in - self.bytes_out

    def rate(self) -> float:
        """Objects a second, over the last minute."""
        began, before = self._recent[0]
        return (self.finished - before) / max(time.monotonic() - began, 1e-3)

    def left(self) -> float | None:
        """Seconds until the end at this rate; None while not all objects have been found."""
        rate = self.rate()
        return max(self.found - self.finished, 0) / rate if self.all_found and rate else None

    def document(self) -> dict[str, Any]:
        """The summary, as JSON takes it."""
        seconds = time.monotonic() - self.began
        return {
            "counts": {status.replace(" ", "_"): self.counts[status] for status in (DONE, SKIPPED, FAILED, LEFT_OUT)},
            "bytes_in": self.bytes_in, "bytes_out": self.bytes_out, "pixels": self.pixels,
            "seconds": round(seconds, 3), "coding_seconds": round(self.seconds, 3),
            "objects_per_second": round(self.finished / max(seconds, 1e-3), 3),
            "seconds_per_object": _percentiles(self.per_picture),
            "seconds_per_megapixel": _percentiles(self.per_megapixel),
        }


def _percentiles(distribution: Distribution) -> dict[str, float | None]:
    values = {f"p{percent}": distribution.percentile(percent) for percent in (50, 90, 99)}
    return {name: None if value is None else float(f"{value:.3g}") for name, value in values.items()}
