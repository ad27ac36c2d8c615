"""`gated_activation`: silu(u) * v within its documented bound of float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from aecodec.kernels import gate, gated_activation

ROUNDOFF = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}
SMALLEST = {torch.float32: 2.0**-149, torch.bfloat16: 2.0**-133, torch.float16: 2.0**-24}
DTYPES = pytest.mark.parametrize("dtype", list(ROUNDOFF), ids=lambda dtype: str(dtype).removeprefix("torch."))


def make(shape: tuple[int, ...], random: torch.Generator, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    x = torch.randn((shape[0], 2 * shape[1], *shape[2:]), generator=random) * 4
    return x.to(dtype), torch.randn(2 * shape[1], generator=random).to(dtype)


def halves(x: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`u, v` in float64, not clamped, and the halves of x alone."""
    x_u, x_v = x.double().chunk(2, dim=1)
    if bias is None:
        return x_u, x_v, x_u, x_v
    b_u, b_v = bias.double()[:, None, None].chunk(2)
    return x_u + b_u, x_v + b_v, x_u, x_v


def kernel_bound(x: Tensor, bias: Tensor | None) -> Tensor:
    """The error that the module's docstring allows the kernel."""
    roundoff = ROUNDOFF[x.dtype]
    if x.dtype == torch.bfloat16 and x.device.type == "cpu":
        roundoff *= 2  # Triton's interpreter truncates where hardware rounds
    u, v, x_u, x_v = (part.abs() for part in halves(x, bias))
    signed = halves(x, bias)[0]
    y = (signed * torch.sigmoid(signed) * v).abs()
    bound = (roundoff + 2.0**-23 * (8 + u)) * y + SMALLEST[x.dtype]
    if bias is not None:
        bound = bound + 2.0**-22 * (u + x_u) * v + 2.0**-24 * u * (v + x_v)
    return bound


@DTYPES
@pytest.mark.parametrize("biased", [False, True])
def test_kernel_is_within_its_bound_of_float64(biased, dtype, shape, device, random):
    x, bias = (part.to(device) for part in make(shape, random, dtype))
    bias = bias if biased else None
    u, v, *_ = halves(x, bias)
    result = gate.gated_activation_triton(x, bias)
    assert result.dtype == dtype
    assert ((result.double() - u * torch.sigmoid(u) * v).abs() <= kernel_bound(x, bias)).all()


@DTYPES
@pytest.mark.parametrize("biased", [False, True])
def test_reference_is_within_its_bound_of_float64(biased, dtype, shape, random):
    x, bias = make(shape, random, dtype)
    bias = bias if biased else None
    u, v, *_ = halves(x, bias)
    error = (gate.gated_activation_reference(x, bias).double() - u * torch.sigmoid(u) * v).abs()
    assert (error <= 5 * ROUNDOFF[dtype] * (1 + u.abs()) * v.abs() + 2 * SMALLEST[dtype]).all()


@pytest.mark.filterwarnings("ignore:overflow")  # of exp, in the interpreter
def test_kernel_at_large_arguments(device):
    u = torch.tensor([-200.0, -88.0, -20.0, -0.0, 0.0, 20.0, 88.0, 200.0], device=device)
    x = torch.stack([u, torch.full_like(u, 2.0)])[None, :, None]
    result = gate.gated_activation_triton(x)[0, 0, 0]
    exact = 2 * u.double() * torch.sigmoid(u.double())
    assert torch.isfinite(result).all()
    assert ((result.double() - exact).abs() <= (2.0**-24 + 2.0**-23 * (8 + u.double().abs())) * exact.abs()
            + 2.0**-126).all()


@pytest.mark.parametrize("path", ["triton", "reference"])
def test_limit_clamps_the_gate(path, random, request):
    device = request.getfixturevalue("through_triton") if path == "triton" else "cpu"
    x, bias = (part.to(device) for part in make((2, 5, 4, 3), random, torch.float32))
    u, v, *_ = halves(x, bias)
    assert 0.2 < (v.abs() > 2).double().mean() < 0.8
    ideal = u * torch.sigmoid(u) * v.clamp(-2, 2)
    torch.testing.assert_close(gated_activation(x, bias, limit=2.0).double(), ideal, rtol=1e-5, atol=1e-5)


