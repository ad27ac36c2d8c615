"""Training on a few generated pictures: what it skips, that a kill costs nothing, and that what it exports codes."""

# ruff: noqa: E402 (what is imported below needs what is asked for here)
from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

for package in ("accelerate", "tensorboard"):
    pytest.importorskip(package)

import aecodec
from aecodec import models
from aecodec.command.main import main
from aecodec.format.constants import LEVELS, TABLES
from aecodec.format.reference import table_indices
from aecodec.network.hyperprior import (
    SIGMA_MAX,
    SIGMA_MIN,
)
from aecodec.network.model import CodecNetwork, ModelConfig, Network, TrainingOutput
from aecodec.network.quality import (
    level_lambda,
)
from aecodec.training import data as training_data
from aecodec.training import export, loop, objective, optimiser
from aecodec.training.drawings import LEAST_SIDE, drawing
from helpers import scale_tensors

SIZES = {"latents": 64, "analysis_blocks": [1, 0], "synthesis_blocks": [0, 1], "hyper": 16, "context": 32}
CONFIG = ModelConfig.from_dict(SIZES)
STEPS = 100
SEED = 5


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, photo) -> Path:
    """Six pictures, one that is broken, one that is too small, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "more").mkdir()
    for number in range(6):
        y, x = 17 * number, 31 * number
        part = photo[y:y + 100, x:x + 130][::(-1) ** number]
        Image.fromarray(part).save(folder / ("more" if number % 2 else "") / f"{number}.png")
    (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:900])
    Image.fromarray(photo[:20, :90]).save(folder / "small.jpg")
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def whole_pictures(tmp_path_factory, photo) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    for number in range(3):
        Image.fromarray(photo[40 * number:40 * number + 90, :150]).save(folder / f"{number}.png")
    return folder


def options(pictures: Path, out: Path, **changes) -> loop.TrainingOptions:
    values = {"steps": STEPS, "batch": 2, "crop": 64, "precision": "no", "checkpoint_every": 50, "seed": SEED,
              "config": CONFIG}
    return loop.TrainingOptions(data=pictures, out=out, **{**values, **changes})


def rows(folder: Path, name: str = "run.csv") -> list[dict[str, float]]:
    with open(folder / name, newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def checkpoint(folder: Path) -> dict:
    return torch.load(folder / loop.CHECKPOINT, map_location="cpu", weights_only=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory, pictures, whole_pictures) -> Path:
    """A whole run, not broken off."""
    out = tmp_path_factory.mktemp("run")
    loop.train(options(pictures, out, validation=whole_pictures, validate_every=STEPS))
    return out


@pytest.fixture(scope="module")
def exported(tmp_path_factory, run, whole_pictures) -> Path:
    out = tmp_path_factory.mktemp("model")
    export.export(run / loop.CHECKPOINT, out, "tiny", whole_pictures, 0xF0FF, whole_pictures, "A test.")
    return out


# -- pictures -----------------------------------------------------------------------------------------------------


def test_pictures_that_cannot_be_used_are_skipped_and_counted(pictures, run, capsys):
    bank = training_data.PictureBank.load(pictures, 64, torch.device("cpu"), 0)
    assert len(bank) == 6
    assert sorted(path.name for path in bank.skipped) == ["broken.png", "small.jpg"]
    assert sorted(checkpoint(run)["skipped"]) == ["broken.png", "small.jpg"]
    assert checkpoint(run)["photos"] == 6


def test_a_run_says_how_many_files_it_skipped(pictures, tmp_path, capsys):
    loop.train(options(pictures, tmp_path, steps=1))
    assert "2 files skipped" in capsys.readouterr().out


def test_crops_are_a_function_of_the_seed(pictures):
    bank = training_data.PictureBank.load(pictures, 64, torch.device("cpu"), 0)
    batch = bank.batch([1, 2, 3], 4, 64)
    assert batch.shape == (4, 3, 64, 64)
    assert batch.dtype == torch.float32
    assert float(batch.min()) >= -0.5
    assert float(batch.max()) <= 0.5
    assert torch.equal(batch, bank.batch([1, 2, 3], 4, 64))
    assert not torch.equal(batch, bank.batch([1, 2, 4], 4, 64))
    levels = (batch + 0.5) * 255
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)


def test_crops_are_parts_of_the_pictures(tmp_path):
    """A picture that says where each pixel is, turned and mirrored as a crop may be."""
    y, x = np.mgrid[:80, :90]
    Image.fromarray(np.stack([y, x, 0 * x + 7], axis=2).astype(np.uint8)).save(tmp_path / "ramp.png")
    bank = training_data.PictureBank.load(tmp_path, 64, torch.device("cpu"), 0)
    turned = set()
    for number in range(40):
        crop = ((bank.batch([number], 1, 64)[0] + 0.5) * 255).round()
        assert (crop[2] == 7).all()
        down, right = crop[:2, 1, 0] - crop[:2, 0, 0], crop[:2, 0, 1] - crop[:2, 0, 0]
        assert sorted([*down.abs().tolist(), *right.abs().tolist()]) == [0, 0, 1, 1]
        turned.add((*down.tolist(), *right.tolist()))
    assert len(turned) == 8


def test_drawings_join_the_photos(pictures):
    bank = training_data.PictureBank.load(pictures, 64, torch.device("cpu"), 0, drawings=0.25)
    assert (bank.photos, len(bank)) == (6, 8)
    offset, height, width = bank.versions[7][0]
    made = drawing(np.random.default_rng([0, 1, 1]))
    assert made.dtype == np.uint8
    assert np.array_equal(bank.pixels[offset:offset + made.size].view(height, width, 3).numpy(), made)
    assert not np.array_equal(made, drawing(np.random.default_rng([0, 0, 1])))
    # Crops larger than any drawing are cut from photos alone.
    with pytest.raises(FileNotFoundError):
        training_data.PictureBank.load(pictures, 4096, torch.device("cpu"), 0, drawings=0.25)


def test_drawings_are_flat_and_sharp():
    """Unlike photos: most neighbouring pixels are equal or nearly so, and some differ by a lot."""
    for number in range(12):
        made = drawing(np.random.default_rng(number)).astype(int)
        assert min(made.shape[:2]) >= LEAST_SIDE
        steps = np.abs(np.diff(made, axis=1)).max(axis=2)
        assert (steps <= 2).mean() > 0.6
        assert steps.max() > 40


def test_a_folder_without_pictures(tmp_path):
    with pytest.raises(FileNotFoundError, match="no pictures"):
        training_data.PictureBank.load(tmp_path, 64, torch.device("cpu"), 0)
    (tmp_path / "x.png").write_bytes(b"broken")
    with pytest.raises(FileNotFoundError, match="none of the 1 files"):
        training_data.PictureBank.load(tmp_path, 64, torch.device("cpu"), 0)


# -- the run ------------------------------------------------------------------------------------------------------


def test_what_a_run_writes(run):
    assert [row["step"] for row in rows(run)] == [50, 100]
    assert rows(run)[-1]["pixels"] == STEPS * 2 * 64 * 64
    for row in rows(run):
        assert np.isfinite(list(row.values())).all()
        assert row["bpp"] > row["bpp_z"] > 0
    (measured,) = rows(run, "validation.csv")
    assert measured["step"] == STEPS
    points = [(measured[f"bpp_{level}"], measured[f"psnr_{level}"]) for level in loop.VALIDATION_LEVELS]
    assert points == sorted(points)
    assert sorted(psnr for _, psnr in points) == [psnr for _, psnr in points]
    assert list((run / "tensorboard").glob("events*"))
    state = checkpoint(run)
    assert state["step"] == STEPS
    assert state["config"] == CONFIG.to_dict()


def assert_same_run(given: Path, wanted: Path) -> None:
    """The same steps with the same numbers, up to float noise, and the same weights."""
    timeless = [[{k: v for k, v in row.items() if k != "minutes"} for row in rows(path)] for path in (given, wanted)]
    assert [row["step"] for row in timeless[0]] == [row["step"] for row in timeless[1]]
    for mine, theirs in zip(*timeless, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-3)
    mine, theirs = checkpoint(given), checkpoint(wanted)
    assert (mine["step"], mine["pixels"]) == (theirs["step"], theirs["pixels"])
    for name, tensor in theirs["network"].items():
        torch.testing.assert_close(mine["network"][name], tensor, rtol=1e-2, atol=1e-3, msg=name)
    for a, b in zip(mine["average"], theirs["average"], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-3)


def test_a_killed_run_goes_on_where_it_was(pictures, run, tmp_path):
    """SIGKILL at a random moment, then the same command again: as if nothing had happened."""
    arguments = ["train", "--data", pictures, "--out", tmp_path, "--steps", STEPS, "--batch", 2, "--crop", 64,
                 "--precision", "no", "--checkpoint-every", 50, "--seed", SEED, "--config", json.dumps(SIZES)]
    arguments = [str(argument) for argument in arguments]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen([sys.executable, "-m", "aecodec", *arguments], env={**os.environ, **threads},
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not (tmp_path / loop.CHECKPOINT).exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(random.uniform(0, 0.6) * 60 * rows(tmp_path)[0]["minutes"])  # of the 50 steps that are left
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert checkpoint(tmp_path)["step"] == 50

    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert not ended.value.code
    assert_same_run(tmp_path, run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_saves_first(pictures, tmp_path, monkeypatch, capsys, number):
    before = signal.getsignal(number)
    step = loop.Trainer.train_step

    def interrupted(self, *arguments):
        if self.step == 7:
            signal.raise_signal(number)
        return step(self, *arguments)

    monkeypatch.setattr(loop.Trainer, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loop.train(options(pictures, tmp_path))
    assert signal.getsignal(number) == before
    assert checkpoint(tmp_path)["step"] == 7
    assert "stopped at step 7" in capsys.readouterr().out
    trainer = loop.Trainer(options(pictures, tmp_path))
    assert trainer.step == 7
    for name, tensor in checkpoint(tmp_path)["network"].items():
        assert torch.equal(trainer.network.state_dict()[name], tensor)


def test_a_finished_run_has_nothing_left_to_do(pictures, run):
    before, saved = rows(run), checkpoint(run)["network"]
    loop.train(options(pictures, run))
    assert rows(run) == before
    assert all(torch.equal(tensor, saved[name]) for name, tensor in checkpoint(run)["network"].items())


def test_a_run_of_other_sizes_is_not_resumed(pictures, run):
    with pytest.raises(ValueError, match="other sizes"):
        loop.Trainer(options(pictures, run, config=ModelConfig(latents=32)))


def test_a_resumed_run_takes_the_learning_rates_of_its_command(pictures, run):
    usual = [group["base_lr"] for o in loop.Trainer(options(pictures, run)).optimisers for group in o.param_groups]
    other = loop.Trainer(options(pictures, run, rate=0.25))
    assert [group["base_lr"] for o in other.optimisers for group in o.param_groups] == [0.25 * rate for rate in usual]


def test_an_unusable_gradient_changes_nothing(pictures, tmp_path, monkeypatch):
    trainer = loop.Trainer(options(pictures, tmp_path))
    before = [p.detach().clone() for p in trainer.network.parameters()]
    crops, level = trainer.batch(0)
    monkeypatch.setattr(loop, "MAX_NORM", 0.0)
    assert trainer.train_step(crops, level) is None
    assert trainer.train_step(crops * float("nan"), level) is None
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.network.parameters(), strict=True))
    monkeypatch.undo()
    assert trainer.train_step(crops, level) is not None
    assert not all(torch.equal(a, b) for a, b in zip(before, trainer.network.parameters(), strict=True))


def test_a_batch_spans_the_qualities(pictures, tmp_path):
    trainer = loop.Trainer(options(pictures, tmp_path, batch=8))
    seen = set()
    for step in range(60):
        crops, level = trainer.batch(step)
        assert crops.shape == (8, 3, 64, 64)
        assert (level // (LEVELS // 8)).tolist() == list(range(8))
        seen |= set(level.tolist())
    assert seen == set(range(LEVELS))


def test_early_crops_are_smaller(pictures, tmp_path):
    trainer = loop.Trainer(options(pictures, tmp_path, steps=10, crop=64, early_crop=None))
    assert trainer.batch(0)[0].shape[-1] == 64
    trainer = loop.Trainer(options(pictures, tmp_path / "b", steps=10, crop=64, early_crop=32, early_share=0.5))
    sides = []
    for trainer.step in range(10):
        sides.append(trainer.batch(trainer.step)[0].shape[-1])
    assert sides == [32] * 5 + [64] * 5


def test_broken_pictures_do_not_end_a_validation(pictures, run):
    network = export.network_of(checkpoint(run))
    assert len(loop.validate(network, pictures, torch.device("cpu"), "no")) == len(loop.VALIDATION_LEVELS)


def test_the_table_of_a_run_survives_a_kill_while_it_is_begun(tmp_path):
    """A file that was made but not written yet is given its header."""
    path = tmp_path / "run.csv"
    path.touch()
    loop.forget_rows(path, 0)
    loop.append_row(path, {"step": 50, "loss": 1.0})
    loop.append_row(path, {"step": 100, "loss": 0.5})
    assert rows(tmp_path) == [{"step": 50, "loss": 1.0}, {"step": 100, "loss": 0.5}]


def test_rows_that_will_be_written_again_are_forgotten(tmp_path):
    path = tmp_path / "run.csv"
    for step in (50, 100, 150):
        loop.append_row(path, {"step": step, "loss": step / 100})
    loop.forget_rows(path, 100)
    assert [row["step"] for row in rows(tmp_path)] == [50, 100]
    loop.forget_rows(tmp_path / "none.csv", 3)


# -- the command line ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("changes", "code", "word"), [
    (["--crop", "100"], 2, "multiple of 64"),
    (["--data", "nowhere"], 1, "nowhere"),
    (["--data", "empty"], 1, "no pictures"),
    (["--config", '{"colour": 1}'], 1, "colour"),
    (["--config", "{"], 1, ""),
    (["--config", '{"channels": 100}'], 1, "192"),
    (["--start-from", "nowhere"], 4, "nowhere"),
])
def test_what_is_wrong_with_a_training_is_told(whole_pictures, tmp_path, monkeypatch, capfd, changes, code, word):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    arguments = ["train", "--data", str(whole_pictures), "--out", "out", "--steps", "1", "--crop", "64", "--batch", "1",
                 "--precision", "no", "--config", json.dumps(SIZES)]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, *changes])
    error = capfd.readouterr().err
    assert ended.value.code == code
    assert word in error
    assert "Traceback" not in error


# -- export -------------------------------------------------------------------------------------------------------


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
    card = (exported / "README.md").read_text()
    for told in ("`tiny`", f"Steps: {STEPS}", "6 used, 2 skipped", json.dumps(checkpoint(run)["config"]), "A test.",
                 f"seed: {SEED}"):
        assert told in card
    table = [line.split("|")[1:-1] for line in card.splitlines() if line.startswith("|")][2:]
    assert [int(row[0]) for row in table] == list(export.CARD_LEVELS)
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
    export.export(run / loop.CHECKPOINT, tmp_path, "tiny", pictures, evaluation=pictures)
    assert aecodec.Codec(device="cpu", model=tmp_path).model.name == "tiny"


def test_a_diverged_training_is_not_exported(run, whole_pictures, tmp_path):
    state = checkpoint(run)
    state["average"][3].fill_(float("inf"))
    torch.save(state, tmp_path / "bad.pt")
    with pytest.raises(ValueError, match="diverged"):
        export.export(tmp_path / "bad.pt", tmp_path / "out", "tiny", whole_pictures)
    assert not (tmp_path / "out" / models.WEIGHTS_FILE).exists()


def test_exported_weights_can_be_trained_further(exported):
    """Their integers come back as the fractions they stand for, and freeze to the same integers."""
    path = exported / models.WEIGHTS_FILE
    network = Network(CONFIG)
    export.load_trainable(network, path)
    frozen = CodecNetwork.frozen(network.eval())
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
    wanted = table_indices(scale_tensors(frozen.scale_decoder), z[0].numpy(), 40)
    np.testing.assert_array_equal(index[0].numpy(), wanted)


def test_weights_of_other_sizes_are_not_loaded(exported):
    with pytest.raises(aecodec.UnknownModel, match="other sizes"):
        export.load_trainable(Network(ModelConfig(latents=32, hyper=16, context=32)), exported / models.WEIGHTS_FILE)


def test_a_training_starts_from_exported_weights(exported, pictures, tmp_path):
    path = exported / models.WEIGHTS_FILE
    trainer = loop.Trainer(options(pictures, tmp_path, start_from=path))
    network = Network(CONFIG)
    export.load_trainable(network, path)
    for name, tensor in network.state_dict().items():
        assert torch.equal(trainer.network.state_dict()[name], tensor)
    assert trainer.history == [f"the weights {models.load(models.read_info(path)).bundle_hash.hex()}"]


def test_a_training_starts_from_a_checkpoint_and_leaves_the_symbols_alone(pictures, run, tmp_path):
    """The decoder-only phase: nothing that decides about symbols or tables moves, everything else does."""
    saved = checkpoint(run)
    before = export.network_of(saved).state_dict()
    trainer = loop.Trainer(options(pictures, tmp_path / "last", start_from=run, decoder_only=True, steps=3))
    assert trainer.history[-1].startswith(f"{saved['step']} steps")
    for name, tensor in trainer.network.state_dict().items():
        assert torch.equal(tensor, before[name])
    # It rounds as the encoder of the exported model will.
    fitted = export.freeze(export.network_of(saved), export.find_pictures(pictures)).rounding
    assert torch.equal(trainer.network.rounding.channels, fitted.channels)
    assert torch.equal(trainer.network.rounding.tables, fitted.tables)
    assert not torch.allclose(loop.Network(trainer.network.config).rounding.tables, fitted.tables)
    trainer.run()
    again = loop.Trainer(options(pictures, tmp_path / "last", start_from=run, decoder_only=True, steps=3))
    assert torch.equal(again.network.rounding.tables, fitted.tables)
    after = checkpoint(tmp_path / "last")["network"]
    parts = ("synthesis.", "mean_decoder.", "context.")
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert moved == {name for name, _ in trainer.network.named_parameters() if name.startswith(parts)}
    with pytest.raises(ValueError, match="other sizes"):
        loop.Trainer(options(pictures, tmp_path / "other", start_from=run, config=ModelConfig(latents=32)))


# -- tables -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [SIGMA_MIN, 1.0, 30.0, SIGMA_MAX])
def test_logistic_tables_are_the_logistic(sigma):
    half = export.table_half(sigma)
    table = export.logistic_table(sigma, half)
    assert len(table) == 2 * half + 2
    assert table.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(table[:-1], table[-2::-1])
    values = np.arange(-half, half + 1)
    deviation = np.sqrt((table[:-1] * values**2).sum() + table[-1] * (half + 1) ** 2)
    assert deviation == pytest.approx(np.sqrt(sigma**2 + 1 / 12), rel=0.02) or sigma in (SIGMA_MIN, SIGMA_MAX)


def test_tables_are_fitted_to_what_was_seen():
    rng = np.random.default_rng(0)
    seen = rng.laplace(0, 2.0, 200_000).round().astype(int)  # not logistic, and narrower than the table's sigma
    half = export.table_half(3.0)
    counts = np.bincount(np.where(np.abs(seen) > half, 2 * half + 1, seen + half), minlength=2 * half + 2)
    fitted = export.fit_table(counts, 3.0)
    assert fitted.sum() == pytest.approx(1)
    assert fitted.min() > 0
    ideal = -(counts / counts.sum() * np.log2(np.maximum(counts / counts.sum(), 1e-12))).sum()
    cost = -(counts / counts.sum() * np.log2(fitted)).sum()
    assert ideal <= cost < 1.01 * ideal
    untouched = export.fit_table(np.zeros(2 * half + 2), 3.0)
    assert untouched.sum() == pytest.approx(1)


def test_symbols_are_counted_by_table():
    histograms = export.empty_histograms()
    index = np.array([0, 1, 1, 5, 63, 63])
    symbols = np.array([0, 0, 30_000, -1, 2, -30_000])
    export.count_symbols(histograms, symbols, index)
    assert sum(h.sum() for h in histograms) == 5
    for table, symbol in ((1, 0), (5, -1), (63, 2)):
        half = (len(histograms[table - 1]) - 2) // 2
        assert histograms[table - 1][symbol + half] == 1
    assert histograms[0][-1] == histograms[62][-1] == 1


# -- objective and optimisers -------------------------------------------------------------------------------------


def test_the_objective_by_hand():
    target = torch.zeros(2, 3, 16, 8)
    level = torch.tensor([3, 60])
    output = TrainingOutput(target + torch.tensor([0.01, 0.02]).view(2, 1, 1, 1), torch.full((2, 4, 1, 1), 16.0),
                            torch.full((2, 2, 1, 1), 8.0))
    result = objective.rate_distortion(output, target, level)
    bpp = (4 * 16 + 2 * 8) / 128
    weights = level_lambda(level)
    losses = (bpp + weights * 255**2 * torch.tensor([1e-4, 4e-4]))
    losses = losses / (weights / objective.BALANCE_LAMBDA) ** objective.BALANCE_POWER
    assert float(result.loss) == pytest.approx(float(losses.mean()), rel=1e-5)
    assert float(result.bpp) == pytest.approx(bpp)
    assert float(result.bpp_z) == pytest.approx(16 / 128)
    assert float(result.psnr) == pytest.approx((40 + 40 - 20 * np.log10(2)) / 2, rel=1e-4)


def test_every_parameter_has_one_optimiser():
    network = Network(CONFIG)
    matrices, others = optimiser.split_parameters(network)
    assert len(matrices) + len(others) == len(list(network.parameters()))
    assert {id(p) for p in matrices} | {id(p) for p in others} == {id(p) for p in network.parameters()}
    assert all(p.ndim == 2 for p in matrices)
    names = {id(p): name for name, p in network.named_parameters()}
    for name in ("analysis.patches.weight", "synthesis.patches.weight", "gain.knots", "scale_decoder.layers.1.weight"):
        assert name in {names[id(p)] for p in others}
    assert "context.blocks.0.gate.weight" in {names[id(p)] for p in matrices}


@pytest.mark.parametrize("shape", [(3, 20, 20), (2, 10, 40), (2, 40, 10)])
def test_matrices_are_orthogonalised(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(optimiser.orthogonalise(torch.randn(shape)))
    assert float(values.min()) > 0.3
    assert float(values.max()) < 1.35


def test_muon_is_that_of_torch():
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon to compare with")
    torch.manual_seed(1)
    start = [torch.randn(12, 30), torch.randn(12, 30), torch.randn(16, 8)]
    mine, theirs = ([torch.nn.Parameter(w.clone()) for w in start] for _ in range(2))
    optimisers = [optimiser.Muon(mine, lr=0.02, weight_decay=0.1),
                  torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, momentum=0.95, nesterov=True)]
    for _ in range(5):
        for a, b in zip(mine, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        for one in optimisers:
            one.step()
    for a, b, w in zip(mine, theirs, start, strict=True):
        assert float((a - w).detach().abs().max()) > 0.01
        torch.testing.assert_close(a, b, rtol=0, atol=0.002)  # orthogonalised in bfloat16, batched and one by one


def test_the_schedule_warms_up_and_goes_to_zero():
    optimisers = optimiser.build_optimisers(Network(CONFIG), 2.0)
    assert optimisers[0].param_groups[0]["base_lr"] == 2 * optimiser.MUON_RATE
    assert optimiser.schedule(optimisers, 0, 0.0) == pytest.approx(1 / optimiser.WARM_UP_STEPS)
    factors = [optimiser.schedule(optimisers, 10_000, share) for share in (0, 0.25, 0.5, 1, 1.2)]
    assert factors == pytest.approx([1, 0.5 + 0.5 / np.sqrt(2), 0.5, 0, 0])
    optimiser.schedule(optimisers, 10_000, 0.5)
    assert optimisers[1].param_groups[0]["lr"] == pytest.approx(optimiser.ADAM_RATE)


def test_the_average_follows_the_network():
    network = torch.nn.Linear(2, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    average = loop.Average(network, 0.9)
    torch.nn.init.ones_(network.weight)
    expected = 0.0
    for update in range(1, 60):
        average.update(network)
        decay = min(0.9**loop.Average.EVERY, (1 + update) / (10 + update))
        expected = decay * expected + 1 - decay
        assert average.values[0].mean().item() == pytest.approx(expected, rel=1e-4)
    average.swap(network)
    assert network.weight.mean().item() == pytest.approx(expected, rel=1e-4)
    assert float(average.values[0].mean()) == 1
    average.swap(network)
    assert network.weight.mean().item() == 1
