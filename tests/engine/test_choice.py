"""Which engine `auto` stands for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import aecodec
from aecodec.engine import choice


@pytest.fixture
def machine(monkeypatch):
    """A machine that has what is named, and no torch imported yet."""
    def make(torch: bool = True, gpu: bool = False, bfloat16: bool = False) -> None:
        monkeypatch.setattr(choice, "has_torch", lambda: torch)
        monkeypatch.setattr(choice, "has_gpu", lambda: gpu)
        monkeypatch.setattr(choice, "has_fast_bfloat16_cpu", lambda: bfloat16)
        monkeypatch.delitem(sys.modules, "torch", raising=False)
    return make


@pytest.mark.parametrize(("there", "device", "precision", "pictures", "chosen"), [
    ({}, "auto", "auto", None, "onnx"),
    ({}, "auto", "auto", 1, "onnx"),
    ({"gpu": True}, "auto", "auto", 1, "torch"),
    ({"gpu": True}, "cpu", "auto", None, "onnx"),
    ({"gpu": True, "torch": False}, "auto", "auto", None, "onnx"),
    ({"bfloat16": True}, "cpu", "auto", 1, "onnx"),
    ({"bfloat16": True}, "cpu", "auto", 100, "torch"),
    ({"bfloat16": True}, "cpu", "auto", None, "torch"),
    ({"bfloat16": True}, "cpu", "float32", 100, "onnx"),
    ({"bfloat16": True, "torch": False}, "auto", "auto", 100, "onnx"),
    ({}, "cuda", "auto", 1, "torch"),
    ({}, "cuda:1", "float32", 1, "torch"),
    ({}, "cpu", "bfloat16", 1, "torch"),
])
def test_auto_takes_what_is_fastest(machine, there, device, precision, pictures, chosen):
    machine(**there)
    assert choice.choose("auto", device, precision, pictures) == chosen


@pytest.mark.parametrize(("engine", "device", "precision", "told"), [
    ("tensorflow", "auto", "auto", "auto, onnx or torch"),
    ("auto", "tpu", "auto", "auto, cpu or cuda"),
    ("auto", "cuda:x", "auto", "auto, cpu or cuda"),
    ("auto", "auto", "float16", "auto, float32 or bfloat16"),
    ("onnx", "cuda", "auto", "engine torch"),
    ("onnx", "cpu", "bfloat16", "engine torch"),
])
def test_what_cannot_be_is_refused(engine, device, precision, told):
    with pytest.raises(ValueError, match=told):
        aecodec.Codec(engine=engine, device=device, precision=precision)


@pytest.mark.parametrize(("engine", "device", "precision"), [
    ("torch", "auto", "auto"), ("auto", "cuda", "auto"), ("auto", "cpu", "bfloat16"),
])
def test_what_needs_torch_says_so(machine, engine, device, precision):
    machine(torch=False)
    with pytest.raises(aecodec.MissingPackage, match=r"install 'aecodec\[torch\]'"):
        choice.choose(engine, device, precision, None)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_the_engine_that_is_asked_for_is_used(engine):
    if engine == "torch":
        pytest.importorskip("torch")
    codec = aecodec.Codec(engine=engine, device="cpu", precision="float32", threads=1)
    assert (codec.engine, codec.device, codec.precision) == (engine, "cpu", "float32")


@pytest.mark.parametrize(("given", "expected"), [({}, "1000 1"), ({"OMP_WAIT_POLICY": "active"}, "None None"),
                                                 ({"GOMP_SPINCOUNT": "7"}, "7 None")])
def test_waiting_threads_sleep_soon_unless_the_environment_says_otherwise(monkeypatch, given, expected):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    code = ("import os, sys, aecodec.engine; assert 'torch' not in sys.modules; "
            "print(os.environ.get('GOMP_SPINCOUNT'), os.environ.get('KMP_BLOCKTIME'))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected
