"""The manifest of a job: what became of every object, as lines of JSON, written down while the job goes on."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from .. import files
from ..errors import AecError
from . import storage
from .storage import Location

FOLDER = "_aecodec"  # below the outputs
ENDING = ".jsonl"
LINES, SECONDS = 1000, 10.0  # after so many, an object store gets another part

DONE, SKIPPED, FAILED, LEFT_OUT = "done", "skipped", "failed", "left out"


@dataclass
class Line:
    """What became of one object, or of a picture in a shard."""

    key: str
    status: str  # done; skipped: it was done already; failed; left out: nothing to work on
    output: str | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    pixels: int = 0
    seconds: float = 0.0  # of coding
    error: str | None = None  # or why it was left out
    kind: str | None = None  # of the error: the name of its class
    mark: str | None = None  # what the output was made from
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """One line of text; fields without a value are left out."""
        told = {name: value for name, value in asdict(self).items() if value not in (None, [])}
        return json.dumps(told).encode(errors="backslashreplace").decode()

    @classmethod
    def from_json(cls, text: str) -> Line:
        """Raises ValueError or TypeError if it is no line."""
        return cls(**json.loads(text))


class Manifest:
    """Takes lines down. On a local disk they are in one file, flushed with every line; in a store, which cannot append,
    in parts: objects that are written when a thousand lines or ten seconds have come together.

    Args:
        folder: where; None for nowhere.
    """

    def __init__(self, folder: Location | None) -> None:
        self.folder = folder
        self.run = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%f}-{os.urandom(3).hex()}"  # sorts by time
        self._file: IO[str] | None = None
        self._lines: list[str] = []
        self._parts, self._since = 0, time.monotonic()

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *_: object) -> None:
        self._write_part()
        if self._file is not None:
            self._file.close()

    def add(self, line: Line) -> None:
        """Raises AecError if it cannot be written down."""
        if isinstance(self.folder, Path):
            try:
                if self._file is None:
                    self.folder.mkdir(parents=True, exist_ok=True)
                    self._file = open(self.folder / (self.run + ENDING), "x")  # noqa: SIM115 (closed in __exit__)
                self._file.write(line.to_json() + "\n")
                self._file.flush()
            except OSError as error:
                raise AecError(f"the manifest in {files.shown(self.folder)} cannot be written: "
                               f"{error.strerror or error}; name another folder with --manifest") from None
        elif self.folder is not None:
            self._lines.append(line.to_json())
            if len(self._lines) >= LINES or time.monotonic() - self._since > SECONDS:
                self._write_part()

    def _write_part(self) -> None:
        if self._lines and self.folder is not None:
            self._parts += 1
            name = f"{self.run}-{self._parts:06d}{ENDING}"
            storage.write(self.folder / name, ("\n".join(self._lines) + "\n").encode(), "", new=False)
            self._lines = []
        self._since = time.monotonic()


def marks(folder: Location) -> dict[str, str]:
    """What earlier runs wrote down: the mark of each output, by its address. Raises AecError."""
    if isinstance(folder, Path):
        paths: list[Location] = [*sorted(folder.glob(f"*{ENDING}"))]
    else:
        try:
            paths = [found.url for found in storage.listing(folder, folder)[0]]
        except AecError:  # nothing is there
            return {}
    found: dict[str, str] = {}
    for path in paths:
        for text in storage.read(path).decode(errors="replace").splitlines():
            try:
                line = Line.from_json(text)
            except (ValueError, TypeError):
                continue  # cut short by a kill
            if line.output is not None and line.mark is not None and line.status in (DONE, SKIPPED):
                found[line.output] = line.mark
    return found
