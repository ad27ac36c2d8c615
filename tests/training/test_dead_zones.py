"""Dead zones: the curvatures they are fitted to, and what they do."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from aecodec import models  # noqa: E402
from aecodec.format.constants import LEVELS, TABLES  # noqa: E402
from aecodec.format.entropy import Tables  # noqa: E402
from aecodec.network.likelihood import expected_bits, logistic_bits  # noqa: E402
from aecodec.network.quantisation import DeadZones, dead_zones, round_dithered, towards_zero  # noqa: E402
from aecodec.training import dead_zones as fitting  # noqa: E402


class Linear:
    """A synthesis whose Jacobian is known: every latent becomes one pixel of every colour, times its channel."""

    def synthesis(self, latents, levels):
        scales = torch.arange(1.0, latents.shape[1] + 1)[:, None, None]
        return torch.cat([(latents * scales).flatten(1)] * 3, dim=1)[:, None, None]


def test_squared_columns_are_those_of_the_jacobian():
    known, gain = torch.randn(1, 4, 3, 5), torch.tensor([1.0, 2.0, 1.0, 4.0]).view(1, 4, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        columns = torch.stack([fitting.squared_columns(Linear(), known, 9, gain) for _ in range(200)]).mean(dim=0)
    expected = (3 * torch.arange(1.0, 5) ** 2 / gain.flatten() ** 2)[:, None, None].expand_as(columns)
    # The mean of 400 squares of a sum of three signs: its deviation is sqrt(4 / 3 / 400) of the mean, 6 %.
    assert ((columns / expected - 1).abs() < 0.3).all()
    assert abs(float((columns / expected).mean()) - 1) < 0.05


def test_factors_are_recovered_from_a_product():
    channels, tables = torch.tensor([1.0, 4.0, 0.5]), torch.linspace(0.5, 3, TABLES)
    index = torch.randint(0, TABLES, (3, 60, 60), generator=torch.Generator().manual_seed(0))
    measured = fitting.Curvatures(3)
    measured.add(channels[:, None, None] * tables[index], index)
    a, b = measured.factors()
    product = a[:, None] * b
    assert torch.allclose(product.float(), channels[:, None] * tables, rtol=0.05)


def test_an_unfitted_dead_zone_goes_by_the_table_alone():
    index = torch.arange(64.0).view(1, 1, 8, 8).expand(2, 6, 8, 8)
    assert torch.equal(DeadZones(6)(torch.tensor([0, 63]), index), dead_zones(index))


def test_dead_zones_of_a_batch_are_those_of_its_levels():
    zones = DeadZones(6)
    zones.channels.copy_(torch.rand(LEVELS, 6))
    zones.tables.copy_(3 * torch.rand(LEVELS, TABLES))
    index = torch.randint(0, TABLES, (2, 6, 5, 7))
    for n, (level, found) in enumerate(zip((9, 40), zones(torch.tensor([9, 40]), index.float()), strict=True)):
        assert torch.equal(found, zones.at(level)[torch.arange(6)[:, None, None], index[n]])


def test_dead_zones_of_the_shipped_model_grow_with_the_price_of_a_symbol():
    file = models.load(models.find())
    tables = Tables(file.tensors[models.TABLE_COUNTS], file.tensors[models.TABLE_HALVES])
    zones = DeadZones(file.tensors["rounding.channels"].shape[1])
    zones.load_state_dict({name: torch.from_numpy(file.tensors[f"rounding.{name}"]) for name in ("channels", "tables")})
    price = fitting.increments(tables)
    assert price[1] > price[30] > price[60] >= 0
    for level in range(0, LEVELS, 9):
        dead = zones.at(level)
        assert dead.shape[1] == TABLES
        assert ((dead >= 0) & (dead <= 1)).all()
        assert (dead[:, 1] >= dead[:, 30]).all()
        assert (dead[:, 30] >= dead[:, 60]).all()
        assert torch.equal(zones.at(level, 0.0), torch.zeros_like(dead))


VALUES = torch.linspace(-2.6, 2.6, 53, dtype=torch.float64) + 0.013
DITHER = torch.tensor(0.12, dtype=torch.float64)
DEAD = torch.full_like(VALUES, 0.17)
EVERYWHERE, NOWHERE = torch.ones_like(VALUES, dtype=torch.bool), torch.zeros_like(VALUES, dtype=torch.bool)


def expected_symbol(value):
    """The integral of the rounded value over the noise, in closed form: steps of width 2 dither."""
    moved = towards_zero(value, DEAD)
    steps = [((moved - threshold) / (2 * float(DITHER)) + 0.5).clamp(0, 1) for threshold in torch.arange(-4, 4) + 0.5]
    return torch.stack(steps).sum(dim=0) - 4


def slope(function, value, step=1e-6):
    return (function(value + step) - function(value - step)) / (2 * step)


def test_dithered_symbols_have_their_mean_and_its_gradient():
    torch.manual_seed(0)
    draws = torch.stack([round_dithered(VALUES, DEAD, EVERYWHERE, DITHER) for _ in range(4000)])
    assert torch.equal(draws, draws.round())
    # The mean of 4000 draws of 0 or 1: its deviation is at most 0.008.
    assert torch.allclose(draws.mean(dim=0), expected_symbol(VALUES), atol=0.04)
    value = VALUES.clone().requires_grad_(True)
    round_dithered(value, DEAD, EVERYWHERE, DITHER).sum().backward()
    assert torch.allclose(value.grad, slope(expected_symbol, VALUES), atol=1e-6)
    assert 0 < float((value.grad > 0).double().mean()) < 0.5


def test_symbols_without_dither_are_rounded_straight_through():
    value = VALUES.clone().requires_grad_(True)
    symbols = round_dithered(value, DEAD, NOWHERE, DITHER)
    assert torch.equal(symbols, torch.round(towards_zero(VALUES, DEAD)))
    symbols.sum().backward()
    assert torch.equal(value.grad, torch.ones_like(value))


@pytest.mark.parametrize("sigma", [0.12, 0.3, 0.7])
def test_expected_bits_are_the_mean_price_of_dithered_symbols(sigma):
    torch.manual_seed(0)
    width = torch.full_like(VALUES, sigma).log2()

    def price(value):
        return expected_bits(value, DEAD, EVERYWHERE, DITHER, width)

    drawn = torch.stack([logistic_bits(round_dithered(VALUES, DEAD, EVERYWHERE, DITHER), width) for _ in range(4000)])
    spread = drawn.std(dim=0) / 4000**0.5
    assert ((drawn.mean(dim=0) - price(VALUES)).abs() <= 5 * spread + 1e-9).all()
    value = VALUES.clone().requires_grad_(True)
    price(value).sum().backward()
    assert torch.allclose(value.grad, slope(price, VALUES), rtol=1e-4, atol=1e-6)
    # A latent just below the threshold is held back by what a symbol would cost.
    near = 0.5 + float(DEAD[0]) - float(DITHER) / 2
    at = torch.tensor([near], dtype=torch.float64, requires_grad=True)
    expected_bits(at, DEAD[:1], EVERYWHERE[:1], DITHER, width[:1]).sum().backward()
    step = float(logistic_bits(torch.ones(1, dtype=torch.float64), width[:1])
                 - logistic_bits(torch.zeros(1, dtype=torch.float64), width[:1]))
    assert float(at.grad) == pytest.approx(step / (2 * float(DITHER)))


def test_expected_bits_of_wide_tables_are_those_of_noise():
    """Their mean over the noise is the integral of the logistic's bits over a step."""
    torch.manual_seed(0)
    width = torch.full_like(VALUES, 3.0).log2()
    drawn = torch.stack([expected_bits(VALUES, DEAD, NOWHERE, DITHER, width) for _ in range(2000)]).mean(dim=0)
    shifts = (torch.arange(100, dtype=torch.float64) + 0.5) / 100 - 0.5
    exact = torch.stack([logistic_bits(VALUES + shift, width) for shift in shifts]).mean(dim=0)
    assert torch.allclose(drawn, exact, atol=0.02)
