"""Fixtures that several test folders share."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

from aecodec.engine.choice import has_torch
from helpers import gain_map_photo, make_photo

#: What is about torch itself, cannot be tried without it, or has nothing to do with it and is tested where torch is.
collect_ignore_glob = [] if has_torch() else [
    "autoencoders", "bench", "engine/test_*_engine.py", "kernels", "training", "web", "network",
    "codec/test_threads.py", "format/test_reference.py",
]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell does to what it starts in the background. Processes inherit it, and could not be interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)

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

    # With torch the engine of which most can go wrong; without it the only one.
    return aecodec.Codec(device="cpu", engine="torch" if has_torch() else "onnx")


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """A generated picture of 200x300 pixels."""
    return make_photo(200, 300)


@pytest.fixture
def aec(codec, monkeypatch):
    """The command line in this process, with the weights loaded once for all tests."""
    from click.testing import CliRunner
    from PIL import Image

    from aecodec.command.main import main
    from aecodec.jobs import loading

    monkeypatch.setattr(loading, "load_codec", lambda *_: codec)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # the command lifts it for its process
    return lambda *arguments, **more: CliRunner().invoke(main, [str(a) for a in arguments], **more)


@pytest.fixture(scope="session")
def full(photo):
    """A picture with everything a file can hold: alpha, a profile, EXIF, XMP and a gain map."""
    from PIL import Image, ImageCms

    image = Image.fromarray(np.dstack([photo[:24, :40], photo[24:48, :40, 0]]))
    exif = Image.Exif()
    exif[271] = "maker"
    image.info = {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
                  "exif": exif.tobytes(), "xmp": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
                  "gain_map": gain_map_photo(photo[:8, :8])[1]}
    return image
