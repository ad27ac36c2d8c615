"""`quantise_` and `dequantise_`: one step of the context, coded and decoded."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from aecodec.format.constants import GROUPS
from aecodec.kernels import dequantise_, dequantiser, quantise_, quantiser
from aecodec.network.context import step_of


class Inputs(NamedTuple):
    latents: Tensor
    means: Tensor
    gain: Tensor
    inverse_gain: Tensor
    index: Tensor
    groups: tuple[int, ...]
    y_hat: Tensor
    symbols: Tensor
    dead_zone: Tensor | None = None

    def clone(self) -> Inputs:
        return Inputs(*(x.clone() if isinstance(x, Tensor) else x for x in self))


def make(shape: tuple[int, ...], random: torch.Generator, groups: tuple[int, ...] = GROUPS[0]) -> Inputs:
    """Latents over three decades, a fifth of them not coded; `y_hat` and `symbols` full of values to be kept."""
    latents = torch.randn(shape, generator=random) * 10 ** (3 * torch.rand(shape, generator=random) - 1)
    gain = 10 ** (2 * torch.rand(shape[1], generator=random) - 1)
    index = torch.randint(0, 5, shape, generator=random, dtype=torch.uint8)
    return Inputs(latents, latents + torch.randn(shape, generator=random), gain, 1 / gain, index, groups,
                  torch.randn(shape, generator=random),
                  torch.randint(-9, 9, shape, generator=random, dtype=torch.int16))


def oracle(inputs: Inputs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`(coded now, symbols, y_hat)` in NumPy, operation by operation in float32, latent by latent chosen."""
    y, m, g, inverse, index = (x.cpu().numpy() for x in inputs[:5])
    y_hat, symbols = inputs.y_hat.cpu().numpy().copy(), inputs.symbols.cpu().numpy().copy()
    _, channels, height, width = y.shape
    row, column = np.arange(height)[:, None] % 2, np.arange(width)[None] % 2
    group = np.asarray(inputs.groups)[2 * row + column]
    now = np.broadcast_to(group[None] == (np.arange(channels) // -(-channels // 4))[:, None, None], y.shape)
    residual = (y - m) * g[:, None, None]
    if inputs.dead_zone is not None:
        dead = inputs.dead_zone.cpu().numpy()[np.arange(channels)[:, None, None], index]
        residual = residual - np.minimum(np.maximum(residual, -dead), dead)
    coded = np.where(index == 0, np.float32(0), np.rint(np.clip(residual, np.float32(-32767), np.float32(32767))))
    symbols[now] = coded[now]
    y_hat[now] = (coded * inverse[:, None, None] + m)[now]
    return now, symbols, y_hat


def equals(result: Tensor, expected: np.ndarray) -> bool:
    return torch.equal(result.cpu(), torch.from_numpy(expected))


# -- the arithmetic, by the reference ------------------------------------------------------------------------------


def test_reference_follows_the_documented_operations(shape, random):
    for groups in GROUPS:
        inputs = make(shape, random, groups)
        if groups is not GROUPS[0]:
            inputs = inputs._replace(dead_zone=torch.rand(shape[1], 5, generator=random))
        _, symbols, y_hat = oracle(inputs)
        quantiser.quantise_reference_(*inputs)
        assert equals(inputs.symbols, symbols)
        assert equals(inputs.y_hat, y_hat)


def test_symbols_are_those_of_exact_arithmetic_except_next_to_a_half(random):
    inputs = make((2, 192, 33, 17), random)
    now, symbols, y_hat = oracle(inputs)
    exact = (inputs.latents.double() - inputs.means.double()) * inputs.gain.double()[:, None, None]
    exact = exact.numpy()
    bound = np.abs(exact) * 2.0**-23
    to_half = np.abs(exact - np.floor(exact) - 0.5)
    clear = now & (inputs.index.numpy() > 0) & (to_half > bound)
    assert clear.sum() > 0.15 * now.size
    assert (symbols[clear] == np.rint(exact[clear])).all()
    inverse, means = inputs.inverse_gain.double().numpy()[:, None, None], inputs.means.double().numpy()
    ideal = symbols * inverse + means
    error = np.abs(y_hat - ideal)[now]
    assert (error <= (2.0**-23 * (np.abs(symbols * inverse) + np.abs(means)))[now]).all()


def test_four_steps_code_what_the_context_says():
    for height, width in ((1, 1), (4, 4), (5, 7)):
        steps = step_of(8, height, width)
        for step, groups in enumerate(GROUPS):
            ones = torch.ones(1, 8, height, width)
            symbols = torch.zeros(1, 8, height, width, dtype=torch.int16)
            quantise_(ones, 0 * ones, torch.ones(8), torch.ones(8), ones.to(torch.uint8), groups, 0 * ones, symbols)
            assert torch.equal(symbols[0] == 1, steps == step)


def test_dead_zone_moves_residuals_towards_zero():
    latents = torch.tensor([-1.7, -1.6, -0.6, 0.6, 0.7, 1.6, 1.8]).view(1, 1, 1, -1).repeat_interleave(2, dim=3)
    index = torch.ones_like(latents, dtype=torch.uint8)
    for dead, expected in ((0.0, [-2, -2, -1, 1, 1, 2, 2]), (0.15, [-2, -1, 0, 0, 1, 1, 2])):
        y_hat, symbols = torch.zeros_like(latents), torch.zeros_like(latents, dtype=torch.int16)
        quantise_(latents, 0 * latents, torch.ones(1), torch.ones(1), index, (0, 0, 0, 0), y_hat, symbols,
                  torch.tensor([[9.0, dead]]))
        assert symbols.flatten()[::2].tolist() == expected
        assert y_hat.flatten()[1::2].tolist() == expected


# -- the kernels ---------------------------------------------------------------------------------------------------


def on(device: str, inputs: Inputs) -> Inputs:
    return Inputs(*(x.to(device) if isinstance(x, Tensor) else x for x in inputs))


def test_kernel_equals_reference(shape, device, random):
    for step in range(1 if shape[0] > 1 else 4):
        inputs = on(device, make(shape, random, GROUPS[step]))
        if step % 2 == 0:
            zones = torch.rand(shape[1] + 1, 5, generator=random)[1:]  # not at the start of its storage
            inputs = inputs._replace(dead_zone=zones.to(device))
        expected = inputs.clone()
        quantiser.quantise_reference_(*expected)
        quantiser.quantise_triton_(*inputs)
        assert torch.equal(inputs.symbols, expected.symbols)
        assert torch.equal(inputs.y_hat, expected.y_hat)


def test_kernel_in_every_layout(layout, device, random, lay, guard_intact):
    inputs = on(device, make((2, 12, 5, 6), random))
    expected = inputs.clone()
    quantiser.quantise_reference_(*expected)
    given = Inputs(*(lay(x, layout) if isinstance(x, Tensor) and x.dim() == 4 else x for x in inputs))
    quantiser.quantise_triton_(*given)
    assert torch.equal(given.symbols, expected.symbols)
    assert torch.equal(given.y_hat, expected.y_hat)
    if layout == "sliced":
        assert guard_intact(given.y_hat)
        assert guard_intact(given.symbols)


@pytest.mark.parametrize("shape_", [(1, 4, 1, 1), (1, 8, 3, 1), (1, 8, 1, 2)])
def test_kernel_stays_inside_narrow_latents(shape_, device, random, lay, guard_intact):
    for groups in GROUPS:
        inputs = on(device, make(shape_, random, groups))
        given = Inputs(*(lay(x, "sliced") if isinstance(x, Tensor) and x.dim() == 4 else x for x in inputs))
        quantiser.quantise_triton_(*given)
        dequantiser.dequantise_triton_(given.symbols, given.means, given.inverse_gain, groups, given.y_hat)
        assert guard_intact(given.y_hat)
        assert guard_intact(given.symbols)


@pytest.mark.parametrize("path", ["triton", "reference"])
def test_order_of_operations(path, random, request):
    """Latents for which (y - m) * g and y * g - m * g round to different symbols."""
    device = request.getfixturevalue("through_triton") if path == "triton" else "cpu"
    m = 100 * torch.randn(200_000, generator=random)
    y = m + torch.randint(-3, 3, m.shape, generator=random) / 3 + 1 / 6
    g = torch.tensor(3.0)
    tell = ((y - m) * g).round() != (y * g - m * g).round()
    y, m = (x[tell][:2048].view(1, 1, 1, -1).repeat_interleave(2, dim=3).to(device) for x in (y, m))
    assert y.numel() > 200
    y_hat, symbols = torch.zeros_like(y), torch.zeros_like(y, dtype=torch.int16)
    gain = g.view(1).to(device)
    quantise_(y, m, gain, 1 / gain, torch.ones_like(y, dtype=torch.uint8), (0, 0, 0, 0), y_hat, symbols)
    assert equals(symbols, np.rint((y.cpu().numpy() - m.cpu().numpy()) * np.float32(3)).astype(np.int16))


def test_kernel_with_gains_that_are_strided(device, random):
    inputs = on(device, make((1, 8, 3, 3), random))
    expected = inputs.clone()
    quantiser.quantise_reference_(*expected)
    quantiser.quantise_triton_(*inputs._replace(gain=inputs.gain.repeat_interleave(2)[::2]))
    assert torch.equal(inputs.symbols, expected.symbols)


def test_ties_go_to_even_and_large_residuals_saturate(through_triton):
    latents = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 32766.5, 32767.5, -32768.0, 1e9, -1e30, float("inf")])
    latents = latents.view(1, 1, 1, -1).repeat_interleave(2, dim=3).to(through_triton)
    ones = torch.ones_like(latents)
    for run in (quantiser.quantise_triton_, quantiser.quantise_reference_):
        symbols, y_hat = torch.zeros_like(latents, dtype=torch.int16), torch.zeros_like(latents)
        run(latents, 0 * ones, ones[0, 0, 0, :1], ones[0, 0, 0, :1], ones.to(torch.uint8), (0, 0, 0, 0), y_hat, symbols)
        coded = [-2, -2, 0, 0, 2, 2, 32766, 32767, -32767, 32767, -32767, 32767]
        assert symbols[0, 0, 0, ::2].tolist() == coded
        assert symbols[0, 0, 0, 1::2].tolist() == coded
        assert y_hat[0, 0, 0, ::2].tolist() == coded


