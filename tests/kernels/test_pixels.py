"""`to_pixels`: bias, pixel-shuffle and 8-bit conversion give the bytes of the documented operations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from aecodec.kernels import pixels, to_pixels

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16],
                                 ids=lambda dtype: str(dtype).removeprefix("torch."))


def expected_pixels(x: Tensor, bias: Tensor | None, shuffle: int) -> Tensor:
    """By NumPy in float32, after torch's own pixel shuffle."""
    centred = x.float() if bias is None else x.float() + bias.float()[:, None, None]
    value = F.pixel_shuffle(centred, shuffle).permute(0, 2, 3, 1).cpu().numpy()
    value = np.clip((value + np.float32(0.5)) * np.float32(255), 0, 255)
    return torch.from_numpy(np.rint(value).astype(np.uint8))


@DTYPES
@pytest.mark.parametrize("path", ["triton", "reference"])
@pytest.mark.parametrize(("shape_", "shuffle"), [((1, 3, 1, 1), 1), ((2, 3, 33, 91), 1), ((1, 12, 5, 7), 2),
                                                 ((2, 192, 3, 13), 8), ((1, 27, 3, 2), 3)])
def test_bytes(shape_, shuffle, path, dtype, random, request):
    device = request.getfixturevalue("through_triton") if path == "triton" else "cpu"
    x = (torch.randn(shape_, generator=random) * 0.4).to(dtype).to(device)
    bias = (torch.randn(shape_[1], generator=random) * 0.1).to(device)
    for given in (None, bias, bias.to(dtype)):
        result = to_pixels(x, given, shuffle)
        assert result.is_contiguous()
        assert torch.equal(result.cpu(), expected_pixels(x, given, shuffle))


@pytest.mark.parametrize("path", ["triton", "reference"])
def test_rounding_and_range(path, request):
    """Every k / 255 gives k back, what is out of range saturates, and exact halves go to the even side."""
    device = request.getfixturevalue("through_triton") if path == "triton" else "cpu"
    every = np.arange(256) / 255 - 0.5
    outside = np.array([-1e30, -0.51, 0.51, 7.0, np.inf, -np.inf])
    k = np.arange(255)
    half = ((k + 0.5) / 255 - 0.5).astype(np.float32)
    exact = (half + np.float32(0.5)) * np.float32(255) == k + 0.5
    assert (exact & (k % 2 == 0)).sum() > 30
    values = np.concatenate([every, outside, half[exact]]).astype(np.float32)
    x = torch.from_numpy(values).expand(1, 3, 1, -1).to(device)
    expected = [*range(256), 0, 0, 255, 255, 255, 0, *(k + k % 2)[exact].tolist()]
    assert to_pixels(x)[0, 0, :, 2].tolist() == expected


def test_kernel_in_every_layout(layout, device, random, lay):
    x = (torch.randn((2, 12, 5, 6), generator=random) * 0.4).to(device)
    assert torch.equal(pixels.to_pixels_triton(lay(x, layout), None, 2).cpu(), expected_pixels(x, None, 2))


def test_kernel_with_a_strided_bias(device, random):
    x = (torch.randn((1, 3, 2, 2), generator=random) * 0.4).to(device)
    bias = torch.randn(6, generator=random).to(device)[::2]
    assert torch.equal(pixels.to_pixels_triton(x, bias).cpu(), expected_pixels(x, bias, 1))


@pytest.mark.parametrize("path", ["triton", "reference"])
def test_operator_is_registered_correctly(path, random, lay, request):
    device = request.getfixturevalue("through_triton") if path == "triton" else "cpu"
    x = (torch.randn((2, 12, 3, 4), generator=random) * 0.4).to(device)
    torch.library.opcheck(pixels._to_pixels, (lay(x, "channels_last"), x[0, :, 0, 0], 2))
    torch.library.opcheck(pixels._to_pixels, (lay(x[:, :3], "sliced"), None, 1))


@pytest.mark.parametrize("shape_", [(0, 3, 4, 4), (1, 3, 0, 4), (1, 3, 4, 0)])
def test_empty(shape_, through_triton):
    assert to_pixels(torch.zeros(shape_, device=through_triton)).shape == (shape_[0], shape_[2], shape_[3], 3)


def test_wrong_arguments_are_named():
    x = torch.zeros(1, 12, 2, 2)
    with pytest.raises(TypeError, match=r"^x must be .*, not uint8"):
        to_pixels(x.to(torch.uint8), shuffle=2)
    with pytest.raises(ValueError, match=r"^x must have the shape \[any, 3, any, any\]"):
        to_pixels(x)
    with pytest.raises(ValueError, match=r"^shuffle must be a positive integer, not 0"):
        to_pixels(x, shuffle=0)
    with pytest.raises(TypeError, match=r"^bias must be .*, not float64"):
        to_pixels(x, torch.zeros(12).double(), 2)
    with pytest.raises(ValueError, match=r"^bias must have the shape \[12\], not \[3\]"):
        to_pixels(x, torch.zeros(3), 2)
