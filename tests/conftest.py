"""Fixtures that several test folders share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of pictures beside the checkout; tests that need it skip without it."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared/data beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def kodak(shared_data: Path) -> list[Path]:
    """The 24 Kodak pictures."""
    return sorted((shared_data / "kodak").glob("*.png"))


@pytest.fixture(scope="session")
def codec():
    """The shipped default model on the CPU, loaded once."""
    import aecodec

    return aecodec.Codec(device="cpu")


def make_photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture with the statistics of a photo, roughly: smooth shading, edges and some noise. `uint8 [H, W, 3]`."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    planes = []
    for _ in range(3):
        shading = sum(np.sin(x * fx + y * fy + p) * a for fx, fy, p, a in
                      zip(rng.uniform(0, 0.15, 6), rng.uniform(0, 0.15, 6), rng.uniform(0, 6, 6),
                          rng.uniform(5, 30, 6), strict=True))
        planes.append(128 + shading)
    picture = np.stack(planes, axis=2)
    for _ in range(6):
        centre_y, centre_x, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(4, 40)
        picture[(y - centre_y) ** 2 + (x - centre_x) ** 2 < radius**2] += rng.uniform(-60, 60, 3)
    picture += rng.normal(0, 2, picture.shape)
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """A generated picture of 200x300 pixels."""
    return make_photo(200, 300)


@pytest.fixture
def aec(codec, monkeypatch):
    """The command line in this process, with the weights loaded once for all tests."""
    import torch
    from click.testing import CliRunner
    from PIL import Image

    from aecodec.command.main import main
    from aecodec.jobs import loading

    monkeypatch.setattr(loading, "load_codec", lambda *_: codec)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # the command lifts it for its process
    threads = torch.get_num_threads()
    yield lambda *arguments, **more: CliRunner().invoke(main, [str(a) for a in arguments], **more)
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def full(photo):
    """A picture with everything a file can hold: alpha, a profile, EXIF and XMP."""
    from PIL import Image, ImageCms

    image = Image.fromarray(np.dstack([photo[:24, :40], photo[24:48, :40, 0]]))
    exif = Image.Exif()
    exif[271] = "maker"
    image.info = {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
                  "exif": exif.tobytes(), "xmp": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"}
    return image
