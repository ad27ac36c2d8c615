"""Runs on a few generated pictures: a kill costs nothing, a decay branches, two processes train as one."""

# ruff: noqa: E402 (what is imported below needs what is asked for here)
from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from training_helpers import SEED, SIZES, STEPS, options, overrides, rows

for package in ("accelerate", "tensorboard"):
    pytest.importorskip(package)

from aecodec.command.main import main
from aecodec.format.constants import LEVELS
from aecodec.network.model import ModelConfig, TrainableNetwork
from aecodec.training import checkpoint as checkpoints
from aecodec.training import data, export, loop, steps, validation

CONFIG = ModelConfig.from_dict(SIZES)


def checkpoint(folder: Path) -> dict:
    return torch.load(folder / checkpoints.CHECKPOINT, map_location="cpu", weights_only=True)



def test_pictures_that_cannot_be_used_are_skipped_and_counted(pictures, run, capsys):
    bank = data.PictureBank.load(pictures, 64, torch.device("cpu"), 0)
    assert len(bank) == 6
    assert sorted(path.name for path in bank.skipped) == ["broken.png", "small.jpg"]
    assert sorted(checkpoint(run)["skipped"]) == ["broken.png", "small.jpg"]
    assert checkpoint(run)["photos"] == 6



def test_a_run_says_how_many_files_it_skipped(pictures, tmp_path, capsys):
    loop.train(options(pictures, tmp_path, steps=1))
    assert "2 files skipped" in capsys.readouterr().out



def test_what_a_run_writes(run):
    assert [row["step"] for row in rows(run)] == [50, 100]
    assert rows(run)[-1]["pixels"] == STEPS * 2 * 64 * 64
    for row in rows(run):
        assert np.isfinite(list(row.values())).all()
        assert row["bpp"] > row["bpp_z"] > 0
    (measured,) = rows(run, "validation.csv")
    assert measured["step"] == STEPS
    points = [(measured[f"bpp_{level}"], measured[f"psnr_{level}"]) for level in validation.VALIDATION_LEVELS]
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



@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(pictures, run, tmp_path, capsys):
    """SIGKILL at a random moment, then the same command again: as if nothing had happened."""
    arguments = ["train", "--data", pictures, "--out", tmp_path, "--steps", STEPS, "--seed", SEED]
    arguments = [*map(str, arguments), *(word for text in overrides() for word in ("--set", text))]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen([sys.executable, "-m", "aecodec", *arguments], env={**os.environ, **threads},
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not (tmp_path / checkpoints.CHECKPOINT).exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(random.uniform(0, 0.6) * 60 * rows(tmp_path)[0]["minutes"])  # of the 50 steps that are left
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert checkpoint(tmp_path)["step"] == 50

    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert not ended.value.code
    assert "going on from step 50 of the plateau" in capsys.readouterr().out
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



def test_a_finished_run_has_nothing_left_to_do(pictures, run, capsys):
    before, saved = rows(run), checkpoint(run)["network"]
    loop.train(options(pictures, run))
    assert f"finished: {STEPS} steps of its plateau" in capsys.readouterr().out
    assert rows(run) == before
    assert all(torch.equal(tensor, saved[name]) for name, tensor in checkpoint(run)["network"].items())



def test_a_run_of_other_sizes_is_not_resumed(pictures, run):
    with pytest.raises(ValueError, match="other sizes"):
        loop.Trainer(options(pictures, run, recipe={"sizes__latents": 32}))



def test_a_resumed_run_takes_the_learning_rates_of_its_command(pictures, run):
    usual = [group["base_lr"] for o in loop.Trainer(options(pictures, run)).optimisers for group in o.param_groups]
    other = loop.Trainer(options(pictures, run, recipe={"phases__plateau__rate": 0.25}))
    assert [group["base_lr"] for o in other.optimisers for group in o.param_groups] == [0.25 * rate for rate in usual]



def test_an_unusable_gradient_changes_nothing(pictures, tmp_path, monkeypatch):
    trainer = loop.Trainer(options(pictures, tmp_path))
    before = [p.detach().clone() for p in trainer.network.parameters()]
    crops, level = trainer.batch(0)
    monkeypatch.setattr(steps.update, "__defaults__", (*steps.update.__defaults__[:-1], 0.0))
    assert trainer.train_step(crops, level) is None
    assert trainer.train_step(crops * float("nan"), level) is None
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.network.parameters(), strict=True))
    monkeypatch.undo()
    assert trainer.train_step(crops, level) is not None
    assert not all(torch.equal(a, b) for a, b in zip(before, trainer.network.parameters(), strict=True))



