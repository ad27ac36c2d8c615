"""`aecodec train` and `aecodec export`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .. import files
from ..errors import AecError
from ..format.constants import EXPERIMENTAL_ID
from .options import Existing


@click.command()
@click.option("--data", type=Existing, required=True, help="Folder of training photos.")
@click.option("--out", type=Existing, required=True, help="Folder of the run; the same one again resumes it.")
@click.option("--steps", type=click.IntRange(1), default=100_000, show_default=True, help="Length of the schedule.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Length in training time, instead of steps.")
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="Crops per step and process.")
@click.option("--crop", type=click.IntRange(64), default=256, show_default=True,
              help="Side of a crop, a multiple of 64.")
@click.option("--early-crop", type=click.IntRange(64), help="Side of a crop for the first part of the run.")
@click.option("--early-share", type=click.FloatRange(0, 1), default=0.5, show_default=True,
              help="How long that part is.")
@click.option("--drawings", type=click.FloatRange(0, 0.5), default=0.02, show_default=True,
              help="Share of generated text and graphics among the pictures.")
@click.option("--rate", type=float, default=1.0, show_default=True, help="Factor on the learning rates.")
@click.option("--ema", type=click.FloatRange(0, 1), default=0.999, show_default=True, help="Decay of averaged weights.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--precision", type=click.Choice(["bf16", "no"]), default="bf16", show_default=True,
              help="Mixed precision, or float32.")
@click.option("--compile", is_flag=True, help="Compile the network (pays on a GPU).")
@click.option("--validation", type=Existing, help="Folder of pictures to measure on now and then.")
@click.option("--validate-every", type=click.IntRange(1), default=2000, show_default=True, metavar="STEPS")
@click.option("--checkpoint-every", type=click.IntRange(1), default=500, show_default=True, metavar="STEPS")
@click.option("--start-from", type=Existing, metavar="FILE", help="Weights, or a checkpoint, to go on from.")
@click.option("--decoder-only", is_flag=True, help="Train synthesis and means on the symbols there are: a last phase.")
@click.option("--config", "config", default="{}", metavar="JSON", help='Sizes, such as {"channels": 256}.')
def train(config: str, **options: Any) -> None:
    """Train a model, or go on with a training that was broken off.

    Runs on the CPU, on a GPU, or on many with `accelerate launch` or `torchrun`.
    """
    for name in ("crop", "early_crop"):
        if options[name] and options[name] % 64:
            raise click.UsageError(f"--{name.replace('_', '-')} must be a multiple of 64")
    if not options["data"].is_dir():
        raise AecError(f"{options['data']} is not a folder; --data takes the folder of your training photos")
    _need_train_extra()
    from ..network.model import ModelConfig
    from ..training import loop

    try:
        sizes = ModelConfig.from_dict(json.loads(config))
        loop.train(loop.TrainingOptions(config=sizes, **options))
    except (ValueError, FileNotFoundError) as error:
        raise AecError(str(error)) from None


@click.command()
@click.argument("checkpoint", type=Existing)
@click.option("--out", type=Existing, required=True, help="Folder for the weights and the model card.")
@click.option("--data", type=Existing, required=True, help="Training photos, to fit the probability tables to.")
@click.option("--name", default="small", show_default=True, help="Name of the model.")
@click.option("--id", "model_id", type=click.IntRange(EXPERIMENTAL_ID, 0xFFFF), default=EXPERIMENTAL_ID,
              show_default=True,
              help="Model id; experimental ones start at 61440.")
@click.option("--evaluate", type=Existing, help="Folder of pictures for the card's rate-distortion table.")
@click.option("--notes", type=Existing, help="Text file to put into the card.")
def export(checkpoint: Path, out: Path, data: Path, name: str, model_id: int, evaluate: Path | None,
           notes: Path | None) -> None:
    """Turn a training CHECKPOINT (or its run folder) into weights that the codec loads."""
    _need_train_extra()
    from ..training import export as exporter
    from ..training.loop import CHECKPOINT

    path = checkpoint / CHECKPOINT if checkpoint.is_dir() else checkpoint
    if not path.is_file():
        raise AecError(f"{path} does not exist; name the checkpoint or the --out folder of a training")
    text = files.read_bytes(notes).decode() if notes else ""
    try:
        points = exporter.export(path, out, name, data, model_id, evaluate, text)
    except (ValueError, FileNotFoundError) as error:
        raise AecError(str(error)) from None
    for point in points:
        click.echo(f"level {point.level}: {point.bpp:.4f} bits per pixel, {point.psnr:.3f} dB")
    click.echo(f"{out / 'weights.safetensors'} written")


def _need_train_extra() -> None:
    from importlib.util import find_spec

    for package in ("accelerate", "tensorboard", "compressai"):
        if find_spec(package) is None:
            raise AecError(f"training needs {package}; install what it needs with: pip install 'aecodec[train]'")
