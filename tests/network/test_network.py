"""The network: the integer scale decoder's exactness, and the parts' promises."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch

from aecodec.format.constants import (
    ACTIVATION_MAX,
    BIAS_MAX,
    GATE_MAX,
    GROUPS,
    HYPER_STRIDE,
    KNOTS,
    LEVELS,
    MAX_FAN_IN,
    STEPS,
    TABLES,
    WEIGHT_MAX,
    Z_CLAMP,
    scale_layers,
)
from aecodec.format.container import read_file
from aecodec.format.reference_network import scale_layer, table_indices
from aecodec.kernels import coded_parts
from aecodec.network.blocks import (
    Block,
    Pointwise,
)
from aecodec.network.context import (
    MeanContext,
    Means,
    step_of,
)
from aecodec.network.hyperprior import (
    INDEX_STEP,
    OFFSET_STEPS,
    SIGMA_MAX,
    SIGMA_MIN,
    Z_STEP,
    HyperAnalysis,
    IntegerScaleDecoder,
    MeanDecoder,
    ScaleDecoder,
    log2_sigma,
)
from aecodec.network.likelihood import logistic_bits
from aecodec.network.model import ModelConfig, ShippedNetwork, TrainableNetwork
from aecodec.network.quality import (
    GainVector,
    level_lambda,
)
from aecodec.network.strips import split, through
from aecodec.network.transforms import Analysis, Synthesis, start_as_transform
from helpers import scale_tensors

HYPER, LATENTS = 96, 320
SMALL = ModelConfig(latents=64, analysis_blocks=(1, 0), synthesis_blocks=(0, 1), hyper=16, context=32)


@contextlib.contextmanager
def threads(count: int):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def matmul_precision(precision: str):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def random_integers(seed: int, extreme: bool = False) -> IntegerScaleDecoder:
    """A scale decoder of random integers whose activations use their range.

    With `extreme`, weights and biases lie at the ends of their ranges, with any shifts: nearly all is clamped.
    """
    generator = torch.Generator().manual_seed(seed)

    def random(like: torch.Tensor, low: int, high: int) -> torch.Tensor:
        return torch.randint(low, high + 1, like.shape, generator=generator)

    decoder = IntegerScaleDecoder(HYPER, LATENTS)
    for layer in decoder.layers:
        layer.weight.copy_(random(layer.weight, -WEIGHT_MAX, WEIGHT_MAX))
        layer.bias.copy_(random(layer.bias, -(2**14), 2**15))
        layer.shift.copy_(random(layer.shift, 9, 11) - (2 if layer.groups > 1 else 0))
        if extreme:
            layer.weight.copy_(layer.weight.sign() * WEIGHT_MAX)
            layer.weight[::3] = WEIGHT_MAX
            layer.bias.copy_(layer.bias.sign() * BIAS_MAX)
            layer.shift.copy_(random(layer.shift, 0, 16))
    decoder.offsets.copy_(random(decoder.offsets, 0, 200))
    return decoder


def random_z(seed: int, side: int, hyper: int = HYPER) -> torch.Tensor:
    """Hyper-latents `[1, Z, side, side]`, most of them small, some beyond the clamp."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(1, hyper, side, side, generator=generator) * 12).round().clamp_(-32767, 32767)


def as_integers(x: torch.Tensor) -> np.ndarray:
    array = x[0].float().numpy()
    assert (array == np.round(array)).all()
    return array.astype(np.int64)


# -- the integer scale decoder ------------------------------------------------------------------------------------


def test_sums_stay_exact_in_float32():
    """The bound that makes float32 exact in any order of summation."""
    largest = max(ACTIVATION_MAX, Z_CLAMP)
    assert MAX_FAN_IN * largest * WEIGHT_MAX + BIAS_MAX < 2**24
    for inputs, _, depthwise, _ in scale_layers(HYPER, LATENTS):
        assert depthwise or inputs <= MAX_FAN_IN


