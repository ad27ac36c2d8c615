"""Corruption of inputs: the noise has the variance it claims, the hidden cells are cells and as many as asked for."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from aecodec.training import corruption  # noqa: E402
from aecodec.training.visual import to_linear  # noqa: E402


def test_noise_has_the_variance_of_a_sensor():
    """In linear light: `shot x + read^2`."""
    torch.manual_seed(0)
    for value, shot, read in ((0.5, 0.001, 0.0), (0.8, 0.001, 0.0), (0.5, 0.0, 0.02), (0.6, 0.002, 0.01)):
        picture = torch.full((1, 3, 128, 128), value)
        noisy = corruption.sensor_noise(picture, *(torch.full((1, 1, 1, 1), v) for v in (shot, read)))
        linear, light = to_linear(noisy), float(to_linear(torch.tensor(value)))
        assert float(linear.mean()) == pytest.approx(light, abs=1e-3)
        assert float(linear.var()) == pytest.approx(shot * light + read**2, rel=0.05)


def test_linear_light_and_back():
    values = torch.linspace(0, 1, 256)
    torch.testing.assert_close(corruption.from_linear(to_linear(values)), values, rtol=0, atol=1e-5)


def test_hidden_cells():
    torch.manual_seed(0)
    picture = torch.rand(3, 3, 64, 96) * 0.4 + 0.05
    hidden = corruption.hide_cells(picture, 0.25)
    cells = hidden.unfold(2, 16, 16).unfold(3, 16, 16).movedim(1, 3)  # [3, 4, 6, 3, 16, 16]
    empty = (cells == 0).flatten(3).all(dim=3)
    assert torch.equal((cells == 0).flatten(3).any(dim=3), empty)
    assert empty.flatten(1).sum(dim=1).tolist() == [6, 6, 6]
    assert not torch.equal(empty[0], empty[1])
    shown = hidden != 0
    assert torch.equal(hidden[shown], picture[shown])


def test_a_corruption_follows_the_random_state_and_leaves_its_input():
    picture = torch.rand(4, 3, 32, 32) - 0.5
    kept = picture.clone()
    corrupt = corruption.Corruption(share=0.5, shot=(1e-4, 1e-2), read=(1e-3, 3e-2), masked=0.25)
    results = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        results.append(corrupt(picture))
    assert torch.equal(picture, kept)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert float(results[0].abs().max()) <= 0.5


def test_a_share_of_the_pictures_stays_clean():
    torch.manual_seed(0)
    picture = torch.rand(64, 3, 16, 16) - 0.5
    noisy = corruption.Corruption(share=0.5, read=(0.01, 0.02))(picture)
    changed = sum(not torch.allclose(a, b, atol=1e-5) for a, b in zip(noisy, picture, strict=True))
    assert 16 < changed < 48
    assert torch.equal(corruption.Corruption()(picture), picture)


@pytest.mark.parametrize("values", [{"shot": (1e-2, 1e-4)}, {"read": (0.0, 1.0)}, {"masked": 1.0}, {"share": 1.5}])
def test_what_cannot_be_is_refused(values):
    with pytest.raises(ValueError, match="corruption"):
        corruption.Corruption(**values)
