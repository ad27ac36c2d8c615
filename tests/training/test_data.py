"""Training pictures: what is skipped, that crops are parts of the pictures, drawings."""


from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("accelerate")

from aecodec.training import data as training_data
from aecodec.training.drawings import LEAST_SIDE, drawing


def test_crops_are_a_function_of_the_seed(pictures):
    bank = training_data.PictureBank.load(pictures, 64, torch.device("cpu"), 0)
    batch = bank.batch([1, 2, 3], 4, 64)
    assert batch.shape == (4, 3, 64, 64)
    assert batch.dtype == torch.float32
    assert float(batch.min()) >= -0.5
    assert float(batch.max()) <= 0.5
    assert torch.equal(batch, bank.batch([1, 2, 3], 4, 64))
    assert not torch.equal(batch, bank.batch([1, 2, 4], 4, 64))
    levels = (batch + 0.5) * 255
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)



def test_crops_are_parts_of_the_pictures(tmp_path):
    """A picture that says where each pixel is, turned and mirrored as a crop may be."""
    y, x = np.mgrid[:80, :90]
    Image.fromarray(np.stack([y, x, 0 * x + 7], axis=2).astype(np.uint8)).save(tmp_path / "ramp.png")
    bank = training_data.PictureBank.load(tmp_path, 64, torch.device("cpu"), 0)
    turned = set()
    for number in range(40):
        crop = ((bank.batch([number], 1, 64)[0] + 0.5) * 255).round()
        assert (crop[2] == 7).all()
        down, right = crop[:2, 1, 0] - crop[:2, 0, 0], crop[:2, 0, 1] - crop[:2, 0, 0]
        assert sorted([*down.abs().tolist(), *right.abs().tolist()]) == [0, 0, 1, 1]
        turned.add((*down.tolist(), *right.tolist()))
    assert len(turned) == 8



def test_drawings_join_the_photos(pictures):
    bank = training_data.PictureBank.load(pictures, 64, torch.device("cpu"), 0, drawings=0.25)
    assert (bank.photos, len(bank)) == (6, 8)
    offset, height, width = bank.versions[7][0]
    made = drawing(np.random.default_rng([0, 1, 1]))
    assert made.dtype == np.uint8
    assert np.array_equal(bank.pixels[offset:offset + made.size].view(height, width, 3).numpy(), made)
    assert not np.array_equal(made, drawing(np.random.default_rng([0, 0, 1])))
    # Crops larger than any drawing are cut from photos alone.
    with pytest.raises(FileNotFoundError):
        training_data.PictureBank.load(pictures, 4096, torch.device("cpu"), 0, drawings=0.25)



def test_drawings_are_flat_and_sharp():
    """Unlike photos: most neighbouring pixels are equal or nearly so, and some differ by a lot."""
    for number in range(12):
        made = drawing(np.random.default_rng(number)).astype(int)
        assert min(made.shape[:2]) >= LEAST_SIDE
        steps = np.abs(np.diff(made, axis=1)).max(axis=2)
        assert (steps <= 2).mean() > 0.6
        assert steps.max() > 40



def test_a_folder_without_pictures(tmp_path):
    with pytest.raises(FileNotFoundError, match="no pictures"):
        training_data.PictureBank.load(tmp_path, 64, torch.device("cpu"), 0)
    (tmp_path / "x.png").write_bytes(b"broken")
    with pytest.raises(FileNotFoundError, match="none of the 1 files"):
        training_data.PictureBank.load(tmp_path, 64, torch.device("cpu"), 0)