@pytest.mark.parametrize("decoder", [
    pytest.param(lambda: random_integers(1), id="random"),
    pytest.param(lambda: random_integers(2, extreme=True), id="extreme"),
    pytest.param(None, id="shipped"),
])
def test_the_scale_decoder_equals_int64_at_all_levels(decoder, codec):
    """Over a million table indices per decoder, every one equal to NumPy's in 64-bit integers."""
    if decoder is None:
        decoder = codec.coder.engine.network.scale_decoder
    else:
        decoder = decoder()
        decoder.steps.random_(1, 256, generator=torch.Generator().manual_seed(10))
    hyper = decoder.layers[0].weight.shape[1]
    compared, seen = 0, np.zeros(TABLES, np.int64)
    for level in range(LEVELS):
        z = random_z(level, 2, hyper)
        index = as_integers(decoder(z, level))
        np.testing.assert_array_equal(index, table_indices(scale_tensors(decoder), z[0].numpy(), level))
        compared += index.size
        seen += np.bincount(index.reshape(-1), minlength=TABLES)
    assert compared > 1_000_000
    assert (seen > 0).sum() > TABLES // 2  # the comparison is not one of a constant


def test_hidden_layers_equal_int64():
    """Layer by layer, since the clamp of the last one could hide an error of another."""
    for seed, extreme in ((3, False), (4, True)):
        decoder = random_integers(seed, extreme)
        generator = torch.Generator().manual_seed(seed)
        for layer, (inputs, _, _, _) in zip(decoder.layers, scale_layers(HYPER, LATENTS), strict=True):
            x = torch.randint(0, ACTIVATION_MAX + 1, (1, inputs, 6, 5), generator=generator).float()
            x[:, :, :2] = ACTIVATION_MAX
            wanted = scale_layer(x[0].numpy(), layer.weight.numpy(), layer.bias.numpy(), layer.shift.numpy())
            # Without ReLU: beyond 2^23 the half that rounds does not fit; the index is clamped long before.
            wanted = np.clip(wanted, 0, ACTIVATION_MAX) if layer.relu else np.clip(wanted, -(2**22), 2**22)
            with torch.no_grad():
                given = np.clip(as_integers(layer(x.clone())), -(2**22), 2**22)
            np.testing.assert_array_equal(given, wanted)


@pytest.mark.parametrize("switch", [
    pytest.param(lambda: threads(1), id="1 thread"),
    pytest.param(lambda: threads(2), id="2 threads"),
    pytest.param(lambda: torch.backends.mkldnn.flags(enabled=False), id="without oneDNN"),
    pytest.param(lambda: torch.autocast("cpu", torch.bfloat16), id="autocast"),
    pytest.param(lambda: matmul_precision("medium"), id="matmul precision medium"),
    pytest.param(lambda: matmul_precision("high"), id="matmul precision high"),
    pytest.param(torch.inference_mode, id="inference mode"),
])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_scale_decoder_is_the_same_in_every_setting(switch, layout):
    decoder, z = random_integers(6), random_z(0, 7)
    wanted = table_indices(scale_tensors(decoder), z[0].numpy(), 20)
    decoder = decoder.to(memory_format=layout)
    with switch():
        index = decoder(z.contiguous(memory_format=layout), 20)
    np.testing.assert_array_equal(as_integers(index), wanted)


def test_only_what_lies_beyond_the_clamp_is_clamped():
    decoder = random_integers(7)
    z = random_z(1, 4)
    largest = Z_CLAMP // Z_STEP
    beyond = torch.where(z.abs() > largest, z * 20, z)
    assert not torch.equal(z, beyond)
    assert torch.equal(decoder(z, 9), decoder(beyond, 9))
    inside = z.clone()
    inside[0, :, 1, 1] = largest
    less = inside.clone()
    less[0, :, 1, 1] = largest - 1
    assert not torch.equal(decoder(inside, 9), decoder(less, 9))


def test_the_trainable_scale_decoder_equals_its_frozen_form():
    torch.manual_seed(0)
    trainable, gain = ScaleDecoder(HYPER, LATENTS), GainVector(LATENTS)
    with torch.no_grad():
        for parameter in (*trainable.parameters(), *gain.parameters()):
            parameter.add_(torch.randn_like(parameter) * 0.15)
    frozen = trainable.eval().freeze(gain)
    z = random_z(2, 3)
    seen = set()
    for level in range(0, LEVELS, 9):
        with torch.no_grad():
            index = trainable(z, torch.tensor([level]), gain)
        np.testing.assert_array_equal(as_integers(index), as_integers(frozen(z, level)))
        seen |= set(np.unique(as_integers(index)).tolist())
    assert len(seen) > TABLES // 2


