"""What may be done to a network's input in training while its target stays clean: noise of a sensor, hidden cells.

A network that is trained so learns to restore (Vincent et al., "Extracting and composing robust features with denoising
autoencoders", ICML 2008; He et al., "Masked autoencoders are scalable vision learners", CVPR 2022).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .visual import to_linear

CELL = 16  # side of a hidden cell in pixels: that of a latent


@dataclass(frozen=True)
class Corruption:
    """How inputs are corrupted. Ranges are drawn from for every picture, evenly on a logarithmic scale.

    The noise is that of a sensor: of linear light x in 0..1 with variance `shot x + read^2` (Brooks et al.,
    "Unprocessing images for learned raw denoising", CVPR 2019, section 3).
    """

    share: float = 0.5  # of the pictures that get noise; the others are clean, so that the network learns to copy, too
    shot: tuple[float, float] | None = None  # such as (1e-4, 1e-2)
    read: tuple[float, float] | None = None  # standard deviation, such as (1e-3, 3e-2)
    masked: float = 0.0  # share of the 16x16 cells of every picture that are hidden

    def __post_init__(self) -> None:
        for name in ("shot", "read"):
            limits = getattr(self, name)
            if limits is not None and not (len(limits) == 2 and 0 < limits[0] <= limits[1]):
                raise ValueError(f"corruption.{name} must be two positive numbers, the smaller first, not {limits}")
        if not (0 <= self.share <= 1 and 0 <= self.masked < 1):
            raise ValueError("corruption.share and corruption.masked must be shares between 0 and 1")

    def __call__(self, picture: Tensor) -> Tensor:
        """A corrupted copy of centred pictures `[B, 3, H, W]` (H and W multiples of 16), by torch's random state."""
        result = picture
        if self.shot or self.read:
            count = (picture.shape[0], 1, 1, 1)
            noisy = torch.rand(count, device=picture.device) < self.share
            shot, read = (_draw(limits, count, picture.device) for limits in (self.shot, self.read))
            result = torch.where(noisy, sensor_noise(picture + 0.5, shot, read) - 0.5, result)
        return hide_cells(result, self.masked) if self.masked else result


def _draw(limits: tuple[float, float] | None, shape: tuple[int, ...], device: torch.device) -> Tensor:
    if limits is None:
        return torch.zeros(shape, device=device)
    low, high = (math.log(limit) for limit in limits)
    return torch.exp(low + (high - low) * torch.rand(shape, device=device))


def from_linear(linear: Tensor) -> Tensor:
    """Linear light within 0..1 to sRGB."""
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp_min(1e-5) ** (1 / 2.4) - 0.055)


def sensor_noise(picture: Tensor, shot: Tensor, read: Tensor) -> Tensor:
    """sRGB pictures `[B, 3, H, W]` in 0..1 with shot noise and read noise (`[B, 1, 1, 1]`), clipped to 0..1."""
    linear = to_linear(picture.clamp(0, 1))
    deviation = torch.sqrt(shot * linear + read * read)
    return from_linear((linear + deviation * torch.randn_like(linear)).clamp(0, 1))


def hide_cells(picture: Tensor, share: float) -> Tensor:
    """Centred pictures with a share of their 16x16 cells mid-grey: the same number in every picture."""
    batch, _, height, width = picture.shape
    rows, columns = -(-height // CELL), -(-width // CELL)
    order = torch.rand(batch, rows * columns, device=picture.device).argsort(dim=1)
    shown = (order >= round(share * rows * columns)).view(batch, 1, rows, columns)
    shown = shown.repeat_interleave(CELL, 2).repeat_interleave(CELL, 3)[:, :, :height, :width]
    return picture * shown
