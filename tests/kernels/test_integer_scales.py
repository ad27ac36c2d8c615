"""`requantise`: exact, whatever the values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from aecodec.format.constants import ACTIVATION_MAX
from aecodec.kernels import integer_scales, requantise
from aecodec.network.hyperprior import IntegerScaleDecoder

LARGEST = 2**24 - 1


def make(shape: tuple[int, ...], random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Accumulators and biases of every magnitude, shifts 0..16."""
    shift = torch.randint(0, 17, (shape[1],), generator=random, dtype=torch.uint8)
    size = torch.exp2(23 * torch.rand(shape, generator=random))
    accumulators = (size * (2 * torch.rand(shape, generator=random) - 1)).trunc()
    bias = torch.randint(-(2**20), 2**20, (shape[1],), generator=random) // 2 ** torch.arange(shape[1]).remainder(20)
    return accumulators, bias.to(torch.int32), shift


def rounded(accumulators: Tensor, bias: Tensor, shift: Tensor) -> np.ndarray:
    """`floor((a + b) / 2^k + 1/2)` in float64, where every step is exact."""
    scale = 2.0 ** -shift.cpu().numpy().astype(np.float64)
    total = accumulators.cpu().numpy().astype(np.float64) + bias.cpu().numpy().astype(np.float64)[:, None, None]
    return np.floor(total * scale[:, None, None] + 0.5)


def activations(accumulators: Tensor, bias: Tensor, shift: Tensor, maximum: int) -> Tensor:
    return torch.from_numpy(np.clip(rounded(accumulators, bias, shift), 0, maximum).astype(np.float32))


@pytest.mark.parametrize("path", ["triton", "reference"])
def test_exact(path, shape, random, request):
    device = request.getfixturevalue("through_triton") if path == "triton" else "cpu"
    tensors = [x.to(device) for x in make(shape, random)]
    assert torch.equal(requantise(*tensors, 255).cpu(), activations(*tensors, 255))


@pytest.mark.parametrize("path", ["triton", "reference"])
def test_exact_around_every_half_and_at_the_limits(path, request):
    """For each shift k, a = n 2^k + 2^(k-1) + {-1, 0, 1} for n from -2 to 513, and the largest accumulators."""
    device = request.getfixturevalue("through_triton") if path == "triton" else "cpu"
    k = torch.arange(17)
    n = torch.cat([torch.arange(-2, 6), torch.arange(60, 70), torch.arange(506, 514)])
    values = (n[None, :] * 2 ** k[:, None] + 2 ** (k[:, None] - 1).clamp_min(0))[:, :, None] + torch.arange(-1, 2)
    limits = torch.tensor([-LARGEST, -LARGEST + 1, LARGEST - 1, LARGEST]).expand(17, 4)
    values = torch.cat([values.flatten(1), limits], dim=1).clamp(-LARGEST, LARGEST)
    accumulators = values.float()[None, :, None, :].to(device)
    bias, shift = torch.zeros(17, dtype=torch.int32, device=device), k.to(torch.uint8).to(device)
    assert torch.equal(requantise(accumulators, bias, shift, 511).cpu(), activations(accumulators, bias, shift, 511))


def test_the_layers_of_the_scale_decoder_made_of_it(random):
    """What a hidden layer gives on a GPU is what it gives elsewhere."""
    decoder = IntegerScaleDecoder(8, 16)
    for layer in decoder.layers:
        layer.weight.copy_(torch.randint(-127, 128, layer.weight.shape, generator=random))
        layer.bias.copy_(torch.randint(-(2**14), 2**14, layer.bias.shape, generator=random))
        layer.shift.copy_(torch.randint(8, 13, layer.shift.shape, generator=random))
    decoder.offsets.copy_(torch.randint(-100, 100, decoder.offsets.shape, generator=random))
    x = decoder.dequantise(torch.randint(-31, 32, (1, 8, 2, 3), generator=random).float(), 20)
    for layer, shuffle in zip(decoder.layers, decoder.shuffles, strict=True):
        hidden, x = x, F.conv2d(x, layer.weight.float(), padding=layer.padding, groups=layer.groups)
        if layer.relu:
            x = requantise(x, layer.bias, layer.shift, ACTIVATION_MAX)
            assert torch.equal(x, layer(hidden.clone()))
            x = F.pixel_shuffle(x, 2) if shuffle else x
            assert x.unique().numel() > 10


def test_kernel_in_every_layout(layout, through_triton, random, lay):
    accumulators, *vectors = (x.to(through_triton) for x in make((2, 12, 5, 6), random))
    given, (bias, shift) = lay(accumulators, layout), (x.repeat_interleave(2)[::2] for x in vectors)
    result = requantise(given, bias, shift, 255)
    assert torch.equal(result.cpu(), activations(accumulators, bias, shift, 255))
    assert result.is_contiguous(memory_format=torch.channels_last) == (layout in ("channels_last", "transposed"))


@pytest.mark.parametrize("shape_", [(0, 4, 3, 3), (1, 4, 0, 3), (1, 0, 3, 3)])
def test_empty(shape_, through_triton):
    accumulators = torch.zeros(shape_, device=through_triton)
    bias = torch.zeros(shape_[1], dtype=torch.int32, device=through_triton)
    assert requantise(accumulators, bias, bias.to(torch.uint8), 255).shape == shape_


@pytest.mark.parametrize("path", ["triton", "reference"])
def test_operators_are_registered_correctly(path, random, lay, request):
    device = request.getfixturevalue("through_triton") if path == "triton" else "cpu"
    accumulators, bias, shift = (x.to(device) for x in make((2, 12, 5, 6), random))
    for layout in ("sliced", "channels_last"):
        given = lay(accumulators, layout)
        torch.library.opcheck(integer_scales._requantise, (given, bias, shift, 255))


def test_wrong_arguments_are_named(random):
    accumulators, bias, shift = make((1, 8, 3, 3), random)
    given = {"accumulators": accumulators, "bias": bias, "shift": shift}
    for name, value in given.items():
        with pytest.raises(TypeError, match=rf"^{name} must be .*, not float64"):
            requantise(**{**given, name: value.double()}, maximum=255)
        with pytest.raises(ValueError, match=rf"^{name} must have the shape"):
            requantise(**{**given, name: value[None]}, maximum=255)
    with pytest.raises(TypeError, match=r"^accumulators must be float32, not int32"):
        requantise(accumulators.int(), bias, shift, 255)
