"""What tests of training share: pictures to train on, a whole run and what it exports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from training_helpers import STEPS, options


@pytest.fixture(scope="session")
def pictures(tmp_path_factory, photo: np.ndarray) -> Path:
    """Six pictures, one that is broken, one that is too small, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "more").mkdir()
    for number in range(6):
        y, x = 17 * number, 31 * number
        part = photo[y:y + 100, x:x + 130][::(-1) ** number]
        Image.fromarray(part).save(folder / ("more" if number % 2 else "") / f"{number}.png")
    (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:900])
    Image.fromarray(photo[:20, :90]).save(folder / "small.jpg")
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="session")
def whole_pictures(tmp_path_factory, photo: np.ndarray) -> Path:
    """Three pictures and nothing else."""
    folder = tmp_path_factory.mktemp("whole")
    for number in range(3):
        Image.fromarray(photo[40 * number:40 * number + 90, :150]).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory, pictures: Path, whole_pictures: Path) -> Path:
    """A whole plateau, not broken off."""
    from aecodec.training import loop

    out = tmp_path_factory.mktemp("run")
    loop.train(options(pictures, out, {"run__validate_every": STEPS}, validation=whole_pictures))
    return out


@pytest.fixture(scope="session")
def exported(tmp_path_factory, run: Path, whole_pictures: Path) -> Path:
    """The model of that run."""
    from aecodec.training import export

    out = tmp_path_factory.mktemp("model")
    export.export(run, out, "tiny", whole_pictures, 0xF0FF, whole_pictures, "A test.")
    return out
