"""What importing the estimators brings with it, and what is said without scikit-learn."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_they_know_nothing_of_the_codec():
    pytest.importorskip("sklearn")
    done = run("import sys, aecodec.autoencoders; print(*sys.modules)")
    loaded = done.stdout.split()
    assert "aecodec.training.steps" in loaded, done.stderr
    unwanted = [name for name in loaded if name.split(".")[0] in ("accelerate", "compressai", "PIL")
                or name.startswith(("aecodec.network", "aecodec.engine", "aecodec.kernels", "aecodec.coder"))]
    assert not unwanted


def test_without_scikit_learn_the_extra_is_named():
    done = run("import importlib.util as u; f = u.find_spec\n"
               "u.find_spec = lambda name, *a: None if name == 'sklearn' else f(name, *a)\n"
               "import aecodec.autoencoders")
    assert "pip install aecodec[ml]" in done.stderr
