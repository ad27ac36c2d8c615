"""Strips of rows compute what the whole computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aecodec.network.blocks import (
    Block,
)
from aecodec.network.context import (
    MeanContext,
    step_of,
)
from aecodec.network.hyperprior import (
    HyperAnalysis,
    MeanDecoder,
)
from aecodec.network.strips import split, through
from aecodec.network.transforms import Analysis, Synthesis
from helpers import random_parameters


def in_strips(module, x, rows, height, width, level):
    """What `module.strips` gives for strips of `rows` rows of what it takes, put together."""
    x = x.clone()
    if isinstance(module, MeanContext):
        known = torch.zeros(1, 48, height, width)
        steps = step_of(48, height, width)

        def code(step, n, means):
            own = slice(rows * n, rows * n + rows)
            known[:, :, own] = torch.where(steps[:, own] == step, means.all() + x_signs[:, :, own], known[:, :, own])
            return known[:, :, own]

        x_signs = x.sign()
        for _ in module.at(int(level)).strips(split(x, rows), level, code):
            pass
        return known
    if isinstance(module, Block):
        return torch.cat(list(through([module.at(int(level))], split(x, rows))), dim=2)
    if isinstance(module, (HyperAnalysis, MeanDecoder)):
        return torch.cat(list(module.strips(split(x, rows))), dim=2)
    module = module.at(int(level))
    parts = torch.cat(list(module.strips(split(x, 16 * rows if isinstance(module, Analysis) else rows), level)), dim=2)
    return torch.nn.functional.pixel_shuffle(parts, 8) if isinstance(module, Synthesis) else parts


def whole(module, x, height, width, level):
    if isinstance(module, MeanContext):
        steps, known = step_of(48, height, width), torch.zeros(1, 48, height, width)

        def code(step, _, means):
            nonlocal known
            known = torch.where(steps == step, means.all() + x.sign(), known)
            return known

        return module(x, level, code)[0]
    return module(x, level) if isinstance(module, (Analysis, Synthesis, Block)) else module(x)


@pytest.mark.parametrize("rows", [4, 8, 1000])
@pytest.mark.parametrize("size", [(4, 4), (8, 3), (7, 5), (40, 33)])
@pytest.mark.parametrize("make", [
    pytest.param(lambda: Block(48), id="block"),
    pytest.param(lambda: Block(48, 5, 2), id="conditioned block, 5x5"),
    pytest.param(lambda: MeanContext(48, 48), id="context"),
    pytest.param(lambda: MeanContext(48, 48, 5, 2, True), id="conditioned context, 5x5"),
    pytest.param(lambda: Synthesis(192, 48, (1, 2)), id="synthesis"),
    pytest.param(lambda: Synthesis(192, 48, (1, 2), 5, 2, True), id="conditioned synthesis, 5x5"),
    pytest.param(lambda: Analysis(192, 48, (2, 1)), id="analysis"),
    pytest.param(lambda: Analysis(192, 48, (2, 1), 5, 2, True), id="conditioned analysis, 5x5"),
    pytest.param(lambda: HyperAnalysis(48, 48, 48), id="hyper-analysis"),
    pytest.param(lambda: MeanDecoder(48, 48), id="mean decoder"),
])
def test_strips_compute_what_the_whole_computes(make, size, rows):
    """Coding works strip by strip, training on whole pictures."""
    height, width = size
    module, level = random_parameters(make(), 5), torch.tensor([20])
    x = torch.randn(1, 48, height, width, generator=torch.Generator().manual_seed(9))
    if isinstance(module, Analysis):
        x = torch.nn.functional.interpolate(x[:, :3], scale_factor=16)
    if isinstance(module, HyperAnalysis):
        x = torch.nn.functional.pad(x, (0, -width % 4, 0, -height % 4))
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        wanted = whole(module, x, height, width, level)
    with torch.inference_mode():
        given = in_strips(module, x, rows, height, width, level)
    assert float(wanted.std()) > 0
    torch.testing.assert_close(given, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_file_does_not_depend_on_the_strips(codec, precision):
    from aecodec import models
    from aecodec.coder import Coder
    from aecodec.engine.torch_engine import TorchEngine

    pixels = np.random.default_rng(3).integers(0, 256, (9, 13, 3), np.uint8).repeat(30, 0).repeat(9, 1)
    file = models.load(codec.model)
    results = []
    for rows in (4, 8, 1000):
        coder = Coder(file, TorchEngine(file, "cpu", precision, strip_rows=rows))
        coded = coder.encode(pixels, 45)
        results.append((coded, coder.decode(coded)))
    for coded, decoded in results[1:]:
        assert coded.header.symbol_crc == results[0][0].header.symbol_crc
        assert np.abs(decoded.astype(int) - results[0][1]).max() <= 1
    with pytest.raises(ValueError, match="multiple of 4"):
        TorchEngine(file, "cpu", strip_rows=6)
