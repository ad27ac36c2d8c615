"""A codec that has worked goes on in forked processes, and can be sent to others: it never waits for ever."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import aecodec

SCRIPT = """
import multiprocessing, sys
import numpy as np
import aecodec

engine = sys.argv[1]
codec = aecodec.Codec(device="cpu", engine=engine, precision="float32", threads=2)
picture = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
data = codec.encode(picture, 30)
pixels = codec.decode(data, output="array")

def work(number):
    assert codec.decode(data, output="array").shape == pixels.shape
    return codec.encode(picture, 30) == codec.encode(picture, 30), np.abs(
        codec.decode(data, output="array").astype(int) - pixels).max()

with multiprocessing.get_context("fork").Pool(2) as pool:
    for same, difference in pool.map(work, range(4)):
        assert same and difference <= 1, (same, difference)
assert codec.encode(picture, 30) == data  # and the parent goes on
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_forked_processes_go_on(engine):
    if engine == "torch":
        pytest.importorskip("torch")
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", SCRIPT, engine], capture_output=True, text=True, timeout=120,
                          env=environment)
    assert done.stdout == "done\n", done.stderr[-2000:]


def test_a_codec_can_be_pickled(codec, photo):
    copy = pickle.loads(pickle.dumps(codec))
    assert copy.encode(photo[:40, :50], 30) == codec.encode(photo[:40, :50], 30)
    assert (copy.model, copy.device, copy.engine, copy.precision) == (codec.model, codec.device, codec.engine,
                                                                     codec.precision)


def _encode(arguments: tuple[aecodec.Codec, np.ndarray]) -> bytes:
    return arguments[0].encode(arguments[1], 30)


def test_a_codec_can_be_sent_to_another_process(photo):
    codec = aecodec.Codec(engine="onnx", device="cpu")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(_encode, [(codec, photo[:40, :50])]) == [codec.encode(photo[:40, :50], 30)]
