"""The Triton kernels run on a GPU where there is one, else in Triton's interpreter on the CPU.

Triton chooses its interpreter when a kernel is defined. The variable that asks for it is set here for the import of
the kernels and for the tests of this folder alone. If an earlier test has imported the kernels without it, the tests
that need Triton are skipped here and `test_interpreter.py` runs them in a new process.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

CUDA = torch.cuda.is_available()

with pytest.MonkeyPatch.context() as patch:
    if not CUDA:
        patch.setenv("TRITON_INTERPRET", "1")
    from aecodec.kernels import backend

SHAPES = [(1, 1, 1, 1), (1, 192, 5, 7), (2, 192, 33, 17)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`shape` runs over odd and even sizes; `layout` over the ways tensors may lie in memory."""
    if "shape" in metafunc.fixturenames:
        metafunc.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
    if "layout" in metafunc.fixturenames:
        metafunc.parametrize("layout", ["contiguous", "channels_last", "sliced", "transposed"])


@pytest.fixture(autouse=True)
def interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton imports more of itself, and looks at the variable again, when a kernel first runs."""
    if not CUDA and backend.triton is not None:
        monkeypatch.setenv("TRITON_INTERPRET", "1")


@pytest.fixture
def device() -> str:
    """Where kernels run; skips where they cannot run in this process."""
    if backend.triton is None:
        pytest.skip("the kernels were imported without Triton; see test_interpreter.py")
    return "cuda" if CUDA else "cpu"


@pytest.fixture
def through_triton(device: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The public functions take their Triton kernels, on the CPU too. Gives the device."""
    monkeypatch.setattr(backend, "use_triton", lambda x: True)
    return device


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(20)


@pytest.fixture
def lay() -> Callable[[Tensor, str], Tensor]:
    """`lay(x, layout)`: the values of `x [B, C, H, W]` in another memory layout.

    `sliced` is a part of a larger tensor, filled with 77, whose rows do not follow each other evenly.
    """
    def lay(x: Tensor, layout: str) -> Tensor:
        if layout == "contiguous":
            return x.contiguous()
        if layout == "channels_last":
            return x.contiguous(memory_format=torch.channels_last)
        if layout == "transposed":
            return x.permute(3, 0, 2, 1).contiguous().permute(1, 3, 2, 0)
        batch, channels, height, width = x.shape
        larger = x.new_full((batch, channels + 2, height + 3, width + 5), 77)
        part = larger[:, 1:-1, 2:-1, 1:-4]
        part.copy_(x)
        return part

    return lay


@pytest.fixture
def guard_intact() -> Callable[[Tensor], bool]:
    """Whether what lies around a `sliced` tensor still is 77."""
    def guard_intact(part: Tensor) -> bool:
        larger = part._base
        assert larger is not None
        return int((larger == 77).sum()) - int((part == 77).sum()) == larger.numel() - part.numel()

    return guard_intact
