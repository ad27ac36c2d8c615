"""The terms an objective is made of: how far a reconstruction is from its target, one number a picture.

A term takes an output (anything with a `picture [B, 3, H, W]`, centred: -0.5..0.5) and the target picture of the same
shape, and gives `[B]`, differentiable in the output. All are scaled to the MSE of RGB on the 0..255 scale: along the
codec's own curve they are as large, so a Lagrangian means the same with any mix of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from .visual import blur, visual_distortion

# Fitted to geometric means over 12 photos at 8 levels of weights trained for MSE. Along that curve, masked luma stays
# within -16 and +28 % of the MSE, MS-SSIM within -8 and +13 %.
VISUAL_SCALE, VISUAL_POWER = 6.55, 0.958
MASKED_LUMA_SCALE = 512.0
MS_SSIM_SCALE = 1544.0

MASKING = 58.0  # squared code values: below this variance of the luma nothing is masked; SSIM's (0.03 * 255)^2
LUMA = (0.299, 0.587, 0.114)
MS_SSIM_SIDE = 161  # the shortest side that its five scales can be taken of
_LEAST = 1e-4  # a power below one has no gradient at zero


class Reconstruction(Protocol):
    """What a term needs of a network's output; terms that look at latents need more of it."""

    @property
    def picture(self) -> Tensor: ...


Term = Callable[[Reconstruction, Tensor], Tensor]


def mse(output: Reconstruction, target: Tensor) -> Tensor:
    """The mean squared error over RGB, code values of 0..255."""
    return 255**2 * (output.picture.float() - target).square().mean(dim=(1, 2, 3))


def visual(output: Reconstruction, target: Tensor) -> Tensor:
    """SSIMULACRA2's sum of error norms (`visual.visual_distortion`)."""
    total = visual_distortion(output.picture.float() + 0.5, target.float() + 0.5)
    return VISUAL_SCALE * total.clamp_min(_LEAST) ** VISUAL_POWER


def masked_luma_ratio(picture: Tensor, target: Tensor) -> Tensor:
    """The mean of `e^2 / (2 sigma^2 + 58)`: squared errors of the luma, which the target's own variance hides."""
    weights = torch.tensor(LUMA, device=target.device)[:, None, None] * 255
    error = ((picture.float() - target) * weights).sum(dim=1)
    with torch.no_grad():
        luma = (target * weights).sum(dim=1)
        mean = blur(luma)
        variance = (blur(luma * luma) - mean * mean).clamp_min(0)
    return (error.square() / (2 * variance + MASKING)).mean(dim=(1, 2))


def masked_luma_mse(output: Reconstruction, target: Tensor) -> Tensor:
    """`masked_luma_ratio`, scaled. About the structural part of 1 - SSIM, but never blind to flat regions."""
    return MASKED_LUMA_SCALE * masked_luma_ratio(output.picture, target)


def ms_ssim_loss(picture: Tensor, target: Tensor) -> Tensor:
    """1 - MS-SSIM of RGB (Wang, Simoncelli and Bovik, 2003).

    Raises:
        ValueError: a side is shorter than `MS_SSIM_SIDE`.
    """
    from pytorch_msssim import ms_ssim as package_ms_ssim

    if min(target.shape[2:]) < MS_SSIM_SIDE:
        raise ValueError(f"MS-SSIM needs crops of {MS_SSIM_SIDE} pixels or more, not {min(target.shape[2:])}; choose a "
                         "larger crop, or give ms_ssim a weight of 0")
    return 1 - package_ms_ssim(picture.float().contiguous() + 0.5, target.float().contiguous() + 0.5, data_range=1.0,
                               size_average=False)


def ms_ssim(output: Reconstruction, target: Tensor) -> Tensor:
    """`ms_ssim_loss`, scaled."""
    return MS_SSIM_SCALE * ms_ssim_loss(output.picture, target)


#: What a recipe may give a weight.
TERMS: dict[str, Term] = {"mse": mse, "visual": visual, "masked_luma_mse": masked_luma_mse, "ms_ssim": ms_ssim}