def test_frozen_weights_are_within_their_ranges():
    torch.manual_seed(1)
    trainable = ScaleDecoder(HYPER, LATENTS)
    with torch.no_grad():
        for n, layer in enumerate(trainable.layers):
            layer.weight.mul_(10.0 ** (n - 3))  # from far below the finest to far above the coarsest step
            layer.bias.copy_(torch.randn_like(layer.bias) * 10.0 ** (n - 1))
    for layer in trainable.freeze(GainVector(LATENTS)).layers:
        assert layer.weight.dtype == torch.int8
        assert int(layer.weight.min()) >= -WEIGHT_MAX
        assert int(layer.bias.abs().max()) <= BIAS_MAX
        assert int(layer.shift.max()) <= 16


def test_gradients_pass_through_the_rounding():
    torch.manual_seed(2)
    trainable, gain = ScaleDecoder(HYPER, LATENTS).train(), GainVector(LATENTS)
    z = random_z(3, 2).requires_grad_()
    trainable(z, torch.tensor([30]), gain).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in trainable.parameters())
    assert float(z.grad.abs().max()) > 0


def test_a_step_of_the_index_is_a_step_of_sigma():
    assert float(torch.exp2(log2_sigma(torch.tensor(1.0)))) == pytest.approx(SIGMA_MIN)
    assert float(torch.exp2(log2_sigma(torch.tensor(TABLES - 1.0)))) == pytest.approx(SIGMA_MAX, rel=1e-5)
    gain, offset = GainVector(4), ScaleDecoder(HYPER, 4)
    with torch.no_grad():
        gain.knots.fill_(INDEX_STEP)  # latents as much larger as one table is wider than the last
    assert offset.offsets(gain).allclose(torch.tensor(float(OFFSET_STEPS)))


# -- whole files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("switch", [
    pytest.param(lambda: threads(1), id="1 thread"),
    pytest.param(lambda: threads(2), id="2 threads"),
    pytest.param(lambda: torch.backends.mkldnn.flags(enabled=False), id="without oneDNN"),
    pytest.param(lambda: matmul_precision("medium"), id="matmul precision medium"),
])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_files_of_any_setting_decode_in_any_other(codec, photo, precision, switch):
    """Decoding checks the CRC of the symbols, so it fails if one of them differs."""
    import aecodec

    picture = photo[:70, :90]
    other = aecodec.Codec(device="cpu", precision=precision)
    assert other.precision == precision
    ours = codec.encode(picture, 60)
    with switch():
        theirs = other.encode(picture, 60)
        there = np.asarray(other.decode(ours)).astype(int)
    here = np.asarray(codec.decode(theirs)).astype(int)
    for decoded in (here, there):
        assert 10 * np.log10(255**2 / np.mean((decoded - picture) ** 2)) > 28


def test_a_file_decodes_to_much_the_same_in_every_precision(codec, photo):
    """The symbols are the same; only roundings of the synthesis differ."""
    import aecodec

    data = codec.encode(photo, 60)
    exact, fast = (np.asarray(aecodec.Codec(device="cpu", precision=p).decode(data)).astype(int)
                   for p in ("float32", "bfloat16"))
    assert np.abs(exact - fast).max() > 0  # they are two computations
    assert np.abs(exact - fast).mean() < 1


def test_channels_last_does_not_change_the_symbols(codec, photo):
    """A network in the plain layout decodes to the same symbols (their CRC is in the file)."""
    from aecodec import coder

    plain = coder.load(codec.model, "cpu", "float32", engine="torch")
    plain.engine.network.to(memory_format=torch.contiguous_format)
    file = read_file(codec.encode(photo, 60))
    assert plain.decode(file).shape == photo.shape


# -- blocks, context, levels --------------------------------------------------------------------------------------


