"""Dead zones: the curvatures they are fitted to, and what they do."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from aecodec import models  # noqa: E402
from aecodec.entropy import Tables  # noqa: E402
from aecodec.network.hyperprior import TABLES  # noqa: E402
from aecodec.network.quality import LEVELS  # noqa: E402
from aecodec.network.rounding import DeadZones, dead_zones  # noqa: E402
from aecodec.training import rounding  # noqa: E402


class Linear:
    """A synthesis whose Jacobian is known: every latent becomes one pixel of every colour, times its channel."""

    def synthesis(self, latents, levels):
        scales = torch.arange(1.0, latents.shape[1] + 1)[:, None, None]
        return torch.cat([(latents * scales).flatten(1)] * 3, dim=1)[:, None, None]


def test_squared_columns_are_those_of_the_jacobian():
    known, gain = torch.randn(1, 4, 3, 5), torch.tensor([1.0, 2.0, 1.0, 4.0]).view(1, 4, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        columns = torch.stack([rounding.squared_columns(Linear(), known, 9, gain) for _ in range(200)]).mean(dim=0)
    expected = (3 * torch.arange(1.0, 5) ** 2 / gain.flatten() ** 2)[:, None, None].expand_as(columns)
    # The mean of 400 squares of a sum of three signs: its deviation is sqrt(4 / 3 / 400) of the mean, 6 %.
    assert ((columns / expected - 1).abs() < 0.3).all()
    assert abs(float((columns / expected).mean()) - 1) < 0.05


def test_factors_are_recovered_from_a_product():
    channels, tables = torch.tensor([1.0, 4.0, 0.5]), torch.linspace(0.5, 3, TABLES)
    index = torch.randint(0, TABLES, (3, 60, 60), generator=torch.Generator().manual_seed(0))
    measured = rounding.Curvatures(3)
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
    price = rounding.increments(tables)
    assert price[1] > price[30] > price[60] >= 0
    for level in range(0, LEVELS, 9):
        dead = zones.at(level)
        assert dead.shape[1] == TABLES
        assert ((dead >= 0) & (dead <= 1)).all()
        assert (dead[:, 1] >= dead[:, 30]).all()
        assert (dead[:, 30] >= dead[:, 60]).all()
        assert torch.equal(zones.at(level, 0.0), torch.zeros_like(dead))