def test_a_batch_spans_the_qualities(pictures, tmp_path):
    trainer = loop.Trainer(options(pictures, tmp_path, {"phases__plateau__batch": 8}))
    seen = set()
    for step in range(60):
        crops, level = trainer.batch(step)
        assert crops.shape == (8, 3, 64, 64)
        assert (level // (LEVELS // 8)).tolist() == list(range(8))
        seen |= set(level.tolist())
    assert seen == set(range(LEVELS))



def test_broken_pictures_do_not_end_a_validation(pictures, run):
    network = checkpoints.network_of(checkpoint(run))
    assert len(validation.validate(network, pictures, torch.device("cpu"), "no")) == len(validation.VALIDATION_LEVELS)



@pytest.mark.parametrize(("changes", "code", "word"), [
    (["--set", "phases.plateau.crop=100"], 1, "multiple of 64"),
    (["--set", "phases.plateau.colour=1"], 1, "colour"),
    (["--set", "crop"], 1, "table.entry=VALUE"),
    (["--set", "sizes.channels=100"], 1, "192"),
    (["--set", "terms.beauty=1"], 1, "beauty"),
    (["--recipe", "nowhere"], 1, "no recipe named nowhere"),
    (["--data", "nowhere"], 1, "nowhere"),
    (["--data", "empty"], 1, "no pictures"),
    (["--start-from", "nowhere"], 4, "nowhere"),
    (["--branch", "nowhere"], 1, "nowhere"),
    (["--minutes", "1"], 2, "exclude"),
])
def test_what_is_wrong_with_a_training_is_told(whole_pictures, tmp_path, monkeypatch, capfd, changes, code, word):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    arguments = ["train", "--data", str(whole_pictures), "--out", "out", "--steps", "1",
                 *(word for text in overrides() for word in ("--set", text))]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, *changes])
    error = capfd.readouterr().err
    assert ended.value.code == code
    assert word in error
    assert "Traceback" not in error



def test_a_training_starts_from_a_checkpoint_and_leaves_the_symbols_alone(pictures, run, tmp_path):
    """The decoder-only phase: nothing that decides about symbols or tables moves, everything else does."""
    saved = checkpoint(run)
    before = checkpoints.network_of(saved).state_dict()
    begun = options(pictures, tmp_path / "last", {"phases__plateau__decoder_only": True}, start_from=run, steps=3)
    trainer = loop.Trainer(begun)
    assert trainer.history[-1].startswith(f"{saved['step']} steps")
    for name, tensor in trainer.network.state_dict().items():
        assert torch.equal(tensor, before[name])
    # It rounds as the encoder of the exported model will.
    fitted = export.freeze(checkpoints.network_of(saved), data.find_pictures(pictures)).rounding
    assert torch.equal(trainer.network.rounding.channels, fitted.channels)
    assert torch.equal(trainer.network.rounding.tables, fitted.tables)
    assert not torch.allclose(TrainableNetwork(trainer.network.config).rounding.tables, fitted.tables)
    trainer.run()
    again = loop.Trainer(begun)
    assert torch.equal(again.network.rounding.tables, fitted.tables)
    after = checkpoint(tmp_path / "last")["network"]
    parts = ("synthesis.", "mean_decoder.", "context.")
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert moved == {name for name, _ in trainer.network.named_parameters() if name.startswith(parts)}
    with pytest.raises(ValueError, match="other sizes"):
        loop.Trainer(options(pictures, tmp_path / "other", start_from=run, recipe={"sizes__latents": 32}))


def test_a_decay_is_branched_from_a_plateau(pictures, run, tmp_path, capsys):
    """It begins with the plateau's weights and optimisers, ends at rates of zero, and leaves the plateau as it was."""
    before = (run / checkpoints.CHECKPOINT).read_bytes()
    begun = options(pictures, tmp_path / "decay", {"phases__decay__batch": 4, "phases__decay__parts": 2}, steps=50,
                    branch=run)
    trainer = loop.Trainer(begun)
    plateau = checkpoint(run)
    assert (trainer.phase_name, trainer.step, trainer.progress(), trainer.decayed()) == ("decay", STEPS, 0, 0)
    for name, tensor in trainer.network.state_dict().items():
        assert torch.equal(tensor, plateau["network"][name])
    momentum = trainer.optimisers[0].state_dict()["state"]
    for number, state in plateau["optimisers"][0]["state"].items():
        assert torch.equal(momentum[number]["momentum_buffer"], state["momentum_buffer"])
        assert state["momentum_buffer"].any()
    fitted = export.freeze(checkpoints.network_of(plateau), data.find_pictures(pictures)).rounding
    assert torch.equal(trainer.network.rounding.tables, fitted.tables)

    trainer.run()
    out = capsys.readouterr().out
    assert f"branched from step {STEPS}" in out
    assert (run / checkpoints.CHECKPOINT).read_bytes() == before
    (row,) = rows(tmp_path / "decay")
    factors = [steps.rate_factor(STEPS + n, n / 50) for n in range(50)]
    assert row["rate_factor"] == pytest.approx(np.mean(factors), abs=1e-4)
    assert row["pixels"] == plateau["pixels"] + 50 * 4 * 64 * 64
    state = checkpoint(tmp_path / "decay")
    assert (state["phase"], state["step"], state["began"][0]) == ("decay", STEPS + 50, STEPS)
    assert float(trainer.network.dither) == pytest.approx(0.08 + (0.05 - 0.08) * 49 / 50)
    again = loop.Trainer(options(pictures, tmp_path / "decay", steps=100))
    assert (again.phase_name, again.progress()) == ("decay", 0.5)
    with pytest.raises(ValueError, match="branch from the plateau"):
        loop.Trainer(options(pictures, tmp_path / "more", branch=tmp_path / "decay"))
    with pytest.raises(ValueError, match="needs its length"):
        loop.Trainer(options(pictures, tmp_path / "more", branch=run, steps=None))
    with pytest.raises(ValueError, match="other sizes"):
        loop.Trainer(options(pictures, tmp_path / "more", {"sizes__latents": 32}, branch=run))
    with pytest.raises(ValueError, match="holds a plateau"):
        loop.Trainer(options(pictures, run, branch=run))
    assert not (tmp_path / "more").exists()