def test_a_new_block_is_the_identity():
    torch.manual_seed(3)
    x = torch.randn(2, 24, 5, 7)
    block = Block(24)
    with torch.no_grad():
        assert torch.equal(block(x.clone()), x)
        for rows in (1, 2, 5):
            assert torch.equal(torch.cat(list(through([block], split(x.clone(), rows))), dim=2), x)


def test_the_gate_of_a_block_is_bounded():
    torch.manual_seed(4)
    block = Block(8)
    with torch.no_grad():
        block.mix.weight.copy_(torch.eye(8))
        block.gate.weight.mul_(1e4)
        x = torch.randn(1, 8, 4, 4)
        u, v = block.gate(x).chunk(2, dim=1)
        assert float(v.abs().max()) > GATE_MAX
        wanted = x + torch.nn.functional.silu(u) * v.clamp(-GATE_MAX, GATE_MAX)
        torch.testing.assert_close(block(x.clone()), wanted)


def random_parameters(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Every parameter at random, so that no residual is zero."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.3 if name.endswith("knots") else 0.1))
    return module.eval()


def in_strips(module, x, rows, height, width, level):
    """What `module.strips` gives for strips of `rows` rows of what it takes, put together."""
    x = x.clone()
    if isinstance(module, MeanContext):
        known = torch.zeros(1, 48, height, width)
        steps = step_of(48, height, width)

        def code(step, n, means):
            own = slice(rows * n, rows * n + rows)
            known[:, :, own] = torch.where(steps[:, own] == step, means.all() + x_signs[:, :, own], known[:, :, own])
            return known[:, :, own]

        x_signs = x.sign()
        for _ in module.at(int(level)).strips(split(x, rows), level, code):
            pass
        return known
    if isinstance(module, Block):
        return torch.cat(list(through([module.at(int(level))], split(x, rows))), dim=2)
    if isinstance(module, (HyperAnalysis, MeanDecoder)):
        return torch.cat(list(module.strips(split(x, rows))), dim=2)
    module = module.at(int(level))
    parts = torch.cat(list(module.strips(split(x, 16 * rows if isinstance(module, Analysis) else rows), level)), dim=2)
    return torch.nn.functional.pixel_shuffle(parts, 8) if isinstance(module, Synthesis) else parts


def whole(module, x, height, width, level):
    if isinstance(module, MeanContext):
        steps, known = step_of(48, height, width), torch.zeros(1, 48, height, width)

        def code(step, _, means):
            nonlocal known
            known = torch.where(steps == step, means.all() + x.sign(), known)
            return known

        return module(x, level, code)[0]
    return module(x, level) if isinstance(module, (Analysis, Synthesis, Block)) else module(x)


@pytest.mark.parametrize("rows", [4, 8, 1000])
@pytest.mark.parametrize("size", [(4, 4), (8, 3), (7, 5), (40, 33)])
@pytest.mark.parametrize("make", [
    pytest.param(lambda: Block(48), id="block"),
    pytest.param(lambda: Block(48, 5, 2), id="conditioned block, 5x5"),
    pytest.param(lambda: MeanContext(48, 48), id="context"),
    pytest.param(lambda: MeanContext(48, 48, 5, 2, True), id="conditioned context, 5x5"),
    pytest.param(lambda: Synthesis(192, 48, (1, 2)), id="synthesis"),
    pytest.param(lambda: Synthesis(192, 48, (1, 2), 5, 2, True), id="conditioned synthesis, 5x5"),
    pytest.param(lambda: Analysis(192, 48, (2, 1)), id="analysis"),
    pytest.param(lambda: Analysis(192, 48, (2, 1), 5, 2, True), id="conditioned analysis, 5x5"),
    pytest.param(lambda: HyperAnalysis(48, 48, 48), id="hyper-analysis"),
    pytest.param(lambda: MeanDecoder(48, 48), id="mean decoder"),
])
def test_strips_compute_what_the_whole_computes(make, size, rows):
    """Coding works strip by strip, training on whole pictures."""
    height, width = size
    module, level = random_parameters(make(), 5), torch.tensor([20])
    x = torch.randn(1, 48, height, width, generator=torch.Generator().manual_seed(9))
    if isinstance(module, Analysis):
        x = torch.nn.functional.interpolate(x[:, :3], scale_factor=16)
    if isinstance(module, HyperAnalysis):
        x = torch.nn.functional.pad(x, (0, -width % 4, 0, -height % 4))
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        wanted = whole(module, x, height, width, level)
    with torch.inference_mode():
        given = in_strips(module, x, rows, height, width, level)
    assert float(wanted.std()) > 0
    torch.testing.assert_close(given, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_file_does_not_depend_on_the_strips(codec, precision):
    from aecodec import models
    from aecodec.coder import Coder
    from aecodec.engine.torch_engine import TorchEngine

    pixels = np.random.default_rng(3).integers(0, 256, (9, 13, 3), np.uint8).repeat(30, 0).repeat(9, 1)
    file = models.load(codec.model)
    results = []
    for rows in (4, 8, 1000):
        coder = Coder(file, TorchEngine(file, "cpu", precision, strip_rows=rows))
        coded = coder.encode(pixels, 45)
        results.append((coded, coder.decode(coded)))
    for coded, decoded in results[1:]:
        assert coded.header.symbol_crc == results[0][0].header.symbol_crc
        assert np.abs(decoded.astype(int) - results[0][1]).max() <= 1
    with pytest.raises(ValueError, match="multiple of 4"):
        TorchEngine(file, "cpu", strip_rows=6)


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (3, 2), (6, 7)])
def test_every_latent_becomes_known_once(size):
    height, width = size
    steps = step_of(16, height, width)
    assert steps.shape == (16, height, width)
    assert set(steps.unique().tolist()) <= set(range(STEPS))
    for row in range(height):
        for column in range(width):
            assert sorted(steps[::4, row, column].tolist()) == list(range(STEPS))  # each group in another step
    if min(size) > 1:
        for group in range(STEPS):
            phases = steps[4 * group:4 * group + 4, :2, :2]
            assert (phases == phases[:1]).all()  # a whole group together
            assert sorted(phases[0].flatten().tolist()) == list(range(STEPS))  # each phase in another step


