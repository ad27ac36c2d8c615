"""Makes sure that the Triton kernels are tested even if other tests imported them first."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aecodec.kernels import backend


@pytest.mark.slow
def test_kernel_tests_pass_in_a_process_of_their_own():
    if backend.triton is not None:
        pytest.skip("this process runs them itself")
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    folder = Path(__file__).parent
    files = [str(folder / f"test_{name}.py") for name in ("quantise", "integer_scales", "gate", "pixels", "bench")]
    run = subprocess.run([sys.executable, "-m", "pytest", "-rs", *files], capture_output=True, text=True,
                         env=environment(), cwd=folder.parents[1])
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    assert "without Triton" not in run.stdout


def environment() -> dict[str, str]:
    """That of a process which imports what this one imports."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def test_everything_works_without_triton():
    """As on macOS and Windows: the import succeeds and the torch references serve."""
    program = """
import os, sys
os.environ["TRITON_INTERPRET"] = "1"
sys.modules["triton"] = None
import torch
from aecodec import kernels
from aecodec.kernels import backend
assert backend.triton is None
picture = torch.tensor([-0.5, 0.0, 0.5]).view(1, 3, 1, 1)
assert kernels.to_pixels(picture).tolist() == [[[[0, 128, 255]]]]
latents = torch.full((1, 4, 2, 2), 1.3)
known, symbols = torch.zeros_like(latents), torch.zeros(1, 4, 2, 2, dtype=torch.int16)
kernels.quantise_(latents, torch.zeros_like(latents), torch.ones(4), torch.ones(4),
                  torch.ones(1, 4, 2, 2, dtype=torch.uint8), (0, 1, 2, 3), known, symbols)
assert int(symbols.sum()) == 4 and float(known.sum()) == 4.0
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment())
    assert run.returncode == 0, run.stderr[-2000:]
