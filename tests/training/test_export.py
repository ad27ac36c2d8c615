"""What an export writes: weights that code, a card, and what cannot be exported."""


from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from training_helpers import SEED, SIZES, STEPS, options

pytest.importorskip("accelerate")

import aecodec
from aecodec import models
from aecodec.format.constants import TABLES
from aecodec.format.reference_network import table_indices
from aecodec.network.model import ModelConfig, ShippedNetwork, TrainableNetwork
from aecodec.training import card, checkpoint, export, loop
from helpers import scale_tensors

CONFIG = ModelConfig.from_dict(SIZES)


def test_what_was_trained_codes_pictures(exported, photo):
    codec = aecodec.Codec(device="cpu", model=exported)
    assert (codec.model.name, codec.model.id) == ("tiny", 0xF0FF)
    picture = photo[:70, :100]
    sizes, qualities = [], []
    for quality in (0, 50, 100):
        data = codec.encode(picture, quality)
        assert aecodec.read_header(data).model_id == 0xF0FF
        error = np.asarray(codec.decode(data)).astype(float) - picture
        sizes.append(len(data))
        qualities.append(10 * np.log10(255**2 / np.mean(error**2)))
    assert sizes == sorted(sizes)
    assert qualities == sorted(qualities)
    assert qualities[0] > 18
    assert qualities[-1] > 30



def test_files_of_one_model_are_refused_by_another(exported, codec, photo):
    data = aecodec.Codec(device="cpu", model=exported).encode(photo[:70, :100])
    with pytest.raises(aecodec.UnknownModel):
        codec.decode(data)



def test_the_card_says_how_a_model_was_made(exported, run):
    text = (exported / "README.md").read_text()
    for told in ("`tiny`", f"Steps: {STEPS}", "plateau", "distortion: 1 mse", "6 used, 2 skipped",
                 json.dumps(CONFIG.to_dict()), "A test.",
                 f"seed: {SEED}"):
        assert told in text
    table = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")][2:]
    assert [int(row[0]) for row in table] == list(card.CARD_LEVELS)
    assert [float(row[2]) for row in table] == sorted(float(row[2]) for row in table)



def test_weights_are_small_and_say_what_they_are(exported):
    info = models.read_info(exported / models.WEIGHTS_FILE)
    assert (info.name, info.id) == ("tiny", 0xF0FF)
    assert ModelConfig.from_dict(info.config) == CONFIG
    file = models.load(info)
    assert all(np.isfinite(tensor).all() for tensor in file.tensors.values())
    assert file.tensors[models.TABLE_HALVES].shape == (2 * TABLES - 1,)
    half, counts = file.tensors[models.TABLE_HALVES].astype(int), file.tensors[models.TABLE_COUNTS].astype(int)
    ends = np.cumsum(2 * half[1:] + 2)
    assert [part.sum() for part in np.split(counts, ends[:-1])] == [2**16] * (2 * TABLES - 2)



def test_broken_pictures_do_not_end_an_export(run, pictures, tmp_path):
    """The folder that was trained on, broken files and all, is what the tables are fitted to."""
    export.export(run, tmp_path, "tiny", pictures, 0xF0FE, evaluation=pictures)
    assert aecodec.Codec(device="cpu", model=tmp_path).model.name == "tiny"



def test_a_diverged_training_is_not_exported(run, whole_pictures, tmp_path):
    state = checkpoint.read(run / checkpoint.CHECKPOINT)
    state["average"][3].fill_(float("inf"))
    torch.save(state, tmp_path / "bad.pt")
    with pytest.raises(ValueError, match="diverged"):
        export.export(tmp_path / "bad.pt", tmp_path / "out", "tiny", whole_pictures, 0xF0FE)
    assert not (tmp_path / "out" / models.WEIGHTS_FILE).exists()



def test_exported_weights_can_be_trained_further(exported):
    """Their integers come back as the fractions they stand for, and freeze to the same integers."""
    path = exported / models.WEIGHTS_FILE
    network = TrainableNetwork(CONFIG)
    export.load_trainable(network, path)
    frozen = ShippedNetwork.frozen(network.eval())
    shipped = models.load(models.read_info(path)).tensors
    for name, tensor in frozen.state_dict().items():
        given, wanted = tensor.numpy(), shipped[name]
        if name.startswith("rounding."):  # fitted to photos, at export
            continue
        if name.startswith("scale_decoder.") or name == "z_index":
            assert given.dtype == wanted.dtype
            np.testing.assert_array_equal(given, wanted, err_msg=name)
        else:
            np.testing.assert_array_equal(given, wanted.astype(np.float32), err_msg=name)
    z = torch.randint(-9, 10, (1, CONFIG.hyper, 3, 4), generator=torch.Generator().manual_seed(0)).float()
    with torch.no_grad():
        index = network.scale_decoder(z, torch.tensor([40]), network.gain)
    expected = table_indices(scale_tensors(frozen.scale_decoder), z[0].numpy().astype(np.int16), 40)
    np.testing.assert_array_equal(index[0].numpy(), expected)



def test_weights_of_other_sizes_are_not_loaded(exported):
    network = TrainableNetwork(ModelConfig(latents=32, hyper=16, context=32))
    with pytest.raises(aecodec.UnknownModel, match="other sizes"):
        export.load_trainable(network, exported / models.WEIGHTS_FILE)



def test_a_training_starts_from_exported_weights(exported, pictures, tmp_path):
    path = exported / models.WEIGHTS_FILE
    trainer = loop.Trainer(options(pictures, tmp_path, start_from=path))
    network = TrainableNetwork(CONFIG)
    export.load_trainable(network, path)
    for name, tensor in network.state_dict().items():
        assert torch.equal(trainer.network.state_dict()[name], tensor)
    assert trainer.history == [f"the weights {models.load(models.read_info(path)).bundle_hash.hex()}"]


@pytest.mark.parametrize(("name", "model_id", "word"), [
    ("../small", 0xF0FF, "name a model"), ("", 0xF0FF, "name a model"), ("a b", 0xF0FF, "name a model"),
    ("mine", models.find().id, "choose another --id"),
])
def test_names_and_ids_that_cannot_be_are_refused(run, whole_pictures, tmp_path, name, model_id, word):
    with pytest.raises(ValueError, match=word):
        export.export(run, tmp_path / "out", name, whole_pictures, model_id)
    assert not (tmp_path / "out").exists()


def test_a_shipped_model_may_be_made_again():
    export.check_identity(models.find().name, models.find().id)


@pytest.mark.skipif(os.name == "nt", reason="files have no such modes there")
def test_what_is_exported_has_ordinary_modes(exported):
    mask = os.umask(0)
    os.umask(mask)
    for name in (models.WEIGHTS_FILE, "README.md"):
        assert (exported / name).stat().st_mode & 0o777 == 0o666 & ~mask