def test_the_slices_of_a_step_are_its_mask():
    for height, width in ((1, 1), (2, 3), (5, 4)):
        steps = step_of(16, height, width)[None]
        for step in range(STEPS):
            mask = torch.zeros_like(steps, dtype=torch.int64)
            for part in coded_parts(16, GROUPS[step]):
                mask[part] += 1
            assert torch.equal(mask, (steps == step).long())


def test_the_means_of_a_part_are_those_of_all():
    torch.manual_seed(13)
    head, x = random_parameters(Pointwise(24, 16), 14), torch.randn(1, 24, 5, 4)
    with torch.no_grad():
        for step in range(STEPS):
            for part in coded_parts(16, GROUPS[step]):
                torch.testing.assert_close(Means(head, x).of(part), Means(head, x).all()[part])


def test_the_context_sees_known_latents_only():
    """Changing a latent changes the means of later steps, never of its own or of earlier ones."""
    context = random_parameters(MeanContext(16, 24), 10)
    features, level = torch.randn(1, 24, 6, 6), torch.tensor([5])
    steps = step_of(16, 6, 6)

    def means_of(latents):
        seen = []

        def code(step, _, means):
            seen.append(means.all())
            return torch.where(steps <= step, latents, 0)

        with torch.no_grad():
            context(features.clone(), level, code)
        return seen

    latents = torch.randn(1, 16, 6, 6)
    before = means_of(latents)
    for changed in range(STEPS):
        after = means_of(torch.where(steps == changed, latents + 1, latents))
        for step in range(STEPS):
            assert torch.equal(before[step], after[step]) == (step <= changed)


def test_latents_come_in_four_groups():
    with pytest.raises(ValueError, match="multiple of 4"):
        MeanContext(18, 8)


def test_level_vectors_interpolate_between_knots():
    vector = GainVector(3)
    with torch.no_grad():
        vector.knots.copy_(torch.arange(KNOTS)[:, None] * torch.tensor([1.0, -1.0, 0.5]))
    table = vector.table()
    assert table.shape == (LEVELS, 3)
    torch.testing.assert_close(table[:, 0], torch.arange(LEVELS) / 7)
    level = torch.tensor([0, 7, 10, 63])
    torch.testing.assert_close(vector.log2(level)[:, :, 0, 0], table[level])
    torch.testing.assert_close(vector(level)[:, 1, 0, 0], torch.exp2(-level / 7))
    with torch.no_grad():
        vector.knots.fill_(100.0)
    assert float(vector(level).detach().max()) == 2**14


def test_the_trade_off_rises_with_the_level():
    weights = level_lambda(torch.arange(LEVELS))
    assert (weights[1:] > weights[:-1]).all()
    ratios = weights[1:] / weights[:-1]
    torch.testing.assert_close(ratios, torch.full_like(ratios, float(ratios[0])))


# -- rate ---------------------------------------------------------------------------------------------------------


def test_logistic_bits_are_those_of_the_distribution():
    """-log2 of the difference of the logistic's CDF over a unit interval, in float64."""
    sigma = np.geomspace(SIGMA_MIN, SIGMA_MAX, 40)[:, None]
    value = np.array([0, 0.25, -0.25, 0.5, 1, -1, 2.75, 4])[None, :] * np.maximum(sigma, 0.3)
    scale = sigma * np.sqrt(3) / np.pi
    upper, lower = (1 / (1 + np.exp(-(np.abs(value) + half) / scale)) for half in (0.5, -0.5))
    # In the tail the difference of CDFs near one loses digits; by symmetry it is that of CDFs near zero.
    low, high = (1 / (1 + np.exp((np.abs(value) + half) / scale)) for half in (0.5, -0.5))
    bits = -np.log2(np.where(np.abs(value) > scale, high - low, upper - lower))
    assert bits.max() > 15
    given = logistic_bits(torch.from_numpy(value), torch.from_numpy(np.log2(sigma)))
    np.testing.assert_allclose(given.numpy(), bits, rtol=1e-9, atol=1e-12)
    single = logistic_bits(torch.from_numpy(value).float(), torch.from_numpy(np.log2(sigma)).float())
    np.testing.assert_allclose(single.numpy(), bits, rtol=1e-4, atol=1e-5)


def test_logistic_bits_are_finite_far_out_and_have_a_gradient():
    value = torch.tensor([0.0, 100.0, -32767.0], requires_grad=True)
    bits = logistic_bits(value, torch.full((3,), float(np.log2(SIGMA_MIN))))
    assert torch.isfinite(bits).all()
    bits.sum().backward()
    assert torch.isfinite(value.grad).all()
    assert value.grad[1] > 1
    assert value.grad[2] < -1


# -- the transform start ------------------------------------------------------------------------------------------


