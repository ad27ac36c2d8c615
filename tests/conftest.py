"""Fixtures that several test folders share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers import make_photo

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


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """A generated picture of 200x300 pixels."""
    return make_photo(200, 300)
