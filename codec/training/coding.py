"""Photos as a network codes them, without files: what tables and dead zones are fitted to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.progress import track

from ..network.context import Means
from ..network.model import ShippedNetwork
from ..network.quantisation import quantise_step
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
    with torch.autocast("cpu", torch.bfloat16):
        latents = network.analysis(picture, levels).float()
    gain = network.gain(levels)
    z = next(network.hyper_latents(iter([latents * gain]), level))
    index = network.scale_decoder(z, level).to(torch.uint8)
    dead_zone, scale = network.rounding.at(level), gain.flatten()
    symbols, y_hat = torch.zeros_like(latents, dtype=torch.int16), torch.zeros_like(latents)

    def code(step: int, _: int, means: Means) -> torch.Tensor:
        quantise_step(step, latents, means, scale, scale.reciprocal(), index, dead_zone, y_hat, symbols, False)
        return y_hat

    _, features = network.context(next(network.features(iter([z]), level)), levels, code)
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
