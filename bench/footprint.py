"""How much room an install takes: the distributions that aecodec needs, with and without torch."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import aecodec

from .speed import Measurement

PACKAGE = "aecodec"
_NOT_SHIPPED = ("__pycache__", "web")


def needed(name: str, extra: str = "") -> tuple[set[str], set[str]]:
    """The distributions that come with one, itself included, by their normalised names; and which are missing here."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: set[str] = set()
    missing: set[str] = set()
    seen: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(name), extra)]
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        try:
            texts = importlib.metadata.distribution(one[0]).requires or []
        except importlib.metadata.PackageNotFoundError:
            missing.add(one[0])
            continue
        found.add(one[0])
        for requirement in map(Requirement, texts):
            if requirement.marker is None or requirement.marker.evaluate({"extra": one[1]}):
                waiting += [(canonicalize_name(requirement.name), wanted) for wanted in (requirement.extras or {""})]
    return found, missing


def bytes_of(name: str) -> int:
    """What a distribution has on the disk: its files, as its installer recorded them."""
    if name == PACKAGE:  # which may stand elsewhere, as in a checkout
        return sum(path.stat().st_size for folder in aecodec.__path__ for path in Path(folder).rglob("*")
                   if path.is_file() and not set(_NOT_SHIPPED) & set(path.parts))
    paths = (Path(str(path.locate())) for path in importlib.metadata.distribution(name).files or [])
    return sum(path.stat().st_size for path in paths if path.is_file())


def measure(machine: str) -> list[Measurement]:
    """Rows of what the base install and the one with torch take, in MB; of what is not whole here, why."""
    rows = []
    for extra in ("", "torch"):
        found, missing = needed(PACKAGE, extra)
        note = f"not installed: {', '.join(sorted(missing))}" if missing else ""
        size = None if missing else sum(map(bytes_of, found)) / 1e6
        rows.append(Measurement(f"{PACKAGE}[{extra}]" if extra else PACKAGE, aecodec.__version__, "", "install", None,
                                None, None, None, None, None, 0, None, None, None, "", 0, machine, note, disk_mb=size))
    return rows
