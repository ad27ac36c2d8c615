"""How far one picture is from another, for 8-bit RGB `uint8 [H, W, 3]` of one size. NumPy alone; memory in strips."""

from __future__ import annotations

from ._ms_ssim import MS_SSIM_SIDE, ms_ssim
from ._psnr import psnr
from ._ssimulacra2 import SSIMULACRA2_SIDE, ssimulacra2

__all__ = ["MS_SSIM_SIDE", "SSIMULACRA2_SIDE", "ms_ssim", "psnr", "ssimulacra2"]