def test_a_plateau_goes_on_with_longer_steps(pictures, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    trainer = loop.Trainer(options(pictures, tmp_path / "run", steps=None))
    assert (trainer.progress(), trainer.step) == (0, STEPS)
    assert trainer.train_step(*trainer.batch(STEPS))["rate_factor"] == pytest.approx((STEPS + 1) / 200)


def test_a_checkpoint_of_the_trainer_before_goes_on(pictures, run, tmp_path):
    """Without phase, recipe and beginning: those were written by trainers that had none."""
    state = checkpoint(run)
    for key in ("phase", "began", "recipe", "seed", "processes"):
        del state[key]
    state["options"] = {"batch": 8}
    (tmp_path / "old").mkdir()
    checkpoints.write(tmp_path / "old" / checkpoints.CHECKPOINT, state)
    trainer = loop.Trainer(options(pictures, tmp_path / "old", steps=STEPS + 1))
    assert (trainer.phase_name, trainer.step) == ("plateau", STEPS)
    trainer.run()
    assert checkpoint(tmp_path / "old")["step"] == STEPS + 1


def test_an_input_may_be_corrupted_and_the_target_is_not(pictures, tmp_path, monkeypatch):
    trainer = loop.Trainer(options(pictures, tmp_path, {"corruption__masked": 0.5}))
    seen = {}
    objective = loop.rate_distortion
    network = trainer.runner

    def note_target(output, target, *arguments):
        seen["target"] = target
        return objective(output, target, *arguments)

    def note_input(source, level):
        seen["source"] = source
        return network(source, level)

    monkeypatch.setattr(loop, "rate_distortion", note_target)
    trainer.runner = note_input
    crops, level = trainer.batch(0)
    assert trainer.train_step(crops, level) is not None
    assert torch.equal(seen["target"], crops)
    hidden = (seen["source"] == 0).all(dim=1)
    assert float(hidden.float().mean()) == pytest.approx(0.5, abs=0.05)
    assert torch.equal(seen["source"].movedim(1, -1)[~hidden], crops.movedim(1, -1)[~hidden])


TWO_PROCESSES = """
import os
import signal
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from training_helpers import options
from aecodec.training import loop

out = Path({out!r})
flag, train_step = out / "killed", loop.Trainer.train_step


def fatal_once(self, *arguments):
    # One process does not survive the fourth step of the run in parts, the first time.
    if self.step == 3 and self.options.out.name == "parts" and os.environ["RANK"] == "1" and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return train_step(self, *arguments)


loop.Trainer.train_step = fatal_once
for folder, steps in (("whole", 4), ("parts", 2), ("parts", 4)):
    loop.train(options(Path({pictures!r}), out / folder, steps=steps))
"""


@pytest.mark.slow
def test_two_processes_train_one_network_and_resume_exactly(pictures, tmp_path):
    """One thread each, gradients exchanged through gloo; one is killed, and both go on from the last checkpoint."""
    script = tmp_path / "train.py"
    script.write_text(TWO_PROCESSES.format(tests=str(Path(__file__).parents[1]), out=str(tmp_path),
                                           pictures=str(pictures)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    ended, finished = (subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      text=True, timeout=300) for _ in range(2))
    assert ended.returncode != 0
    assert "Signal 9" in ended.stdout
    assert finished.returncode == 0, finished.stdout
    assert "going on from step" in finished.stdout
    assert "going on from step 4" not in finished.stdout
    whole, parts = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "parts")
    assert (whole["processes"], whole["pixels"]) == (2, 4 * 2 * 2 * 64 * 64)
    assert whole["step"] == parts["step"] == 4
    for name, tensor in whole["network"].items():
        assert torch.equal(tensor, parts["network"][name]), name
    # Both took part: alone, with half of the pictures and gradients, other weights come out.
    loop.train(options(pictures, tmp_path / "alone", steps=4))
    alone = checkpoint(tmp_path / "alone")["network"]
    assert not torch.equal(alone["analysis.patches.weight"], whole["network"]["analysis.patches.weight"])
