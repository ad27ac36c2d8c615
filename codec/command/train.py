"""`aecodec train` and `aecodec export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import files
from ..errors import AecError, MissingPackage
from ..format.constants import EXPERIMENTAL_ID
from .options import Existing


@click.command()
@click.option("--data", type=Existing, required=True, help="Folder of training photos.")
@click.option("--out", type=Existing, required=True, help="Folder of the run; the same one again resumes it.")
@click.option("--recipe", default="small", show_default=True, metavar="NAME|FILE",
              help="What is trained and how: small, psnr, or a TOML file.")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.ENTRY=VALUE",
              help="Change an entry of the recipe, such as phases.decay.rate=0.5; may be repeated.")
@click.option("--steps", type=click.IntRange(1),
              help="Length of the plateau or decay; without, a plateau goes on until it is stopped.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Length in training time, instead of steps.")
@click.option("--branch", type=Existing, metavar="RUN",
              help="Begin a decay to zero rates from a plateau's folder or checkpoint, which is left as it is.")
@click.option("--start-from", type=Existing, metavar="FILE", help="Weights, or a checkpoint, to begin a plateau with.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--validation", type=Existing, help="Folder of pictures to measure on now and then.")
def train(recipe: str, overrides: tuple[str, ...], **options: Any) -> None:
    """Train a model, or go on with a training that was broken off.

    A plateau trains at constant rates; a decay, branched from it, gives weights to export. Runs on the CPU, on a GPU,
    or on many with `accelerate launch` or `torchrun`.
    """
    if not options["data"].is_dir():
        raise AecError(f"{options['data']} is not a folder; --data takes the folder of your training photos")
    if options["steps"] and options["minutes"]:
        raise click.UsageError("--steps and --minutes exclude each other")
    _need_train_extra()
    from ..training import loop
    from ..training import recipe as recipes

    try:
        loop.train(loop.TrainingOptions(recipe=recipes.load(recipe, overrides), **options))
    except (ValueError, FileNotFoundError) as error:
        raise AecError(str(error)) from None


@click.command()
@click.argument("checkpoint", type=Existing)
@click.option("--graphs", is_flag=True, help="CHECKPOINT is a folder with weights: make its ONNX graphs only.")
@click.option("--heads", is_flag=True,
              help="CHECKPOINT is a folder with weights: fit what makes thumbnails and finds noise to --data only.")
@click.option("--out", type=Existing, help="Folder for the weights and the model card.")
@click.option("--data", type=Existing, help="Training photos, to fit the probability tables to.")
@click.option("--name", default="small", show_default=True, help="Name of the model.")
@click.option("--id", "model_id", type=click.IntRange(EXPERIMENTAL_ID, 0xFFFF), default=EXPERIMENTAL_ID,
              show_default=True,
              help="Model id; experimental ones start at 61440.")
@click.option("--evaluate", type=Existing, help="Folder of pictures for the card's rate-distortion table.")
@click.option("--notes", type=Existing, help="Text file to put into the card.")
def export(checkpoint: Path, graphs: bool, heads: bool, out: Path | None, data: Path | None, name: str, model_id: int,
           evaluate: Path | None, notes: Path | None) -> None:
    """Turn a training CHECKPOINT (or its run folder) into weights that the codec loads, with their ONNX graphs."""
    if graphs:
        _export_graphs(checkpoint)
        return
    if heads:
        _export_heads(checkpoint, data)
        return
    if out is None or data is None:
        raise click.UsageError("export needs --out and --data")
    _need_train_extra()
    from ..training import export as exporter

    text = files.read_bytes(notes).decode(errors="replace") if notes else ""
    try:
        points = exporter.export(checkpoint, out, name, data, model_id, evaluate, text)
    except (ValueError, FileNotFoundError) as error:
        raise AecError(str(error)) from None
    for point in points:
        click.echo(f"level {point.level}: {point.bpp:.4f} bits per pixel, {point.psnr:.3f} dB")
    click.echo(f"{out / 'weights.safetensors'} written")


def _export_graphs(folder: Path) -> None:
    _need_train_extra()
    from .. import models
    from ..engine.onnx_export import export_graphs

    info = models.find(folder)
    export_graphs(info.config, info.path.parent)
    click.echo(f"graphs written into {info.path.parent}")


def _export_heads(folder: Path, data: Path | None) -> None:
    if data is None:
        raise click.UsageError("export --heads needs --data")
    _need_train_extra()
    from .. import models
    from ..training.heads import CROP, add_heads

    path = models.find(folder).path
    try:
        photos = add_heads(path, data)
    except (ValueError, FileNotFoundError) as error:
        raise AecError(str(error)) from None
    if not photos:
        raise AecError(f"no photo in {data} has {CROP} pixels each way; name a folder of larger ones")
    click.echo(f"heads, fitted to {photos} photos, written into {path}")


def _need_train_extra() -> None:
    from importlib.util import find_spec

    for package in ("torch", "onnx", "accelerate", "tensorboard"):
        if find_spec(package) is None:
            raise MissingPackage(f"training and export need {package}; install it with: "
                                 "python3 -m pip install 'aecodec[train]'")
