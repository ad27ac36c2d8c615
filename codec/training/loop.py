"""A run: resumable to the step, safe against blow-ups, on a CPU, a GPU or many processes (through accelerate)."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, broadcast
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from ..format.constants import LEVELS
from ..network.model import ModelConfig, TrainableNetwork
from . import checkpoint, steps
from .data import PictureBank, find_pictures
from .objective import rate_distortion, regularisation
from .optimiser import build_optimisers
from .recipe import DECAY, PLATEAU, Phase, Recipe
from .validation import validate

MAX_STEP_SECONDS = 30.0  # a step that took longer was interrupted: a stopped process is not training time
MAX_BAD_STEPS = 20  # in a row, before the last checkpoint is loaded again
FIT_PICTURES = 32
START_BATCHES = 8  # of 32 crops, which the first transform is fitted to
ROWS_EVERY = 50  # steps


@dataclass(frozen=True)
class TrainingOptions:
    """What one command asks for: a recipe, and where, how long and from where on it is followed."""

    data: Path
    out: Path
    recipe: Recipe = field(default_factory=Recipe)
    steps: int | None = None  # length of the phase; a plateau without either goes on until it is stopped
    minutes: float | None = None  # the same in training time
    seed: int = 0
    validation: Path | None = None
    start_from: Path | None = None  # weights of a trained model, or a checkpoint, to begin a plateau with
    branch: Path | None = None  # a plateau's checkpoint (or folder) that a decay begins with


class Trainer:
    """One run in one folder. Making it again over the same folder resumes it.

    Raises:
        FileNotFoundError: no pictures, or no checkpoint to branch from.
        ValueError: what is in the folder, or to begin with, does not fit what is asked for.
    """

    def __init__(self, options: TrainingOptions) -> None:
        self.options, self.recipe = options, options.recipe
        self.path = options.out / checkpoint.CHECKPOINT
        self.resumed = self.path.exists()
        source = checkpoint.read(self.path) if self.resumed else self._branched()
        self.phase_name = source.get("phase", PLATEAU) if source else PLATEAU
        if not self.resumed and source:
            self.phase_name = DECAY
        self._check(source)
        self.phase: Phase = self.recipe.phase(self.phase_name)
        # No network of ours has buffers that a step changes.
        self.accelerator = Accelerator(mixed_precision=self.recipe.run.precision,
                                       kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)])
        self.device = self.accelerator.device
        options.out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(options.seed)
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True
        processes = (self.accelerator.process_index, self.accelerator.num_processes)
        self.bank = PictureBank.load(options.data, self.phase.crop, self.device, options.seed,
                                     drawings=self.recipe.data.drawings, part=processes)
        self.network = TrainableNetwork(self.recipe.sizes)
        self.step, self.seconds, self.pixels, self.bad_steps = 0, 0.0, 0, 0
        self.began_step, self.began_seconds = 0, 0.0  # of the phase
        self.history: list[str] = []
        self.validated_at = -1
        if source is None:
            self._begin()
        if self.phase.decoder_only:
            self.network.freeze_encoder()
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        rates = self.recipe.optimiser
        self.average = steps.Average(self.network, rates.average)
        self.optimisers = build_optimisers(self.network, rates.muon * self.phase.rate, rates.adam * self.phase.rate,
                                           rates.weight_decay)
        if source is not None:
            self.load(source)
            if not self.resumed:
                self._begin_decay()
        if self.accelerator.is_main_process:
            for name in ("run.csv", "validation.csv"):
                checkpoint.forget_rows(options.out / name, self.step)
        # The optimisers stay as they are: gradients are the same in all processes, and so are their steps.
        self.model: nn.Module = self.accelerator.prepare(self.network)
        self.runner = torch.compile(self.model) if self.recipe.run.compile else self.model

    # -- where it begins --------------------------------------------------------------------------------------

    def _branched(self) -> dict[str, Any] | None:
        """The checkpoint that a new decay begins with."""
        branch = self.options.branch
        if branch is None:
            return None
        if self.options.start_from is not None:
            raise ValueError("a branch goes on from its checkpoint alone; leave --start-from out")
        path = checkpoint.path_of(branch)
        if path.resolve() == self.path.resolve():
            raise ValueError(f"{self.options.out} holds the plateau itself; choose another --out for its decay")
        state = checkpoint.read(path)
        if state.get("phase", PLATEAU) != PLATEAU:
            raise ValueError(f"{path} is a decay, whose rates are used up; branch from the plateau's checkpoint")
        return state

    def _check(self, source: dict[str, Any] | None) -> None:
        options = self.options
        if self.resumed and options.branch is not None and self.phase_name != DECAY:
            raise ValueError(f"{options.out} holds a plateau; choose another --out for a decay")
        if source is not None and ModelConfig.from_dict(source["config"]) != self.recipe.sizes:
            raise ValueError(f"{self.path if self.resumed else options.branch} was trained with other sizes; choose "
                             "another --out, or the recipe it was begun with")
        if self.phase_name == DECAY and options.steps is None and options.minutes is None:
            raise ValueError("a decay needs its length; pass --steps or --minutes")

    def _begin(self) -> None:
        """The weights of a new plateau."""
        options, crop = self.options, min(self.phase.crop, 256)
        if options.start_from:
            from .export import start_from

            self.history = start_from(self.network, options.start_from)
            self.fit_rounding()
        else:
            sample = [self.bank.batch(np.random.SeedSequence([options.seed, n]), 32, crop)
                      for n in range(START_BATCHES)]
            self.network.start(torch.cat(sample).cpu())

    def _begin_decay(self) -> None:
        self.began_step, self.began_seconds = self.step, self.seconds
        self.average.swap(self.network)
        self.fit_rounding()  # the plateau's own may be days old
        self.average.swap(self.network)

    def fit_rounding(self) -> None:
        """Round as the shipped encoder will, so that the decoder learns from the symbols it will meet."""
        from .coding import spread
        from .export import freeze

        fitted = freeze(self.network, spread(find_pictures(self.options.data), FIT_PICTURES))
        self.network.rounding.channels.copy_(fitted.rounding.channels)
        self.network.rounding.tables.copy_(fitted.rounding.tables)

    # -- state ------------------------------------------------------------------------------------------------

    def save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        checkpoint.write(self.path, {
            "network": self.network.state_dict(), "average": self.average.values,
            "average_updates": self.average.updates, "optimisers": [o.state_dict() for o in self.optimisers],
            "rounding": dict(self.network.rounding.named_buffers()),
            "phase": self.phase_name, "began": [self.began_step, self.began_seconds],
            "step": self.step, "seconds": self.seconds, "pixels": self.pixels, "history": self.history,
            "recipe": self.recipe.to_dict(), "config": self.recipe.sizes.to_dict(), "seed": self.options.seed,
            "processes": self.accelerator.num_processes,
            "photos": self.bank.photos, "skipped": [p.name for p in self.bank.skipped],
        })

    def load(self, state: dict[str, Any]) -> None:
        """Take over a checkpoint's weights, averages, optimisers and counters."""
        self.network.load_state_dict(state["network"])
        for name, saved in state.get("rounding", {}).items():  # older checkpoints were never fitted
            self.network.rounding.get_buffer(name).copy_(saved)
        for value, saved in zip(self.average.values, state["average"], strict=True):
            value.copy_(saved)
        self.average.updates = state["average_updates"]
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            asked = [{k: group[k] for k in ("base_lr", "weight_decay")} for group in optimiser.param_groups]
            optimiser.load_state_dict(saved)
            for group, settings in zip(optimiser.param_groups, asked, strict=True):
                group.update(settings)  # of this command, not of the one that was broken off
        self.step, self.seconds, self.pixels = state["step"], state["seconds"], state["pixels"]
        self.began_step, self.began_seconds = state.get("began", (0, 0.0))
        self.history = state["history"]

    # -- a step -----------------------------------------------------------------------------------------------

    def progress(self) -> float:
        """How much of the phase is done, 0..1; 0 where it has no end."""
        if self.options.minutes is not None:
            return (self.seconds - self.began_seconds) / 60 / self.options.minutes
        if self.options.steps is not None:
            return (self.step - self.began_step) / self.options.steps
        return 0.0

    def decayed(self) -> float:
        """How much of the decay is done, 0..1."""
        return min(self.progress(), 1.0) if self.phase_name == DECAY else 0.0

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The crops and levels of a step, a function of seed, step and process alone: what makes resuming exact."""
        count = self.phase.batch
        seed = np.random.SeedSequence([self.options.seed, step, self.accelerator.process_index])
        crops_seed, levels_seed, tunes_seed = seed.spawn(3)
        crops = self.bank.batch(crops_seed, count, self.phase.crop)
        # Stratified levels: every batch spans the whole range of qualities.
        strata = (np.arange(count) + np.random.default_rng(levels_seed).random(count)) / count
        level = torch.from_numpy((strata * LEVELS).astype(np.int64)).clamp_(0, LEVELS - 1)
        if len(self.recipe.shares) > 1:
            random = np.random.default_rng(tunes_seed)
            level += LEVELS * torch.from_numpy(random.choice(len(self.recipe.shares), count, p=self.recipe.shares))
        return crops, level.to(self.device)

    def train_step(self, crops: Tensor, level: Tensor) -> dict[str, float] | None:
        """One update; None if the gradient was unusable and the step was skipped."""
        recipe, phase, parts = self.recipe, self.phase, self.phase.parts
        torch.manual_seed((self.options.seed * 1_000_003 + self.step) * 64 + self.accelerator.process_index)
        factor = steps.rate_factor(self.step, self.decayed(), recipe.optimiser.warm_up, phase.power)
        steps.set_rates(self.optimisers, factor)
        plateau = recipe.plateau.dither
        self.network.dither.fill_(plateau + (phase.dither - plateau) * self.decayed())
        seen: list[dict[str, Tensor]] = []

        def losses() -> Iterator[Tensor]:
            # A part takes every n-th picture: each spans the levels.
            for part in range(parts):
                target, levels = crops[part::parts], level[part::parts]
                source = target if recipe.corruption is None else recipe.corruption(target)
                with self.accelerator.autocast():
                    output = self.runner(source, levels)
                objective = rate_distortion(output, target, levels, recipe.objectives, recipe.sizes.lambda_max)
                seen.append({"bpp": objective.bpp, "bpp_z": objective.bpp_z, "psnr": objective.psnr,
                             **objective.terms})
                yield (objective.loss + regularisation(self.network, recipe.regularisers)) / parts

        update = steps.update(self.network, self.optimisers, losses(), self.accelerator.backward)
        if not update.usable:
            return None
        # A tune's terms are those of the parts in which it came.
        names = dict.fromkeys(name for values in seen for name in values)
        means = {name: float(np.mean([float(values[name]) for values in seen if name in values])) for name in names}
        return {"loss": update.loss, **means, "gradient_norm": update.gradient_norm, "rate_factor": factor}

    # -- the run ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Train until the phase ends. KeyboardInterrupt saves first."""
        options, main = self.options, self.accelerator.is_main_process
        if main:
            self._say_where_it_stands()
        if self.progress() >= 1.0:
            return
        writer = None
        if main:
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(str(options.out / "tensorboard"))
        bar = Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
                       disable=not main)
        window: list[dict[str, float]] = []
        try:
            with bar:
                task = bar.add_task("training", total=None if self.progress() == 0 and not self._ends() else 1.0)
                while self.progress() < 1.0:
                    result = self._timed_step()
                    window += [result] if result else []
                    bar.update(task, completed=self.progress(), description=self._describe(result))
                    if self.step % ROWS_EVERY == 0 and window and writer:
                        self._report_progress(window, writer)
                        window = []
                    if self.step % self.recipe.run.checkpoint_every == 0:
                        self.save()
                    if self.step % self.recipe.run.validate_every == 0:
                        self.report_validation()
        except KeyboardInterrupt:
            self.save()
            if main:
                print(f"stopped at step {self.step}; the same command goes on from there", flush=True)
            raise
        finally:
            if writer:
                writer.close()
        self.save()
        if self.validated_at != self.step:
            self.report_validation()
        self.accelerator.wait_for_everyone()  # until the checkpoint is there

    def _ends(self) -> bool:
        return self.options.steps is not None or self.options.minutes is not None

    def _say_where_it_stands(self) -> None:
        options, bank = self.options, self.bank
        if self.progress() >= 1.0:
            print(f"{options.out} is finished: {self.step} steps of its {self.phase_name} are done; a larger --steps "
                  "or --minutes would go on, `aecodec export` makes weights of it", flush=True)
            return
        if bank.skipped:
            print(f"{len(bank.skipped)} files skipped, the first: {bank.skipped[0]}", flush=True)
        print(f"{bank.photos} photos, {len(bank) - bank.photos} drawings, {len(bank.pixels) / 3e6:.0f} megapixels in "
              "memory" + (" of each process" if self.accelerator.num_processes > 1 else ""), flush=True)
        if self.resumed:
            print(f"going on from step {self.step} of the {self.phase_name} in {options.out}", flush=True)
        elif options.branch is not None:
            print(f"a decay, branched from step {self.step} of {options.branch}", flush=True)

    def _timed_step(self) -> dict[str, float] | None:
        """One step and all that is counted; after too many bad ones the last checkpoint again."""
        began = time.perf_counter()
        crops, level = self.batch(self.step)
        result = self.train_step(crops, level)
        self.bad_steps = 0 if result else self.bad_steps + 1
        if result is None:
            print(f"step {self.step}: gradient not finite or far too large, skipped", flush=True)
            if self.bad_steps >= MAX_BAD_STEPS and self.path.exists():
                kept = self.step
                self.load(checkpoint.read(self.path, self.device))
                self.step = kept  # go on with other crops than those that led here
                self.bad_steps = 0
        self.step += 1
        self.pixels += crops.shape[0] * crops.shape[2] * crops.shape[3] * self.accelerator.num_processes
        self.average.after(self.step, self.network)
        self.seconds += min(self._agreed(time.perf_counter() - began), MAX_STEP_SECONDS)
        return result

    def _agreed(self, seconds: float) -> float:
        """The main process's time: what rates and the end of a run follow must be the same in all of them."""
        if self.accelerator.num_processes == 1:
            return seconds
        return float(broadcast(torch.tensor(seconds, device=self.device)))

    def _report_progress(self, window: list[dict[str, float]], writer: Any) -> None:
        names = dict.fromkeys(name for row in window for name in row)
        mean = {k: float(np.mean([row[k] for row in window if k in row])) for k in names}
        checkpoint.append_row(self.options.out / "run.csv", {
            "step": self.step, "minutes": round(self.seconds / 60, 3), "pixels": self.pixels,
            **{k: round(v, 5) for k, v in mean.items()}})
        for key, value in mean.items():
            writer.add_scalar(key, value, self.step)

    def report_validation(self) -> None:
        """Measure the averaged weights on the validation pictures, for `validation.csv` and the terminal."""
        options = self.options
        if options.validation is None or not self.accelerator.is_main_process:
            return
        self.validated_at = self.step
        self.average.swap(self.network)
        try:
            results = validate(self.network, options.validation, self.device, self.recipe.run.precision)
        finally:
            self.average.swap(self.network)
        row: dict[str, Any] = {"step": self.step, "minutes": round(self.seconds / 60, 2), "pixels": self.pixels}
        for level, rate, psnr in results:
            row[f"bpp_{level}"], row[f"psnr_{level}"] = round(rate, 4), round(psnr, 3)
        checkpoint.append_row(options.out / "validation.csv", row)
        print(f"step {self.step}: " + "  ".join(f"{rate:.3f}/{psnr:.2f}" for _, rate, psnr in results), flush=True)

    def _describe(self, result: dict[str, float] | None) -> str:
        text = f"step {self.step}"
        return text if result is None else f"{text}  {result['bpp']:.3f} bpp  {result['psnr']:.2f} dB"


@contextmanager
def termination_interrupts() -> Iterator[None]:
    """SIGTERM, which is how job schedulers end a run, raises KeyboardInterrupt meanwhile; in the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def train(options: TrainingOptions) -> None:
    """Run, or go on with, the training that `options` describe. An interrupt or SIGTERM saves first."""
    with termination_interrupts():
        Trainer(options).run()
