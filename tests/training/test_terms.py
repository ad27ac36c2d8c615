"""The terms of an objective: by hand where that can be, scaled as one, and with gradients that are right."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from aecodec.network.model import TrainingOutput  # noqa: E402
from aecodec.network.quality import level_lambda  # noqa: E402
from aecodec.training import objective, terms, visual  # noqa: E402


@pytest.fixture(scope="module")
def target(photo) -> torch.Tensor:
    return torch.from_numpy(photo[:192, :192].copy()).permute(2, 0, 1)[None].float() / 255 - 0.5


def noisy(target: torch.Tensor, deviation: float) -> SimpleNamespace:
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    return SimpleNamespace(picture=(target + deviation / 255 * noise).clamp(-0.5, 0.5))


@pytest.mark.parametrize("name", ["mse", "visual", "masked_luma_mse", pytest.param(
    "ms_ssim", marks=pytest.mark.skipif("not __import__('importlib').util.find_spec('pytorch_msssim')"))])
def test_every_term_grows_with_the_error_and_is_zero_without(target, name):
    values = [terms.TERMS[name](noisy(target, deviation), target) for deviation in (0, 2, 6, 18)]
    assert all(value.shape == (1,) for value in values)
    floor = 2.6 if name == "visual" else 1e-3  # its fourth roots stay away from zero
    assert float(values[0]) < floor
    assert [float(value) for value in values] == sorted(float(value) for value in values)
    assert 0.02 < float(values[2]) / 36 < 10  # of the order of the MSE


def test_every_picture_of_a_batch_counts_for_itself(target):
    pair = torch.cat([target, target.flip(3)])
    output = SimpleNamespace(picture=torch.cat([noisy(target, 3).picture, noisy(target, 9).picture.flip(3)]))
    for term in (terms.mse, terms.visual, terms.masked_luma_mse):
        alone = [term(SimpleNamespace(picture=output.picture[n:n + 1]), pair[n:n + 1]) for n in range(2)]
        torch.testing.assert_close(term(output, pair), torch.cat(alone), rtol=1e-3, atol=0)


def test_mse_by_hand():
    target = torch.zeros(2, 3, 8, 8)
    output = SimpleNamespace(picture=target + torch.tensor([0.01, 0.02]).view(2, 1, 1, 1))
    torch.testing.assert_close(terms.mse(output, target), 255**2 * torch.tensor([1e-4, 4e-4]))


def test_masked_luma_by_hand():
    """A flat target masks nothing; one with a variance of v hides errors behind 2 v + 58."""
    flat = torch.zeros(1, 3, 32, 32)
    shifted = SimpleNamespace(picture=flat + 10 / 255)
    assert float(terms.masked_luma_mse(shifted, flat)) == pytest.approx(512 * 100 / 58, rel=1e-4)
    busy = 20 / 255 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)).expand(1, 3, 64, 64)
    hidden = terms.masked_luma_mse(SimpleNamespace(picture=busy + 10 / 255), busy)
    assert float(hidden) == pytest.approx(512 * 100 / (2 * 400 + 58), rel=0.2)
    # Blue counts little for the luma.
    blue = torch.zeros(1, 3, 32, 32)
    blue[:, 2] = 10 / 255
    tinted = terms.masked_luma_mse(SimpleNamespace(picture=blue), flat)
    assert float(tinted) == pytest.approx(512 * 1.14**2 / 58, rel=1e-3)


def test_ms_ssim_is_that_of_the_package_and_needs_large_crops(target):
    package = pytest.importorskip("pytorch_msssim")
    output = noisy(target, 6)
    wanted = 1 - package.ms_ssim(output.picture + 0.5, target + 0.5, data_range=1.0, size_average=False)
    torch.testing.assert_close(terms.ms_ssim(output, target), terms.MS_SSIM_SCALE * wanted, rtol=1e-4, atol=0)
    with pytest.raises(ValueError, match="161"):
        terms.ms_ssim(SimpleNamespace(picture=target[..., :160]), target[..., :160])


def test_the_visual_distortion_follows_ssimulacra2(kodak, tmp_path):
    """Through the metric's own polynomial it gives about the scores of the wheel, whose borders differ."""
    wheel = pytest.importorskip("ssimulacra2")
    from PIL import Image

    with Image.open(kodak[4]) as image:
        picture = np.asarray(image.convert("RGB"))[:256]
    Image.fromarray(picture).save(tmp_path / "a.png")
    for deviation in (3, 8, 20):
        noise = np.random.default_rng(1).normal(0, deviation, picture.shape)
        other = np.clip(picture + noise, 0, 255).round().astype(np.uint8)
        Image.fromarray(other).save(tmp_path / "b.png")
        pair = [torch.from_numpy(p.copy()).permute(2, 0, 1)[None].float() / 255 for p in (other, picture)]
        total = float(visual.visual_distortion(*pair))
        polynomial = 2.326765642916932 * total - 0.020884521182843837 * total**2 + 6.248496625763138e-05 * total**3
        score = 100 - 10 * polynomial ** 0.6276336467831387
        wanted = wheel.compute_ssimulacra2(str(tmp_path / "a.png"), str(tmp_path / "b.png"))
        assert score == pytest.approx(wanted, abs=4)


