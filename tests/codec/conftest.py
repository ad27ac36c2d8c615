"""Fixtures of the codec's tests."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageCms

from aecodec.command import main


@pytest.fixture
def aec(codec, monkeypatch):
    """The command line in this process, with the weights loaded once for all tests."""
    import torch

    monkeypatch.setattr(main, "_codec", lambda *_: codec)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # the command lifts it for its process
    threads = torch.get_num_threads()
    yield lambda *arguments, **more: CliRunner().invoke(main.main, [str(a) for a in arguments], **more)
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def full(photo) -> Image.Image:
    """A picture with everything a file can hold: alpha, a profile, EXIF and XMP."""
    image = Image.fromarray(np.dstack([photo[:24, :40], photo[24:48, :40, 0]]))
    exif = Image.Exif()
    exif[271] = "maker"
    image.info = {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
                  "exif": exif.tobytes(), "xmp": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"}
    return image
