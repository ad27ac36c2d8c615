"""The seam between what is done to a picture and where its bytes come from and go to: files, objects, shards, Ray."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from .storage import Location


@dataclass
class Made:
    """What was made of the bytes of one picture, in facts."""

    data: bytes
    facts: dict[str, Any] = field(default_factory=dict)  # names and plain values, as JSON takes them
    timings: dict[str, float] = field(default_factory=dict)  # in seconds
    notes: list[str] = field(default_factory=list)  # what was changed or left out
    check: Callable[[bytes], object] | None = None  # receives what was written, read back


class Coding(Protocol):
    """Makes the bytes of an output of the bytes of an input: `Compress` or `Decompress`. It can be pickled."""

    def code(self, source: Location, data: bytes) -> Made:
        """Raises AecError that names `source`."""
        ...

    def settings(self) -> dict[str, Any]:
        """What the output depends on besides the input: names and plain values, those that are not the usual ones."""
        ...