def test_latents_that_are_not_coded_become_their_means(through_triton, random):
    inputs = on(through_triton, make((1, 4, 4, 4), random))
    quantise_(*inputs._replace(index=torch.zeros_like(inputs.index)))
    now = torch.from_numpy(oracle(inputs)[0].copy()).to(through_triton)
    assert not inputs.symbols[now].any()
    assert torch.equal(inputs.y_hat[now], inputs.means[now])


def test_decoder_rebuilds_the_very_latents_of_the_encoder(through_triton, random):
    """Four steps each, the decoder with the symbols alone; by the kernels and by the references."""
    encode = (quantiser.quantise_triton_, quantiser.quantise_reference_)
    decode = (dequantiser.dequantise_triton_, dequantiser.dequantise_reference_)
    inputs = on(through_triton, make((1, 20, 6, 5), random))
    results = []
    for run, undo in zip(encode, decode, strict=True):
        y_hat, symbols = torch.zeros_like(inputs.y_hat), torch.zeros_like(inputs.symbols)
        for groups in GROUPS:
            run(*inputs[:5], groups, y_hat, symbols)
        decoded = torch.full_like(y_hat, 5.0)
        for groups in GROUPS:
            undo(symbols, inputs.means, inputs.inverse_gain, groups, decoded)
        assert torch.equal(decoded, y_hat)
        results.append(symbols)
    assert torch.equal(*results)


