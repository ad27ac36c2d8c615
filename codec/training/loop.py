"""The training loop: resumable to the step, safe against blow-ups, on a CPU, a GPU or many (through accelerate)."""

from __future__ import annotations

import csv
import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from .. import models
from ..format.constants import LEVELS
from ..network.model import ModelConfig, Network
from ..network.quantisation import DITHER
from .data import PictureBank, find_pictures, validation_pictures
from .objective import rate_distortion, roughness
from .optimiser import build_optimisers, schedule

CHECKPOINT = "checkpoint.pt"
CLIP_NORM = 1.0
MAX_NORM = 1000.0  # a hundred times the usual: such a gradient is an accident, and would poison Adam's averages
MAX_STEP_SECONDS = 30.0  # a step that took longer was interrupted: a stopped process is not training time
MAX_BAD_STEPS = 20  # in a row, before the last checkpoint is loaded again
FIT_PICTURES = 32
LAST_DITHER = 0.05  # what is left of it when the learning rates are small enough for its rare gradients
VALIDATION_LEVELS = (0, 10, 21, 31, 42, 52, 63)


@dataclass(frozen=True)
class TrainingOptions:
    """What a run is: written into its checkpoints and into the model card."""

    data: Path
    out: Path
    steps: int = 100_000
    minutes: float | None = None  # if given, the schedule ends when this much training time has passed
    batch: int = 8
    crop: int = 256
    early_crop: int | None = None  # crop side for the first `early_share` of the run
    early_share: float = 0.5
    drawings: float = 0.02  # share of generated text and graphics among the pictures
    rate: float = 1.0  # factor on the learning rates
    ema: float = 0.999
    seed: int = 0
    precision: str = "bf16"  # "bf16" or "no"
    compile: bool = False
    validation: Path | None = None
    validate_every: int = 2000
    checkpoint_every: int = 500
    start_from: Path | None = None  # weights of a trained model, or a checkpoint, to go on from
    decoder_only: bool = False  # train synthesis and means alone, on the symbols that the rest decides
    config: ModelConfig = field(default_factory=ModelConfig)

    def as_text(self) -> dict[str, Any]:
        return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}


