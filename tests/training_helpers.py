"""What tests of training share: the recipe of a tiny network, and what a run writes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

SIZES = {"latents": 64, "analysis_blocks": [1, 0], "synthesis_blocks": [0, 1], "hyper": 16, "context": 32}
SETTINGS = {f"sizes.{name}": value for name, value in SIZES.items()} | {
    "terms.mse": 1.0, "terms.visual": 0.0, "phases.plateau.batch": 2, "phases.plateau.crop": 64,
    "phases.plateau.rate": 1.0, "phases.decay.batch": 2, "phases.decay.crop": 64, "phases.decay.parts": 1,
    "phases.decay.rate": 1.0, "run.precision": '"no"', "run.checkpoint_every": 50}
STEPS = 100
SEED = 5


def overrides(**changes: Any) -> list[str]:
    """What `--set` takes for the tests' recipe; `phases__decay__crop=128` changes one entry."""
    settings = SETTINGS | {name.replace("__", "."): value for name, value in changes.items()}
    return [f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in settings.items()]


def rows(folder: Path, name: str = "run.csv") -> list[dict[str, float]]:
    """A table of a run's progress."""
    with open(folder / name, newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def options(pictures: Path, out: Path, recipe: dict[str, Any] | None = None, **changes: Any):
    """Options of a tiny training."""
    from aecodec.training import loop
    from aecodec.training.recipe import load

    values = {"steps": STEPS, "seed": SEED, "recipe": load(overrides=overrides(**(recipe or {}))), **changes}
    return loop.TrainingOptions(data=pictures, out=out, **values)
