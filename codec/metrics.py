"""How far one picture is from another: PSNR and MS-SSIM of 8-bit RGB."""

from __future__ import annotations

import numpy as np

MS_SSIM_SIDE = 161  # the shortest side that five scales of an 11-tap window need
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB over all samples of two `uint8` arrays of one shape; infinity if equal."""
    error = 0.0
    for a, b in zip(first, second, strict=True):  # by rows: a large picture must not be copied in 64 bits
        error += float(np.square(np.subtract(a, b, dtype=np.float32)).sum(dtype=np.float64))
    return float(10 * np.log10(255**2 * first.size / error)) if error else float("inf")


def ms_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Multi-scale structural similarity, 0..1, the mean over the channels of `uint8 [H, W, 3]`.

    After Wang, Simoncelli and Bovik, "Multi-scale structural similarity for image quality assessment", 2003: five
    scales, a Gaussian window of 11 taps, no padding.

    Raises:
        ValueError: a side is shorter than `MS_SSIM_SIDE`.
    """
    import torch
    from torch.nn import functional as F

    if min(first.shape[:2]) < MS_SSIM_SIDE:
        raise ValueError(f"MS-SSIM needs {MS_SSIM_SIDE} pixels each way; the picture is "
                         f"{first.shape[1]}x{first.shape[0]}")
    taps = torch.exp(-(torch.arange(_WINDOW) - _WINDOW // 2).float().square() / (2 * _SIGMA**2))
    taps /= taps.sum()

    def blur(x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(F.conv2d(x, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1))

    with torch.inference_mode():
        # channels as pictures of their own: [3, 1, H, W]
        x, y = (torch.from_numpy(np.array(p)).permute(2, 0, 1)[:, None].float() for p in (first, second))
        product = torch.ones(3)
        for scale, weight in enumerate(_SCALE_WEIGHTS):
            mean_x, mean_y = blur(x), blur(y)
            variance = blur(x * x) - mean_x**2 + blur(y * y) - mean_y**2
            covariance = blur(x * y) - mean_x * mean_y
            similarity = (2 * covariance + _C2) / (variance + _C2)
            if scale == len(_SCALE_WEIGHTS) - 1:  # luminance counts at the last scale alone
                similarity = similarity * (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
            product *= similarity.mean(dim=(1, 2, 3)).clamp_min(0) ** weight
            padding = (x.shape[2] % 2, x.shape[3] % 2)
            x, y = F.avg_pool2d(x, 2, padding=padding), F.avg_pool2d(y, 2, padding=padding)
    return float(product.mean())
