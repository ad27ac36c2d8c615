"""The kernels compile for a GPU, which the interpreter cannot show, and torch exports the operators. Needs no GPU."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest
import torch

from aecodec import kernels

PROGRAM = r"""
import json, re, sys
import torch
torch.cuda.is_available = lambda: True  # so that the kernels are defined
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from aecodec.kernels import dequantiser, gate, integer_scales, lattice, pixels, quantiser

TILE = dict(POSITIONS=gate.POSITIONS, CHANNELS=gate.CHANNELS)
CODED = dict(POSITIONS=lattice.POSITIONS, CHANNELS=lattice.CHANNELS)
KERNELS = [  # kernel, types of its pointers, constants
    (quantiser._quantise_kernel, "fp32 fp32 fp32 fp32 u8 fp32 i16 fp32",
     dict(DEAD_ZONE=False, LIMIT=32767.0, ROUND=1.5 * 2**23, **CODED)),
    (dequantiser._dequantise_kernel, "i16 fp32 fp32 fp32", CODED),
    (integer_scales._requantise_kernel, "fp32 i32 u8 fp32", dict(MAX=255, **TILE)),
    (gate._gate_kernel, "bf16 bf16 bf16", dict(BIAS=True, **TILE)),
    (pixels._pixels_kernel, "bf16 bf16 u8", dict(SHUFFLE=8, BIAS=True, ROUND=1.5 * 2**23, ROWS=8, COLUMNS=256)),
]
# Triton turns integer arguments that are 1 into constants and notes which are multiples of 16.
CASES = {"channels_last": (), "single channel": ("channels", "size")}
found = {}
for kernel, pointers, constants in KERNELS:
    for case, more in CASES.items():
        if more and kernel not in (quantiser._quantise_kernel, gate._gate_kernel):
            continue
        signature, known, sixteens = {}, dict(constants), []
        types = iter(pointers.split())
        for place, name in enumerate(kernel.arg_names):
            if name in constants:
                signature[name] = "constexpr"
            elif name.endswith("_channel") or name in more:
                signature[name], known[name] = "constexpr", 1
            else:
                pointer = next(types, None)
                signature[name] = f"*{pointer}" if pointer else "fp32" if name == "limit" else "i32"
                if name != "limit" and not kernel.params[place].do_not_specialize:
                    sixteens.append((place,))
        source = ASTSource(kernel, signature, known, {place: [["tt.divisibility", 16]] for place in sixteens})
        built = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": False})
        memory = re.findall(r"(?:ld|st)\.global\S*", built.asm["ptx"])
        found[f"{kernel.__name__} {case}"] = {
            "cubin": len(built.asm["cubin"]), "fma": built.asm["ptx"].count("fma.rn.f32"),
            "narrow": [access for access in memory if ".v2" not in access and ".v4" not in access]}
json.dump(found, sys.stdout)
"""
LATENT_KERNELS = ("_quantise_kernel", "_dequantise_kernel")


def test_kernels_compile_for_hopper(tmp_path):
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                   "TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    program = tmp_path / "program.py"  # Triton reads the source of what it compiles
    program.write_text(PROGRAM)
    run = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout)
    assert len(found) == 7
    assert all(kernel["cubin"] > 1000 for kernel in found.values())
    for name in LATENT_KERNELS:
        kernel = found[f"{name} channels_last"]
        assert kernel["fma"] == 0, "the documented operations round one by one"
        assert kernel["narrow"] == [], "channels_last tensors are read and written 8 or 16 bytes at a time"


def test_operators_survive_export():
    """`torch.export` keeps each of them as one node, and the exported program gives the same."""
    class Steps(torch.nn.Module):
        def forward(self, latents, gain, index, known, symbols, shift):
            kernels.quantise_(latents, known, gain, gain, index, (0, 1, 2, 3), known, symbols)
            kernels.dequantise_(symbols, latents, gain, (1, 0, 2, 3), known)
            active = kernels.requantise(latents.round(), shift.int(), shift, 255)
            gated = kernels.gated_activation(latents)
            return known, symbols, active, gated, kernels.to_pixels(latents[:, :3])

    def inputs() -> tuple[torch.Tensor, ...]:
        latents = torch.linspace(-9, 9, 8 * 6).view(1, 8, 2, 3)
        return (latents, torch.full((8,), 0.5), torch.ones(1, 8, 2, 3, dtype=torch.uint8), torch.zeros(1, 8, 2, 3),
                torch.zeros(1, 8, 2, 3, dtype=torch.int16), torch.zeros(8, dtype=torch.uint8))

    program = torch.export.export(Steps(), inputs())
    nodes = {str(node.target) for node in program.graph.nodes if "aecodec" in str(node.target)}
    names = "quantise_", "dequantise_", "requantise", "gated_activation", "to_pixels"
    assert nodes == {f"aecodec.{name}.default" for name in names}
    for ours, theirs in zip(program.module()(*inputs()), Steps()(*inputs()), strict=True):
        assert torch.equal(ours, theirs)
