"""How good a network is in the middle of its training: rates and PSNR at a few levels over a folder of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from ..network.model import TrainableNetwork
from .data import validation_pictures

VALIDATION_LEVELS = (0, 10, 21, 31, 42, 52, 63)


class Validation(NamedTuple):
    """Means over the pictures at one level: rates as the model estimates them, latents rounded as the codec does."""

    level: int
    bpp: float
    psnr: float


@torch.no_grad()
def validate(network: TrainableNetwork, folder: Path, device: torch.device, precision: str) -> list[Validation]:
    """Measure a network at `VALIDATION_LEVELS`. Raises FileNotFoundError if no picture can be used."""
    network.eval()
    pictures = list(validation_pictures(folder))
    if not pictures:
        raise FileNotFoundError(f"no picture below {folder} can be validated on; it takes 64x64 pixels or more")
    results = []
    for level in VALIDATION_LEVELS:
        rates, psnrs = [], []
        for picture in pictures:
            picture = picture.to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                output = network(picture, torch.tensor([level], device=device))
            reached = (output.picture.clamp(-0.5, 0.5) * 255).round() / 255
            rates.append(float(output.bits_y.sum() + output.bits_z.sum()) / picture[0, 0].numel())
            psnrs.append(float(-10 * torch.log10((reached - picture).square().mean())))
        results.append(Validation(level, sum(rates) / len(rates), sum(psnrs) / len(psnrs)))
    network.train()
    return results
