"""The model card: how a model was trained, and how good its real files are."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from ..coder import Coder
from ..format.constants import LEVELS
from ..format.container import write_file
from ..network.model import ModelConfig, TrainableNetwork
from .data import read_picture

CARD_LEVELS = tuple(range(0, LEVELS, 7))


@dataclass(frozen=True)
class Point:
    """Means over a folder at one level: real files, whole-file bytes, 8-bit RGB."""

    level: int
    quality: float
    bpp: float
    psnr: float


def evaluate(with_coder: Coder, pictures: list[Path], levels: tuple[int, ...] = CARD_LEVELS) -> list[Point]:
    """Encode, decode and compare every picture at every level."""
    points = []
    for level in track(levels, description="measuring", transient=True):
        rates: list[float] = []
        psnrs: list[float] = []
        for path in pictures:
            try:
                pixels = read_picture(path)
            except Exception as reason:  # a decoder may raise anything on a broken file
                print(f"{path} is left out: {reason}", flush=True)
                continue
            file = with_coder.encode(pixels, level)
            error = with_coder.decode(file).astype(np.float64) - pixels
            rates.append(8 * len(write_file(file)) / (pixels.shape[0] * pixels.shape[1]))
            psnrs.append(10 * math.log10(255**2 / max(float(np.mean(error**2)), 1e-10)))
        points.append(Point(level, round(level * 100 / (LEVELS - 1), 1), float(np.mean(rates)), float(np.mean(psnrs))))
    return points


def _training_lines(checkpoint: dict[str, Any]) -> list[str]:
    """How the checkpoint's phase was trained."""
    recipe = checkpoint.get("recipe")
    if recipe is None:  # of a trainer before recipes
        options = checkpoint.get("options", {})
        return [f"- Options: `{json.dumps(options)}`"]
    name = checkpoint["phase"]
    phase = recipe["phases"][name]
    steps = checkpoint["step"] - checkpoint["began"][0]
    objectives = [recipe["terms"], *(tune["terms"] for tune in recipe.get("tunes", {}).values())]
    terms = "; ".join(" + ".join(f"{weight:g} {term}" for term, weight in weights.items() if weight)
                      for weights in objectives)
    return [f"- Recipe: `{recipe['name']}`; distortion: {terms}",
            f"- Last phase: {name}, {steps:,} steps of {checkpoint['processes']} x {phase['batch']} crops of "
            f"{phase['crop']}x{phase['crop']}; learning-rate factor: {phase['rate']:g}; precision: "
            f"{recipe['run']['precision']}; seed: {checkpoint['seed']}"]


def model_card(name: str, checkpoint: dict[str, Any], points: list[Point], folder: Path | None, notes: str) -> str:
    """The card as Markdown."""
    network = TrainableNetwork(ModelConfig.from_dict(checkpoint["config"]))
    parameters = sum(p.numel() for p in network.parameters()) / 1e6
    lines = [
        f"# Model `{name}`", "",
        f"A convolutional autoencoder with {LEVELS} quality levels, {parameters:.1f} M parameters. Experimental: its "
        "files decode with the release that holds these weights, and may not with a later one.", "",
        f"- Sizes: `{json.dumps(checkpoint['config'])}`",
        f"- Steps: {checkpoint['step']:,}; pixels seen: {checkpoint['pixels'] / 1e9:.2f} gigapixels; "
        f"time: {checkpoint['seconds'] / 3600:.2f} h",
        f"- Photos: {checkpoint['photos']:,} used, {len(checkpoint['skipped'])} skipped",
    ]
    lines += _training_lines(checkpoint)
    lines += [f"- Before: {entry}" for entry in checkpoint["history"]]
    if notes:
        lines += ["", notes.strip()]
    if points:
        lines += ["", f"Means over the pictures of `{folder.name if folder else ''}`, from real files "
                      "(whole-file bytes, 8-bit RGB PSNR):", "",
                  "| level | quality | bits per pixel | PSNR (dB) |", "|---|---|---|---|"]
        lines += [f"| {p.level} | {p.quality} | {p.bpp:.4f} | {p.psnr:.3f} |" for p in points]
    return "\n".join(lines) + "\n"