def test_not_a_number_stays_so(device):
    x = torch.tensor([[1.0, float("nan")], [float("nan"), 1.0]], device=device)[None, :, :, None]
    assert gate.gated_activation_triton(x, None, 8.0).isnan().all()


def test_bias_of_float32_beside_bfloat16(device, random):
    x, _ = (part.to(device) for part in make((1, 6, 3, 3), random, torch.bfloat16))
    bias = torch.full((12,), 2.0**-12, device=device)  # lost if the sum were rounded to bfloat16
    x = torch.ones_like(x)
    u = torch.tensor(1 + 2.0**-12, dtype=torch.float64)
    expected = (u * torch.sigmoid(u) * u).to(torch.bfloat16)
    assert (gate.gated_activation_triton(x, bias).cpu() == expected).all()


def test_kernel_in_every_layout(layout, device, random, lay):
    x, bias = (part.to(device) for part in make((2, 6, 5, 6), random, torch.float32))
    result = gate.gated_activation_triton(lay(x, layout), bias)
    assert torch.equal(result, gate.gated_activation_triton(x, bias))
    assert result.is_contiguous(memory_format=torch.channels_last) == (layout in ("channels_last", "transposed"))


@pytest.mark.parametrize("path", ["triton", "reference"])
def test_operators_are_registered_correctly(path, random, lay, request):
    device = request.getfixturevalue("through_triton") if path == "triton" else "cpu"
    x, bias = (part.to(device) for part in make((2, 6, 5, 4), random, torch.float32))
    x = lay(x, "channels_last")
    torch.library.opcheck(gate._gated_activation, (x, bias, 3.0))
    torch.library.opcheck(gate._gated_activation, (lay(x, "sliced"), None, math.inf))


@pytest.mark.parametrize("shape_", [(0, 4, 3, 3), (1, 4, 0, 3), (1, 0, 3, 3)])
def test_empty(shape_, through_triton):
    x = torch.zeros(shape_, device=through_triton)
    assert gated_activation(x).shape == (shape_[0], shape_[1] // 2, *shape_[2:])


def test_wrong_arguments_are_named():
    x, bias = torch.zeros(1, 4, 2, 2), torch.zeros(4)
    with pytest.raises(TypeError, match=r"^x must be float32 or bfloat16 or float16, not float64"):
        gated_activation(x.double())
    with pytest.raises(ValueError, match=r"^x must have an even number of channels, not 3"):
        gated_activation(x[:, :3])
    with pytest.raises(ValueError, match=r"^x must have the shape"):
        gated_activation(x[0])
    with pytest.raises(ValueError, match=r"^limit must not be negative, not -1"):
        gated_activation(x, limit=-1)
    with pytest.raises(TypeError, match=r"^bias must be .*, not float16"):
        gated_activation(x, bias.half())
    with pytest.raises(ValueError, match=r"^bias must have the shape \[4\], not \[2\]"):
        gated_activation(x, bias[:2])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_more_than_2_31_elements():
    """Offsets beyond 32 bits, which only a GPU's memory holds: 2 x 32769 x 32771 values."""
    if torch.cuda.mem_get_info()[0] < 12 * 2**30:
        pytest.skip("needs 12 GiB of free GPU memory")
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.empty((1, 2, 32769, 32771), dtype=torch.bfloat16, device="cuda", memory_format=layout)
        x[:, 0], x[:, 1] = 1.0, 2.0
        x[0, 0, -1, -1], x[0, 1, -1, -1] = 3.0, 5.0
        result = gate.gated_activation_triton(x)
        for position, u, v in (((0, 0), 1.0, 2.0), ((32768, 32769), 1.0, 2.0), ((32768, 32770), 3.0, 5.0)):
            expected = gate.gated_activation_triton(torch.tensor([u, v], dtype=torch.bfloat16,
                                                                 device="cuda").view(1, 2, 1, 1))
            assert result[0, 0][position] == expected[0, 0, 0, 0]
        del x, result
