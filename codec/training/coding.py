"""Photos as a network codes them, without files: what tables and dead zones are fitted to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.progress import track

from ..format.constants import TABLES
from ..network.context import Means, step_of
from ..network.model import ShippedNetwork
from ..network.quantisation import towards_zero
from .data import centred, read_picture


class Coded(NamedTuple):
    """A picture as a network codes it: symbols of z, table indices, symbols, and the latents the decoder gets."""

    z: torch.Tensor  # [Z, h/4, w/4]
    tables: torch.Tensor  # [M, h, w]
    symbols: torch.Tensor  # [M, h, w]
    y_hat: torch.Tensor  # [1, M, h, w]: what the synthesis gets


@torch.no_grad()
def code_picture(network: ShippedNetwork, picture: torch.Tensor, level: int) -> Coded:
    """Code a centred picture `[1, 3, H, W]` (multiples of 64)."""
    levels = torch.tensor([level])
    gain = network.gain(levels)
    with torch.autocast("cpu", torch.bfloat16):
        latents = network.analysis(picture, levels)
    scaled = latents.float() * gain
    z = next(network.hyper_latents(iter([scaled]), level))
    index = network.scale_decoder(z, level)
    steps = step_of(scaled.shape[1], scaled.shape[2], scaled.shape[3])
    symbols, y_hat = torch.zeros_like(scaled), torch.zeros_like(scaled)
    cells = index.long() + TABLES * torch.arange(index.shape[1])[:, None, None]
    dead = network.rounding.at(level).flatten()[cells]

    def code(step: int, _: int, predicted: Means) -> torch.Tensor:
        nonlocal symbols, y_hat
        now, means = steps == step, predicted.all()
        residual = towards_zero(scaled - means * gain, dead)
        symbol = torch.where(now & (index > 0), torch.round(residual), 0)
        corrections = predicted.corrections()
        shifted = symbol if corrections is None else symbol + corrections * symbol.clamp(-1, 1)
        symbols, y_hat = symbols + symbol, torch.where(now, shifted / gain + means, y_hat)
        return y_hat

    y_hat, features = network.context(next(network.features(iter([z]), level)), levels, code)
    return Coded(z[0], index[0], symbols[0], network.context.inform(y_hat, features, index))


def spread(pictures: list[Path], count: int) -> list[Path]:
    """At most so many of the pictures, evenly spread."""
    return [pictures[i] for i in np.linspace(0, len(pictures) - 1, min(count, len(pictures))).astype(int)]


def sample_pictures(paths: list[Path], description: str) -> Iterator[torch.Tensor]:
    """The pictures of files, centred `[1, 3, H, W]`, cropped to multiples of 64 and at most 768; no broken ones."""
    for path in track(paths, description=description, transient=True):
        try:
            pixels = read_picture(path)
        except Exception:  # a decoder may raise anything on a broken file; training skipped it, too
            continue
        height, width = (min(side // 64 * 64, 768) for side in pixels.shape[:2])
        if height and width:
            yield centred(pixels[:height, :width])
