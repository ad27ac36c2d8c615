"""Which engine runs a model: ONNX Runtime, which every install has and which starts quickly, or torch."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from ..errors import MissingPackage, UnknownModel
from ..models import ModelFile
from . import ENGINES
from .interface import Engine

FEW = 2  # pictures, for which importing torch takes longer than it saves


def has_torch() -> bool:
    """Whether torch is installed; finding out does not import it."""
    return find_spec("torch") is not None


def need_torch(purpose: str) -> None:
    """Raise MissingPackage, which says how to get torch, if it is not installed."""
    if not has_torch():
        raise MissingPackage(f"{purpose} needs torch; install it with: python3 -m pip install 'aecodec[torch]'")


def has_gpu() -> bool:
    """Whether there may be a GPU that torch can use; asks the driver, for torch takes seconds to import."""
    if "torch" in sys.modules:
        import torch

        return torch.cuda.is_available()
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    if os.path.exists("/dev/kfd"):  # AMD's, which torch calls cuda too
        return True
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        count = ctypes.c_int()
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):
        return False


def has_fast_bfloat16_cpu() -> bool:
    """Whether the processor multiplies bfloat16 in hardware; where only torch could tell, it counts as a no."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return re.search(r"\b(avx512_bf16|amx_bf16)\b", flags) is not None


def choose(engine: str, device: str, precision: str, pictures: int | None) -> Literal["onnx", "torch"]:
    """The engine that `auto` stands for, or the one that was asked for.

    Torch runs on a GPU that is asked for or there, and where a CPU has bfloat16 in hardware: there it is faster, though
    not for so few pictures that the time to import it counts. In float32 both are equally fast, and ONNX Runtime is
    taken.

    Args:
        pictures: how many are to be coded; None if that is not known.

    Raises:
        MissingPackage: it takes torch, which is not installed.
        ValueError: an engine that does not exist, or that cannot do what else is asked for.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine {engine!r} is not known; choose {', '.join(ENGINES[:-1])} or {ENGINES[-1]}")
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ValueError(f"device {device!r} is not known; choose auto, cpu or cuda")
    if precision not in ("auto", "float32", "bfloat16"):
        raise ValueError(f"precision {precision} is not supported; choose auto, float32 or bfloat16")
    elsewhere = device not in ("auto", "cpu")
    if engine == "onnx":
        if elsewhere or precision == "bfloat16":
            raise ValueError("the ONNX engine runs on the CPU in float32; choose engine torch for another device or "
                             "precision")
        return "onnx"
    if engine == "torch" or elsewhere or precision == "bfloat16":
        need_torch("engine torch" if engine == "torch" else f"device {device}" if elsewhere else "precision bfloat16")
        return "torch"
    if not has_torch():
        return "onnx"
    if device == "auto" and has_gpu():
        return "torch"
    few = pictures is not None and pictures <= FEW and "torch" not in sys.modules
    return "torch" if precision == "auto" and not few and has_fast_bfloat16_cpu() else "onnx"


def make(file: ModelFile, engine: str = "auto", device: str = "auto", precision: str = "auto",
         threads: int | None = None, pictures: int | None = None) -> Engine:
    """An engine with a model loaded; see `choose`, and `aecodec.Codec` for the arguments. Raises UnknownModel too."""
    if choose(engine, device, precision, pictures) == "onnx":
        from .onnx_engine import OnnxEngine

        try:
            return OnnxEngine(file, threads)
        except UnknownModel:  # weights that were exported without graphs
            if engine == "onnx" or not has_torch():
                raise
    from .torch_engine import TorchEngine

    return TorchEngine(file, device, precision, threads=threads)


def describe() -> list[str]:
    """A line for each engine that is installed, or how to get it."""
    lines = [f"engine onnx: onnxruntime {importlib.metadata.version('onnxruntime')}, cpu, float32"]
    if not has_torch():
        return [*lines, "engine torch: not installed (python3 -m pip install 'aecodec[torch]')"]
    try:
        import torch

        from .device import choose_device, choose_precision

        device = choose_device("auto")
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
        precision = str(choose_precision("auto", device)).removeprefix("torch.")
        return [*lines, f"engine torch: torch {torch.__version__}, device {device} ({name}), {precision}"]
    except ImportError as error:
        return [*lines, f"engine torch: torch cannot be imported: {error}"]