def centred(photo: np.ndarray, height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(photo[:height, :width].copy()).permute(2, 0, 1)[None].float() / 255 - 0.5


def decibels(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10((a - b).square().mean()))


@pytest.mark.parametrize(("latents", "least"), [(768, 90), (320, 30), (64, 20)])
def test_a_new_network_is_a_transform_codec(photo, latents, least):
    picture, level = centred(photo, 192, 288), torch.tensor([30])
    analysis, synthesis = Analysis(192, latents, (1, 1)), Synthesis(192, latents, (1, 1))
    deviation = start_as_transform(analysis, synthesis, picture)
    with torch.no_grad():
        y = analysis(picture, level)
        restored = synthesis(y.clone(), level)
    assert y.shape == (1, latents, 12, 18)
    assert deviation.shape == (latents,)
    assert decibels(restored, picture) > least
    if latents == 64:  # the energies are those of the photo (the weakest of 768 have none)
        torch.testing.assert_close(y.square().mean(dim=(0, 2, 3)).sqrt(), torch.ones(latents), rtol=1e-3, atol=1e-3)


def test_the_start_keeps_the_strongest_and_deals_them_to_all_groups(photo):
    picture = centred(photo, 192, 288)
    deviation = start_as_transform(Analysis(192, 64, (0, 0)), Synthesis(192, 64, (0, 0)), picture)
    groups = deviation.view(4, 16)
    assert (groups[:, 1:] <= groups[:, :-1]).all()
    assert float(groups[:, 0].min()) > float(groups[:, -1].max())
    every = start_as_transform(Analysis(192, 768, (0, 0)), Synthesis(192, 768, (0, 0)), picture)
    torch.testing.assert_close(deviation.sort().values, every.sort().values[-64:])


def test_the_start_needs_room_for_every_frequency(photo):
    with pytest.raises(ValueError, match="192"):
        start_as_transform(Analysis(64, 64, (0, 0)), Synthesis(64, 64, (0, 0)), centred(photo, 64, 64))


# -- the assembled network ----------------------------------------------------------------------------------------


def test_sizes_survive_json():
    import json

    config = ModelConfig.from_dict(json.loads(json.dumps(SMALL.to_dict())))
    assert config == SMALL
    with pytest.raises(ValueError, match="colour"):
        ModelConfig.from_dict({"colour": 3})


def test_training_and_evaluation_of_the_network(photo):
    torch.manual_seed(11)
    network = TrainableNetwork(SMALL)
    picture = centred(photo, 128, 192)
    network.start(picture)
    rates, qualities = [], []
    for level in (0, 30, 63):
        with torch.no_grad():
            output = network.eval()(picture, torch.tensor([level]))
        assert output.picture.shape == picture.shape
        rates.append(float(output.bits_y.sum() + output.bits_z.sum()))
        qualities.append(decibels(output.picture, picture))
        assert min(float(output.bits_y.min()), float(output.bits_z.min())) >= 0
    assert rates == sorted(rates)
    assert qualities == sorted(qualities)

    network.train()
    output = network(picture.expand(2, -1, -1, -1), torch.tensor([10, 50]))
    rate = (output.bits_y.sum() + output.bits_z.sum()) / picture.numel()
    (rate + 1000 * (output.picture - picture).square().mean()).backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert without == []


def test_a_decoder_that_is_trained_alone_sees_the_symbols_of_the_codec(photo):
    """Otherwise values of narrow tables are dithered before they are rounded."""
    torch.manual_seed(13)
    network = TrainableNetwork(SMALL)
    picture, level = centred(photo, 128, 128), torch.tensor([20])
    network.start(picture)
    with torch.no_grad():
        first, second = (network(picture, level).picture for _ in range(2))
        assert not torch.equal(first, second)
        network.freeze_encoder()
        first, second = (network(picture, level) for _ in range(2))
        assert torch.equal(first.picture, second.picture)
        assert torch.equal(first.picture, network.eval()(picture, level).picture)


def test_the_shipped_form_holds_the_trained_parts(photo):
    torch.manual_seed(12)
    network = TrainableNetwork(SMALL)
    network.start(centred(photo, 64, 64))
    frozen = ShippedNetwork.frozen(network)
    assert not frozen.training
    picture, level = centred(photo, 64, 64), torch.tensor([20])
    with torch.no_grad():
        assert torch.equal(frozen.analysis(picture, level), network.analysis(picture, level))
    index = frozen.z_index
    assert index.shape == (LEVELS, SMALL.hyper)
    assert int(index.min()) >= TABLES  # z has tables of its own, and none of them is "always zero"
    assert int(index.max()) < 2 * TABLES - 1
    assert HYPER_STRIDE == 4


def test_the_price_of_a_value_has_the_right_gradient():
    """In the value and in the scale, also where one scale stands for many values; and equal bits to plain softplus."""
    from torch.nn import functional as F

    from aecodec.network.likelihood import _tails

    torch.manual_seed(0)
    value = (4 * torch.randn(2, 3, 2, 2, dtype=torch.double)).requires_grad_(True)
    for shape in ((2, 3, 2, 2), (2, 3, 1, 1)):
        inverse = torch.rand(shape, dtype=torch.double).add(0.3).requires_grad_(True)
        assert torch.autograd.gradcheck(_tails, (value, inverse))
        r = value.abs()
        assert torch.equal(_tails(value, inverse), F.softplus(-(r + 0.5) * inverse) + F.softplus((r - 0.5) * inverse))