def test_the_gradient_of_the_visual_distortion(target):
    """Against differences of values, along itself: where it is largest."""
    original = (target + 0.5)[..., :64, :64] * 0.8 + 0.1
    distorted = (noisy(original - 0.5, 5).picture + 0.5).requires_grad_(True)
    visual.visual_distortion(distorted, original).sum().backward()
    assert distorted.grad is not None
    direction = distorted.grad / distorted.grad.norm()
    ends = [float(visual.visual_distortion((distorted + step * direction).detach(), original))
            for step in (2e-2, -2e-2)]
    assert float(distorted.grad.norm()) == pytest.approx((ends[0] - ends[1]) / 4e-2, rel=0.03)


def test_gradients_stay_finite_where_nothing_or_everything_is_wrong(target):
    for picture in (target, torch.full_like(target, 0.5), torch.full_like(target, -0.7), torch.zeros_like(target)):
        free = picture.clone().requires_grad_(True)
        terms.visual(SimpleNamespace(picture=free), target).sum().backward()
        assert torch.isfinite(free.grad).all()


# -- their sum ----------------------------------------------------------------------------------------------------


def output_of(picture: torch.Tensor) -> TrainingOutput:
    nothing = torch.zeros(2, 4, 1, 1)
    return TrainingOutput(picture, torch.full((2, 4, 1, 1), 16.0), torch.full((2, 2, 1, 1), 8.0), nothing, nothing)


def test_the_objective_by_hand():
    target = torch.zeros(2, 3, 16, 8)
    level = torch.tensor([3, 60])
    output = output_of(target + torch.tensor([0.01, 0.02]).view(2, 1, 1, 1))
    bpp = (4 * 16 + 2 * 8) / 128
    slopes = level_lambda(level)
    for weight in (1.0, 0.25):
        result = objective.rate_distortion(output, target, level, [{"mse": weight, "visual": 0.0}])
        losses = bpp + slopes * weight * 255**2 * torch.tensor([1e-4, 4e-4])
        losses = losses / (slopes / objective.BALANCE_LAMBDA) ** objective.BALANCE_POWER
        assert float(result.loss) == pytest.approx(float(losses.mean()), rel=1e-5)
        assert float(result.bpp) == pytest.approx(bpp)
        assert float(result.bpp_z) == pytest.approx(16 / 128)
        assert float(result.psnr) == pytest.approx((40 + 40 - 20 * np.log10(2)) / 2, rel=1e-4)
        assert list(result.terms) == ["mse"]
        assert float(result.terms["mse"]) == pytest.approx(255**2 * 2.5e-4, rel=1e-5)


def test_weights_add_terms_up():
    target = 0.3 * torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    level = torch.tensor([20, 40])
    output = output_of(target + 0.02)

    def loss(**weights: float) -> float:
        return float(objective.rate_distortion(output, target, level, [weights]).loss)

    rate = loss(mse=1e-12)
    mixed = loss(mse=0.25, visual=0.75)
    assert mixed - rate == pytest.approx(0.25 * (loss(mse=1.0) - rate) + 0.75 * (loss(visual=1.0) - rate), rel=1e-4)


def test_regularisers_have_weights():
    from training_helpers import SIZES

    from aecodec.network.model import ModelConfig, TrainableNetwork

    network = TrainableNetwork(ModelConfig.from_dict(SIZES))
    assert float(objective.regularisation(network, {"roughness": 1.0}).detach()) == 0
    with torch.no_grad():
        network.synthesis.gain.knots[3] += 1  # second differences of 1, -2, 1
    channels = network.synthesis.gain.knots.shape[1]
    assert float(objective.regularisation(network, {"roughness": 0.5}).detach()) == pytest.approx(0.5 * 6 * channels)
    assert float(objective.regularisation(network, {"roughness": 0.0}).detach()) == 0


def test_every_tune_has_its_own_distortion():
    target = 0.3 * torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    output = TrainingOutput(target + 0.02, *(torch.ones(4, 1, 1, 1) for _ in range(4)))
    level = torch.tensor([20, 84, 40, 104])
    both = objective.rate_distortion(output, target, level, [{"visual": 1.0}, {"mse": 1.0}])
    losses = []
    for own in range(4):
        part = TrainingOutput(*(tensor[own:own + 1] for tensor in output))
        terms = [{"visual": 1.0}, {}] if own % 2 == 0 else [{}, {"mse": 1.0}]
        losses.append(objective.rate_distortion(part, target[own:own + 1], level[own:own + 1], terms).loss)
    assert float(both.loss) == pytest.approx(float(torch.stack(losses).mean()), rel=1e-5)
    assert set(both.terms) == {"visual", "mse"}
