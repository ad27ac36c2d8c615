"""The torch engine: the path that a GPU takes gives what the CPU's own path gives."""

from __future__ import annotations

import numpy as np
import pytest

from aecodec import models
from aecodec.coder import Coder
from aecodec.engine.torch_engine import TorchEngine
from aecodec.format.container import write_file


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", [(1, 1), (33, 50), (200, 300)])
def test_fused_steps_give_the_same_file(codec, photo, precision, size):
    """A kernel a step, by its torch reference on a CPU, against phase by phase."""
    file = models.load(codec.model)
    plain, fused = (TorchEngine(file, "cpu", precision) for _ in range(2))
    assert not plain.fused
    fused.fused = True
    for level in (3, 40, 63):
        pixels = photo[:size[0], :size[1]]
        expected = Coder(file, plain).encode(pixels, level)
        assert write_file(Coder(file, fused).encode(pixels, level)) == write_file(expected)
        decoded = [Coder(file, engine).decode(expected).astype(int) for engine in (plain, fused)]
        # The means are the same numbers by another convolution: a latent may differ in its last bit.
        assert np.abs(decoded[0] - decoded[1]).max() <= 1


def test_latents_survive_the_way_through_an_array(codec, photo):
    engine = codec.coder.engine
    array = engine.to_array(engine.analyse(photo, 20))
    again = engine.from_array(array)
    assert np.array_equal(engine.to_array(again), array)
    again[0].zero_()
    assert np.array_equal(engine.to_array(engine.from_array(array)), array)  # nobody writes into the caller's array
