"""Fixtures of the bench's tests: small pictures on disk and made-up results."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aecodec.bench.drawings import photograph
from aecodec.bench.table import Row


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [name for name in ("matplotlib", "bjontegaard")
               if importlib.util.find_spec(name) is None]
    for item in items:
        if missing and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(missing)} (the extra `bench`)"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of two small photographs, one of them lying on its side as its EXIF tells."""
    path = tmp_path / "photos"
    path.mkdir()
    Image.fromarray(photograph(48, 32, seed=1)).save(path / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn right
    Image.fromarray(photograph(40, 24, seed=2)).save(path / "b.png", exif=exif)
    return path


def make_row(codec: str = "jpeg", image: str = "a", setting: str = "50", bpp: float = 1.0, psnr: float = 35.0,
             dataset: str = "photos", ms_ssim: float | None = 0.98, version: str = "v1", width: int = 768,
             height: int = 512, **more: float) -> Row:
    """A row with the cells that matter; `more` are other metrics."""
    metrics = {"psnr_rgb": psnr, "psnr_y": psnr + 1, **({} if ms_ssim is None else {"ms_ssim": ms_ssim}), **more}
    return Row(dataset, image, width, height, codec, version, setting, round(bpp * width * height / 8), bpp, 0.02, 0.01,
               "cpu", 1, metrics)


def make_curve_rows(codec: str, factor: float, images: tuple[str, ...] = ("a", "b"), dataset: str = "photos",
                    width: int = 768, height: int = 512) -> list[Row]:
    """Rows of a codec that needs `factor` times the bits of `jpeg` at the same quality."""
    rows = []
    for n, image in enumerate(images):
        for level in range(8):
            bpp, psnr = factor * (0.1 + n / 50) * 1.6 ** level, 27 + 2 * level + n / 9
            rows.append(make_row(codec, image, str(level), bpp, psnr, dataset, 1 - 0.1 / 1.7 ** level, width=width,
                                 height=height, butteraugli=6 - level / 2))
    return rows


@pytest.fixture
def results_rows() -> list[Row]:
    """A dataset of two photos and one of drawings, on which aecodec-small needs 0.8 times the bits of JPEG."""
    rows = [*make_curve_rows("jpeg", 1.0), *make_curve_rows("aecodec-small", 0.8), *make_curve_rows("webp", 0.9)]
    rows += [row for codec, factor in (("jpeg", 1.0), ("aecodec-small", 2.0), ("avif", 0.5))
             for row in make_curve_rows(codec, factor, dataset="screenshot")]
    rows.append(make_row("webp-lossless", "a", "0", 11.0, float("inf")))
    return rows


@pytest.fixture
def small_photo() -> np.ndarray:
    """`uint8 [33, 50, 3]`: odd sizes."""
    return photograph(50, 33, seed=3)
