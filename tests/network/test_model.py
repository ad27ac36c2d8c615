"""The assembled network, and what it decodes in every setting."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aecodec.format.constants import (
    HYPER_STRIDE,
    LEVELS,
    TABLES,
)
from aecodec.format.container import read_file
from aecodec.metrics import psnr
from aecodec.network.model import ModelConfig, ShippedNetwork, TrainableNetwork
from helpers import centred, matmul_precision, threads

SMALL = ModelConfig(latents=64, analysis_blocks=(1, 0), synthesis_blocks=(0, 1), hyper=16, context=32)


@pytest.mark.parametrize("switch", [
    pytest.param(lambda: threads(1), id="1 thread"),
    pytest.param(lambda: threads(2), id="2 threads"),
    pytest.param(lambda: torch.backends.mkldnn.flags(enabled=False), id="without oneDNN"),
    pytest.param(lambda: matmul_precision("medium"), id="matmul precision medium"),
])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_files_of_any_setting_decode_in_any_other(codec, photo, precision, switch):
    """Decoding checks the CRC of the symbols, so it fails if one of them differs."""
    import aecodec

    picture = photo[:70, :90]
    other = aecodec.Codec(device="cpu", precision=precision)
    assert other.precision == precision
    ours = codec.encode(picture, 60)
    with switch():
        theirs = other.encode(picture, 60)
        there = np.asarray(other.decode(ours)).astype(int)
    here = np.asarray(codec.decode(theirs)).astype(int)
    for decoded in (here, there):
        assert 10 * np.log10(255**2 / np.mean((decoded - picture) ** 2)) > 28


def test_a_file_decodes_to_much_the_same_in_every_precision(codec, photo):
    """The symbols are the same; only roundings of the synthesis differ."""
    import aecodec

    data = codec.encode(photo, 60)
    exact, fast = (np.asarray(aecodec.Codec(device="cpu", precision=p).decode(data)).astype(int)
                   for p in ("float32", "bfloat16"))
    assert np.abs(exact - fast).max() > 0  # they are two computations
    assert np.abs(exact - fast).mean() < 1


def test_channels_last_does_not_change_the_symbols(codec, photo):
    """A network in the plain layout decodes to the same symbols (their CRC is in the file)."""
    from aecodec import coder

    plain = coder.load(codec.model, "cpu", "float32", engine="torch")
    plain.engine.network.to(memory_format=torch.contiguous_format)
    file = read_file(codec.encode(photo, 60))
    assert plain.decode(file).shape == photo.shape


def test_sizes_survive_json():
    import json

    config = ModelConfig.from_dict(json.loads(json.dumps(SMALL.to_dict())))
    assert config == SMALL
    with pytest.raises(ValueError, match="colour"):
        ModelConfig.from_dict({"colour": 3})


def test_training_and_evaluation_of_the_network(photo):
    torch.manual_seed(11)
    network = TrainableNetwork(SMALL)
    picture = centred(photo, 128, 192)
    network.start(picture)
    rates, qualities = [], []
    for level in (0, 30, 63):
        with torch.no_grad():
            output = network.eval()(picture, torch.tensor([level]))
        assert output.picture.shape == picture.shape
        rates.append(float(output.bits_y.sum() + output.bits_z.sum()))
        qualities.append(psnr(255 * output.picture, 255 * picture))
        assert min(float(output.bits_y.min()), float(output.bits_z.min())) >= 0
    assert rates == sorted(rates)
    assert qualities == sorted(qualities)

    network.train()
    output = network(picture.expand(2, -1, -1, -1), torch.tensor([10, 50]))
    rate = (output.bits_y.sum() + output.bits_z.sum()) / picture.numel()
    (rate + 1000 * (output.picture - picture).square().mean()).backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert without == []


def test_a_decoder_that_is_trained_alone_sees_the_symbols_of_the_codec(photo):
    """Otherwise values of narrow tables are dithered before they are rounded."""
    torch.manual_seed(13)
    network = TrainableNetwork(SMALL)
    picture, level = centred(photo, 128, 128), torch.tensor([20])
    network.start(picture)
    with torch.no_grad():
        first, second = (network(picture, level).picture for _ in range(2))
        assert not torch.equal(first, second)
        network.freeze_encoder()
        first, second = (network(picture, level) for _ in range(2))
        assert torch.equal(first.picture, second.picture)
        assert torch.equal(first.picture, network.eval()(picture, level).picture)


def test_the_shipped_form_holds_the_trained_parts(photo):
    torch.manual_seed(12)
    network = TrainableNetwork(SMALL)
    network.start(centred(photo, 64, 64))
    frozen = ShippedNetwork.frozen(network)
    assert not frozen.training
    picture, level = centred(photo, 64, 64), torch.tensor([20])
    with torch.no_grad():
        assert torch.equal(frozen.analysis(picture, level), network.analysis(picture, level))
    index = frozen.z_index
    assert index.shape == (LEVELS, SMALL.hyper)
    assert int(index.min()) >= TABLES  # z has tables of its own, and none of them is "always zero"
    assert int(index.max()) < 2 * TABLES - 1
    assert HYPER_STRIDE == 4
