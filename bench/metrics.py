"""How far a decoded picture is from the original, by the field's usual measures.

All work on 8-bit RGB at the picture's own size: `uint8 [H, W, 3]`.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from aecodec.metrics import MS_SSIM_SIDE, psnr

SSIMULACRA2_SIDE = 8
LPIPS_BACKBONE = "alexnet-owt-7be5be79.pth"


@dataclass(frozen=True)
class Metrics:
    """None: not asked for, or not defined at the picture's size. A lossless picture has a PSNR of infinity."""

    psnr_rgb: float
    psnr_y: float
    ms_ssim: float | None = None
    ssimulacra2: float | None = None
    lpips: float | None = None


def measure(original: np.ndarray, decoded: np.ndarray, ssimulacra2: bool = False, lpips: bool = False) -> Metrics:
    """All metrics of `decoded`. Raises ValueError if the sizes differ."""
    if original.shape != decoded.shape or decoded.dtype != np.uint8:
        raise ValueError(f"decoded to {decoded.dtype} {decoded.shape}, not to uint8 {original.shape}")
    shorter = min(original.shape[:2])
    return Metrics(
        psnr(original, decoded), psnr(luma(original), luma(decoded)),
        ms_ssim(original, decoded) if shorter >= MS_SSIM_SIDE else None,
        _ssimulacra2(original, decoded) if ssimulacra2 and shorter >= SSIMULACRA2_SIDE else None,
        _lpips(original, decoded) if lpips else None)


def luma(pixels: np.ndarray) -> np.ndarray:
    """Y' of BT.601 as JFIF has it, full range, not rounded: `[H, W, 3]` -> `[H, W]`."""
    return pixels @ np.array([0.299, 0.587, 0.114])


def ms_ssim(original: np.ndarray, decoded: np.ndarray) -> float:
    """Multi-scale structural similarity (Wang et al. 2003), 0..1, mean over R, G and B."""
    import torch
    from pytorch_msssim import ms_ssim as measure_ms_ssim

    with torch.inference_mode():
        return float(measure_ms_ssim(_planes(original), _planes(decoded), data_range=255))


def ms_ssim_db(value: float) -> float:
    """MS-SSIM on the scale on which it is drawn and averaged over rate: `-10 log10(1 - x)` dB."""
    return float(-10 * np.log10(1 - value)) if value < 1 else float("inf")


def _planes(pixels: np.ndarray) -> Any:
    """`uint8 [H, W, 3]` as a float32 tensor `[1, 3, H, W]`, 0..255."""
    import torch

    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].float()


def _ssimulacra2(original: np.ndarray, decoded: np.ndarray) -> float:
    from PIL import Image
    from ssimulacra2 import compute_ssimulacra2

    files = []
    for pixels in (original, decoded):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format="PPM")
        files.append(file)
    return float(compute_ssimulacra2(*files))


def lpips_problem() -> str | None:
    """Why LPIPS cannot be measured here; None if it can.

    The package carries the metric's own weights but not those of AlexNet underneath, and nothing is downloaded.
    """
    try:
        import lpips  # noqa: F401
        import torch
    except ImportError as error:
        return f"{error}: pip install lpips"
    backbone = Path(torch.hub.get_dir()) / "checkpoints" / LPIPS_BACKBONE
    return None if backbone.exists() else f"its backbone is missing: put torchvision's {LPIPS_BACKBONE} at {backbone}"


@lru_cache(maxsize=1)
def _lpips_network() -> Any:
    import lpips

    return lpips.LPIPS(net="alex", verbose=False).eval()


def _lpips(original: np.ndarray, decoded: np.ndarray) -> float:
    import torch

    with torch.inference_mode():
        return float(_lpips_network()(_planes(original) / 127.5 - 1, _planes(decoded) / 127.5 - 1))