def test_dequantise_kernel_equals_reference(shape, device, random):
    inputs = on(device, make(shape, random, GROUPS[1]))
    y_hat, expected = inputs.y_hat.clone(), inputs.y_hat.clone()
    dequantiser.dequantise_reference_(inputs.symbols, inputs.means, inputs.inverse_gain, inputs.groups, expected)
    dequantiser.dequantise_triton_(inputs.symbols, inputs.means, inputs.inverse_gain, inputs.groups, y_hat)
    assert torch.equal(y_hat, expected)


def test_dequantise_kernel_in_every_layout(layout, device, random, lay, guard_intact):
    inputs = on(device, make((2, 12, 5, 6), random))
    expected = inputs.y_hat.clone()
    dequantiser.dequantise_reference_(inputs.symbols, inputs.means, inputs.inverse_gain, inputs.groups, expected)
    y_hat = lay(inputs.y_hat, layout)
    dequantiser.dequantise_triton_(lay(inputs.symbols, layout), lay(inputs.means, layout), inputs.inverse_gain,
                                   inputs.groups, y_hat)
    assert torch.equal(y_hat, expected)
    if layout == "sliced":
        assert guard_intact(y_hat)


@pytest.mark.parametrize("shape_", [(0, 4, 3, 3), (1, 4, 0, 3), (1, 4, 3, 0), (1, 0, 3, 3)])
def test_empty_latents(shape_, through_triton, random):
    inputs = on(through_triton, make(shape_, random))
    quantise_(*inputs)
    dequantise_(inputs.symbols, inputs.means, inputs.inverse_gain, inputs.groups, inputs.y_hat)