class Average:
    """An exponential moving average of the parameters, updated every few steps."""

    EVERY = 4

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay ** self.EVERY
        self.values = [p.detach().clone() for p in network.parameters()]
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self.updates += 1
        # A young average would remember the start: its horizon grows with its age.
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self.values, [p.detach() for p in network.parameters()], 1 - decay)

    @torch.no_grad()
    def swap(self, network: nn.Module) -> None:
        """Exchange the network's parameters with the averaged ones (twice gives back the first)."""
        for value, parameter in zip(self.values, network.parameters(), strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(kept)


def write_atomically(path: Path, state: dict[str, Any]) -> None:
    """`torch.save` through a temporary sibling: a kill leaves the old file or the new one, never half of one."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def forget_rows(path: Path, step: int) -> None:
    """Drop the rows of a CSV that a run resumed at `step` is about to write again."""
    if not path.exists():
        return
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    kept = [row for row in rows if int(row["step"]) <= step]
    if len(kept) < len(rows):
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(kept)


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a row to a CSV, with the header if it is new."""
    fresh = not path.exists() or not path.stat().st_size  # a kill may have left an empty file
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def start_from(network: Network, path: Path) -> list[str]:
    """Give a network the weights of a model, or the averaged ones of a checkpoint; gives what came before.

    Raises:
        UnknownModel, ValueError: `path` holds neither, or a network of other sizes.
    """
    from .export import load_trainable, network_of

    if (path / CHECKPOINT).is_file():
        path = path / CHECKPOINT
    if path.suffix != Path(CHECKPOINT).suffix:
        load_trainable(network, path)
        return [f"the weights {models.load(models.find(path)).bundle_hash.hex()}"]
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    if checkpoint["config"] != network.config.to_dict():
        raise ValueError(f"{path} was trained with other sizes: {checkpoint['config']}")
    network.load_state_dict(network_of(checkpoint).state_dict())
    return [*checkpoint["history"], f"{checkpoint['step']:,} steps, {checkpoint['pixels'] / 1e9:.2f} gigapixels, "
            f"{checkpoint['seconds'] / 3600:.2f} hours"]


@torch.no_grad()
def validate(network: Network, folder: Path, device: torch.device, precision: str) -> list[tuple[int, float, float]]:
    """`(level, bits per pixel, PSNR)` means over a folder: rates as estimated by the model, rounded latents."""
    network.eval()
    results = []
    pictures = list(validation_pictures(folder))
    if not pictures:
        raise FileNotFoundError(f"no picture below {folder} can be validated on; it takes 64x64 pixels or more")
    for level in VALIDATION_LEVELS:
        rates, psnrs = [], []
        for picture in pictures:
            picture = picture.to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                output = network(picture, torch.tensor([level], device=device))
            reached = (output.picture.clamp(-0.5, 0.5) * 255).round() / 255
            rates.append(float(output.bits_y.sum() + output.bits_z.sum()) / picture[0, 0].numel())
            psnrs.append(float(-10 * torch.log10((reached - picture).square().mean())))
        results.append((level, sum(rates) / len(rates), sum(psnrs) / len(psnrs)))
    network.train()
    return results


class Trainer:
    """One run in one folder. Making it again over the same folder resumes it."""

    def __init__(self, options: TrainingOptions) -> None:
        self.options = options
        self.accelerator = Accelerator(mixed_precision=options.precision)
        self.device = self.accelerator.device
        options.out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(options.seed)
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True
        largest = max(options.crop, options.early_crop or 0)
        self.bank = PictureBank.load(options.data, largest, self.device, options.seed,
                                     drawings=options.drawings)
        self.network = Network(options.config)
        self.step, self.seconds, self.pixels, self.bad_steps = 0, 0.0, 0, 0
        self.history: list[str] = []
        self.validated_at = -1
        path = options.out / CHECKPOINT
        if not path.exists():
            if options.start_from:
                self.history = start_from(self.network, options.start_from)
                self.fit_rounding()
            else:
                sample = torch.cat([self.bank.batch([options.seed, n], 32, 256 if largest >= 256 else largest)
                                    for n in range(8)])
                self.network.start(sample.cpu())
        if options.decoder_only:
            self.network.freeze_encoder()
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = Average(self.network, options.ema)
        self.optimisers = build_optimisers(self.network, options.rate)
        if path.exists():
            self.load(path)
        if self.accelerator.is_main_process:
            for name in ("run.csv", "validation.csv"):
                forget_rows(options.out / name, self.step)
        prepared = self.accelerator.prepare(self.network, *self.optimisers)
        self.model: nn.Module = prepared[0]
        self.runner = torch.compile(self.model) if options.compile else self.model

    def fit_rounding(self) -> None:
        """Round as the shipped encoder will, so that the decoder learns from the symbols it will meet."""
        from .export import freeze, spread

        fitted = freeze(self.network, spread(find_pictures(self.options.data), FIT_PICTURES))
        self.network.rounding.channels.copy_(fitted.rounding.channels)
        self.network.rounding.tables.copy_(fitted.rounding.tables)

    # -- state ------------------------------------------------------------------------------------------------

    def save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        write_atomically(self.options.out / CHECKPOINT, {
            "network": self.network.state_dict(), "average": self.average.values,
            "average_updates": self.average.updates, "optimisers": [o.state_dict() for o in self.optimisers],
            "rounding": dict(self.network.rounding.named_buffers()),
            "step": self.step, "seconds": self.seconds, "pixels": self.pixels, "history": self.history,
            "options": self.options.as_text(), "config": self.options.config.to_dict(),
            "photos": self.bank.photos, "skipped": [p.name for p in self.bank.skipped],
        })

    def load(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["config"] != self.options.config.to_dict():
            raise ValueError(f"{path} was trained with other sizes; choose another --out or remove it")
        self.network.load_state_dict(state["network"])
        for name, saved in state.get("rounding", {}).items():  # older checkpoints were never fitted
            self.network.rounding.get_buffer(name).copy_(saved)
        for value, saved in zip(self.average.values, state["average"], strict=True):
            value.copy_(saved)
        self.average.updates = state["average_updates"]
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            rates = [group["base_lr"] for group in optimiser.param_groups]
            optimiser.load_state_dict(saved)
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["base_lr"] = rate  # of this command, not of the one that was broken off
        self.step, self.seconds, self.pixels = state["step"], state["seconds"], state["pixels"]
        self.history = state["history"]

    # -- a step -----------------------------------------------------------------------------------------------

    def progress(self) -> float:
        """How much of the run is done, 0..1."""
        if self.options.minutes is not None:
            return self.seconds / 60 / self.options.minutes
        return self.step / self.options.steps

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The crops and levels of a step, a function of seed, step and process alone: what makes resuming exact."""
        options = self.options
        early = options.early_crop is not None and self.progress() < options.early_share
        size = options.early_crop if early and options.early_crop else options.crop
        seed = [options.seed, step, self.accelerator.process_index]
        crops = self.bank.batch(seed, options.batch, size)
        # Stratified levels: every batch spans the whole range of qualities.
        generator = torch.Generator().manual_seed(hash(tuple(seed)) & 0x7FFFFFFF)
        strata = (torch.arange(options.batch) + torch.rand(options.batch, generator=generator)) / options.batch
        return crops, (strata * LEVELS).long().clamp(0, LEVELS - 1).to(self.device)

    def train_step(self, crops: Tensor, level: Tensor) -> dict[str, float] | None:
        """One update; None if the gradient was unusable and the step was skipped."""
        torch.manual_seed((self.options.seed * 1_000_003 + self.step) * 64 + self.accelerator.process_index)
        factor = schedule(self.optimisers, self.step, self.progress())
        self.network.dither.fill_(DITHER + (LAST_DITHER - DITHER) * min(self.progress(), 1.0))
        with self.accelerator.autocast():
            output = self.runner(crops, level)
        objective = rate_distortion(output, crops, level)
        self.accelerator.backward(objective.loss + roughness(self.network))
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), CLIP_NORM))
        usable = norm <= MAX_NORM  # False for NaN, too
        if usable:
            for optimiser in self.optimisers:
                optimiser.step()
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        if not usable:
            return None
        return {"loss": float(objective.loss.detach()), "bpp": float(objective.bpp), "bpp_z": float(objective.bpp_z),
                "psnr": float(objective.psnr), "gradient_norm": norm, "rate_factor": factor}

    # -- the run ----------------------------------------------------------------------------------------------

    def report_validation(self) -> None:
        options = self.options
        if options.validation is None or not self.accelerator.is_main_process:
            return
        self.average.swap(self.network)
        self.validated_at = self.step
        results = validate(self.network, options.validation, self.device, options.precision)
        self.average.swap(self.network)
        row: dict[str, Any] = {"step": self.step, "minutes": round(self.seconds / 60, 2), "pixels": self.pixels}
        for level, rate, psnr in results:
            row[f"bpp_{level}"], row[f"psnr_{level}"] = round(rate, 4), round(psnr, 3)
        append_row(options.out / "validation.csv", row)
        print(f"step {self.step}: " + "  ".join(f"{rate:.3f}/{psnr:.2f}" for _, rate, psnr in results), flush=True)

    def run(self) -> None:
        """Train until the schedule ends. KeyboardInterrupt saves first."""
        options = self.options
        writer = None
        if self.accelerator.is_main_process:
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(str(options.out / "tensorboard"))
        if self.bank.skipped:
            print(f"{len(self.bank.skipped)} files skipped, the first: {self.bank.skipped[0]}", flush=True)
        drawings = len(self.bank) - self.bank.photos
        print(f"{self.bank.photos} photos, {drawings} drawings, {len(self.bank.pixels) / 3e6:.0f} megapixels in memory",
              flush=True)
        bar = Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
                       disable=not self.accelerator.is_main_process)
        window: list[dict[str, float]] = []
        try:
            with bar:
                task = bar.add_task("training", total=1.0)
                while self.progress() < 1.0:
                    began = time.perf_counter()
                    crops, level = self.batch(self.step)
                    result = self.train_step(crops, level)
                    if result is None:
                        self.bad_steps += 1
                        print(f"step {self.step}: gradient not finite or far too large, skipped", flush=True)
                        if self.bad_steps >= MAX_BAD_STEPS and (options.out / CHECKPOINT).exists():
                            kept = self.step
                            self.load(options.out / CHECKPOINT)
                            self.step = kept  # go on with other crops than those that led here
                            self.bad_steps = 0
                    else:
                        self.bad_steps = 0
                        window.append(result)
                    self.step += 1
                    self.pixels += crops.shape[0] * crops.shape[2] * crops.shape[3] * self.accelerator.num_processes
                    if self.step % Average.EVERY == 0:
                        self.average.update(self.network)
                    self.seconds += min(time.perf_counter() - began, MAX_STEP_SECONDS)
                    bar.update(task, completed=self.progress(), description=self._describe(window))
                    if self.step % 50 == 0 and window and writer:
                        mean = {k: sum(r[k] for r in window) / len(window) for k in window[0]}
                        append_row(options.out / "run.csv", {
                            "step": self.step, "minutes": round(self.seconds / 60, 3), "pixels": self.pixels,
                            **{k: round(v, 5) for k, v in mean.items()}})
                        for key, value in mean.items():
                            writer.add_scalar(key, value, self.step)
                        window = []
                    if self.step % options.checkpoint_every == 0:
                        self.save()
                    if self.step % options.validate_every == 0:
                        self.report_validation()
        except KeyboardInterrupt:
            self.save()
            print(f"stopped at step {self.step}; the same command goes on from there", flush=True)
            raise
        finally:
            if writer:
                writer.close()
        self.save()
        if self.validated_at != self.step:
            self.report_validation()

    def _describe(self, window: list[dict[str, float]]) -> str:
        recent = list(itertools.islice(reversed(window), 1))
        text = f"step {self.step}"
        if recent:
            text += f"  {recent[0]['bpp']:.3f} bpp  {recent[0]['psnr']:.2f} dB"
        return text


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
