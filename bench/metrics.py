"""The judges: what the bench measures of a decoded picture, as one list.

A new metric is one entry of `METRICS`; it gets a column in the table, BD-rates, and a figure. All work on 8-bit RGB at
the picture's own size: `uint8 [H, W, 3]`.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from aecodec.metrics import MS_SSIM_SIDE, SSIMULACRA2_SIDE, ms_ssim, psnr, ssimulacra2

BUTTERAUGLI = "butteraugli_main"
CVVDP_DISPLAY = "standard_fhd"  # 24 inches, 1920x1080, 200 cd/m2, seen from 60 cm
JUDGE_SIDE = 8  # below, butteraugli finds no difference in anything and ColorVideoVDP has no pyramid


def _as_it_is(value: float) -> float:
    return value


def _negated(value: float) -> float:
    return -value


def _always() -> None:
    return None


@dataclass(frozen=True)
class Metric:
    """One measure of how far a decoded picture is from the original.

    Args:
        name: its column in the table.
        label: what it is called in a table's head.
        axis: what it is called on the axis of a figure, with its unit.
        digits: decimals in the table.
        scale: puts a value where higher is better, and where a mean curve may be interpolated.
        measure: (original, decoded) -> value.
        problem: why it cannot be measured here, with what would help; None if it can.
        side: the shortest side of a picture for which it is defined.
        slow: it takes longer than most codecs do, so a quick run leaves it out.
    """

    name: str
    label: str
    axis: str
    digits: int
    scale: Callable[[float], float]
    measure: Callable[[np.ndarray, np.ndarray], float]
    problem: Callable[[], str | None] = _always
    side: int = 1
    slow: bool = False

    def defined(self, width: int, height: int) -> bool:
        """Whether a picture of this size has it."""
        return min(width, height) >= self.side


# -- how each is measured ----------------------------------------------------------------------------------------


def luma(pixels: np.ndarray) -> np.ndarray:
    """Y' of BT.601 as JFIF has it, full range, not rounded: `[H, W, 3]` -> `[H, W]`."""
    return pixels @ np.array([0.299, 0.587, 0.114])


def psnr_y(original: np.ndarray, decoded: np.ndarray) -> float:
    """Peak signal-to-noise ratio of luma in dB."""
    return psnr(luma(original), luma(decoded))


def ms_ssim_db(value: float) -> float:
    """MS-SSIM on the scale on which it is drawn and averaged over rate: `-10 log10(1 - x)` dB."""
    return float(-10 * np.log10(1 - value)) if value < 1 else float("inf")


def butteraugli_problem() -> str | None:
    """Why butteraugli cannot be measured here; None if it can."""
    if shutil.which(BUTTERAUGLI) is None:
        return f"no program {BUTTERAUGLI}: install Debian's libjxl-devtools, or libjxl with its tools"
    return None


def butteraugli(original: np.ndarray, decoded: np.ndarray) -> float:
    """The 3-norm of butteraugli's map of differences, at the program's 80 cd/m2; 0 is equal, about 1 just visible.

    Raises RuntimeError with what the program says if it fails.
    """
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("original.ppm", "decoded.ppm")]
        for path, pixels in zip(paths, (original, decoded), strict=True):
            Image.fromarray(pixels).save(path)
        done = subprocess.run([BUTTERAUGLI, *paths], capture_output=True, text=True)
    found = re.search(r"3-norm: ([0-9.eE+-]+)", done.stdout)
    if done.returncode or found is None:
        raise RuntimeError(f"{BUTTERAUGLI} failed: {(done.stderr or done.stdout).strip()[-200:]}")
    return float(found.group(1))


def cvvdp_problem() -> str | None:
    """Why ColorVideoVDP cannot be measured here; None if it can."""
    if importlib.util.find_spec("pycvvdp") is None:
        return "not installed: pip install cvvdp"
    try:
        _cvvdp()
    except ImportError as error:
        return f"{error}; pip install what it names"
    return None


@lru_cache(maxsize=1)
def _cvvdp() -> Any:
    import logging

    import torch

    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns of compilers nobody asked for
    import pycvvdp

    return pycvvdp.cvvdp(display_name=CVVDP_DISPLAY, device=torch.device("cpu"))


def cvvdp(original: np.ndarray, decoded: np.ndarray) -> float:
    """ColorVideoVDP (Mantiuk et al. 2024) on a desktop display, in JOD: just objectionable differences below 10."""
    import torch

    with torch.inference_mode():
        return float(_cvvdp().predict(np.array(decoded), np.array(original), dim_order="HWC")[0])


METRICS = (
    Metric("psnr_rgb", "PSNR RGB", "PSNR of R, G and B (dB)", 4, _as_it_is, psnr),
    Metric("psnr_y", "PSNR Y", "PSNR of luma (dB)", 4, _as_it_is, psnr_y),
    Metric("ms_ssim", "MS-SSIM", "MS-SSIM (dB: -10 log10(1 - x))", 6, ms_ssim_db, ms_ssim, side=MS_SSIM_SIDE),
    Metric("ssimulacra2", "SSIMULACRA2", "SSIMULACRA2", 3, _as_it_is, ssimulacra2, side=SSIMULACRA2_SIDE),
    Metric("butteraugli", "butteraugli", "butteraugli 3-norm, negated", 4, _negated, butteraugli, butteraugli_problem,
           JUDGE_SIDE, slow=True),
    Metric("cvvdp", "CVVDP", "ColorVideoVDP (JOD)", 4, _as_it_is, cvvdp, cvvdp_problem, JUDGE_SIDE, slow=True),
)
BY_NAME = {metric.name: metric for metric in METRICS}
NAMES = tuple(BY_NAME)


def measure(original: np.ndarray, decoded: np.ndarray, names: Iterable[str] = NAMES) -> dict[str, float]:
    """The named metrics of `decoded`, without those that a picture of its size does not have: name -> value.

    Raises ValueError if the sizes differ. A picture without loss has a PSNR of infinity.
    """
    if original.shape != decoded.shape or decoded.dtype != np.uint8:
        raise ValueError(f"decoded to {decoded.dtype} {decoded.shape}, not to uint8 {original.shape}")
    height, width = original.shape[:2]
    return {name: BY_NAME[name].measure(original, decoded) for name in names if BY_NAME[name].defined(width, height)}