# -- operators -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "memory"), [("triton", "sliced"), ("triton", "channels_last"),
                                              ("reference", "channels_last")])
def test_operators_are_registered_correctly(path, memory, random, lay, request):
    device = request.getfixturevalue("through_triton") if path == "triton" else "cpu"
    inputs = on(device, make((1, 8, 3, 2), random))
    inputs = Inputs(*(lay(x, memory) if isinstance(x, Tensor) and x.dim() == 4 else x for x in inputs))
    packed = sum(group << (2 * phase) for phase, group in enumerate(inputs.groups))
    dead_zone = torch.full((8, 5), 0.1, device=device)
    torch.library.opcheck(quantiser._quantise_in_place,
                          (*inputs[:5], packed, inputs.y_hat, inputs.symbols, dead_zone))
    torch.library.opcheck(dequantiser._dequantise_in_place,
                          (inputs.symbols, inputs.means, inputs.inverse_gain, packed, inputs.y_hat))


def test_works_in_inference_mode(through_triton, random):
    with torch.inference_mode():
        inputs = on(through_triton, make((1, 8, 2, 2), random))
        _, symbols, _ = oracle(inputs)
        quantise_(*inputs)
        assert equals(inputs.symbols, symbols)


@pytest.mark.parametrize("name", ["latents", "means", "gain", "inverse_gain", "index", "y_hat", "symbols"])
def test_wrong_arguments_are_named(name, random):
    inputs = make((1, 8, 3, 3), random)
    value = getattr(inputs, name)
    with pytest.raises(TypeError, match=rf"^{name} must be a torch.Tensor, not ndarray"):
        quantise_(*inputs._replace(**{name: value.numpy()}))
    with pytest.raises(TypeError, match=rf"^{name} must be .*, not float64"):
        quantise_(*inputs._replace(**{name: value.double()}))
    with pytest.raises(ValueError, match=rf"^{'means' if name == 'latents' else name} must have the shape"):
        quantise_(*inputs._replace(**{name: value[..., :-1]}))
    with pytest.raises(ValueError, match="on meta"):
        quantise_(*inputs._replace(**{name: value.to("meta")}))


def test_wrong_dead_zones_are_named(random):
    inputs = make((1, 8, 3, 3), random)
    with pytest.raises(TypeError, match=r"^dead_zone must be float32"):
        quantise_(*inputs._replace(dead_zone=torch.zeros(8, 5).double()))
    with pytest.raises(ValueError, match=r"^dead_zone must have the shape \[8, any\]"):
        quantise_(*inputs._replace(dead_zone=torch.zeros(5, 8)))


@pytest.mark.parametrize("groups", [(0, 1, 2), (0, 1, 2, 4), (-1, 0, 1, 2)])
def test_wrong_groups_are_named(groups, random):
    inputs = make((1, 8, 3, 3), random)
    with pytest.raises(ValueError, match=r"^groups must hold"):
        quantise_(*inputs._replace(groups=groups))
    with pytest.raises(ValueError, match=r"^groups must hold"):
        dequantise_(inputs.symbols, inputs.means, inputs.inverse_gain, groups, inputs.y_hat)


def test_dequantise_names_wrong_arguments(random):
    inputs = make((1, 8, 3, 3), random)
    given = {name: getattr(inputs, name) for name in ("symbols", "means", "inverse_gain", "y_hat")}
    for name, value in given.items():
        with pytest.raises(TypeError, match=rf"^{name} must be"):
            dequantise_(**{**given, name: value.to(torch.uint8)}, groups=GROUPS[0])
        with pytest.raises(ValueError, match=rf"^{'means' if name == 'symbols' else name} must have the shape"):
            dequantise_(**{**given, name: value[..., :-1]}, groups=GROUPS[0])
