"""The integer scale decoder: exact, on every machine and in every setting."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aecodec.format.constants import (
    ACTIVATION_MAX,
    BIAS_MAX,
    LEVELS,
    MAX_FAN_IN,
    TABLES,
    WEIGHT_MAX,
    Z_CLAMP,
    scale_layers,
)
from aecodec.format.reference_network import scale_layer, table_indices
from aecodec.network.hyperprior import (
    INDEX_STEP,
    OFFSET_STEPS,
    SIGMA_MAX,
    SIGMA_MIN,
    Z_STEP,
    IntegerScaleDecoder,
    ScaleDecoder,
    log2_sigma,
)
from aecodec.network.quality import (
    GainVector,
)
from helpers import matmul_precision, scale_tensors, threads

HYPER, LATENTS = 96, 320


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
