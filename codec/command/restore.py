"""`aecodec denoise` and `aecodec inpaint`: what latents know of pictures, put to use."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import files
from ..errors import AecError
from ..jobs import loading, sources
from ..jobs.local import Outcome
from ..jobs.plan import Outputs
from ..jobs.restore import Restoration, Restore
from ..jobs.storage import Location
from . import reporting
from .decompress import FORMATS, format_and_ending
from .options import (
    Batch,
    Existing,
    Sigma,
    Within,
    batch_options,
    device_options,
    inputs_argument,
    output_options,
    output_plan,
    several,
)
from .request import Request

if TYPE_CHECKING:
    from ..api import Codec
    from ..picture.reading import Picture

format_options = several(
    click.option("--format", "format_", type=click.Choice(FORMATS), metavar="NAME",
                 help="png jpg webp tiff bmp ppm avif jxl  [default: png]"),
    click.option("-q", "--quality", type=Within(click.IntRange(1, 100)), metavar="Q",
                 help="1..100, of a lossy format.  [default: 95, avif 90]"),
)


@click.command()
@inputs_argument
@click.option("--sigma", type=Sigma(), default="auto", metavar="auto|SIGMA",
              help="Standard deviation of the noise, of pixels of 0..255.  [default: auto]")
@output_options
@format_options
@batch_options
@device_options
def denoise(inputs: tuple[Location, ...], sigma: Any, **options: Any) -> None:
    """Take the noise out of pictures. FILE - is standard input.

    photo.jpg becomes photo.denoised.png. Where no noise is found, pixels stay as they are.
    """
    _restore(inputs, partial(denoised, sigma=sigma), "denoised", denoised_words, **options)


def denoised(codec: Codec, picture: Picture, progress: Any, sigma: Any) -> tuple[Picture, dict[str, Any]]:
    """A picture without its noise, and how strong that was: see `jobs.restore.Restoration`."""
    from ..latents.denoise import denoise_picture

    restored, noise = denoise_picture(codec, picture, sigma, progress)
    return restored, {"sigma": round(noise.deviation, 2)}


def denoised_words(outcome: Outcome) -> str:
    """What was done about noise."""
    sigma = outcome.facts["sigma"]
    return f"noise of sigma {sigma:.1f} taken out" if sigma else "no noise found"


@click.command()
@click.argument("picture", metavar="FILE", type=Existing)
@click.option("--mask", type=Existing, required=True, metavar="PICTURE",
              help="A picture of the same size: what is not black in it is filled in.")
@output_options
@format_options
@batch_options
@device_options
def inpaint(picture: Path, mask: Path, **options: Any) -> None:
    """Fill in missing parts of a picture, from what is around them.

    photo.jpg becomes photo.inpainted.png. Edges and gradients are continued; no objects are invented.
    """
    missing = sources.read_picture(mask, files.read_bytes(mask), options["limit_pixels"]).pixels.any(axis=2)
    _restore((picture,), partial(_inpainted, missing=missing, mask=mask), "inpainted", _inpainted_line, **options)


def _inpainted(codec: Codec, picture: Picture, progress: Any, missing: Any, mask: Path,
               ) -> tuple[Picture, dict[str, Any]]:
    from ..latents.inpaint import inpaint_picture

    try:
        return inpaint_picture(codec, picture, missing, progress), {"share": round(float(missing.mean()), 4)}
    except ValueError as error:
        raise AecError(f"{files.shown(mask)}: {error}") from None


def _inpainted_line(outcome: Outcome) -> str:
    return f"{100 * outcome.facts['share']:.1f} % filled in"


def _restore(inputs: tuple[Location, ...], restoration: Restoration, verb: str, told: Any, output: Location | None,
             output_dir: Location | None, force: bool, skip_existing: bool, no_preserve: bool, format_: str | None,
             quality: int | None, model: str | None, device: str, engine: str, threads: int | None,
             limit_pixels: int | None, **batch_flags: Any) -> None:
    """Do something to pictures, and write them as pictures."""
    from ..picture import saving

    name, ending = format_and_ending(output, None, format_, f".{verb}")
    if quality is not None and name not in saving.QUALITIES:
        raise click.UsageError(f"--quality is for lossy formats, and {name} is none")
    saving.prepare(name)
    batch = Batch(threads=threads, **batch_flags)
    request = Request(inputs, output, output_dir, batch, force, skip_existing, not no_preserve, device, threads)
    if request.about_objects:
        raise click.UsageError("pictures are restored on this machine alone; copy them from their store first")
    paths, output, output_dir = request.paths()
    outputs = Outputs(ending, output, output_dir, force, skip_existing)
    plan = output_plan(paths, batch.recursive, sources.not_a_picture, outputs, sources.readable_picture)
    codec = loading.LoadedWhenUsed(device, model, threads, limit_pixels, batch.jobs_for(len(plan.tasks)), engine,
                                   len(plan.tasks))
    work = Restore(codec, restoration, name, quality, force, skip_existing, not no_preserve)

    def line(outcome: Outcome) -> str:
        facts = outcome.facts
        return (f"{files.shown(outcome.task.target, True)}: {facts['width']}x{facts['height']}, {told(outcome)}, "
                f"{facts['seconds']:.2f} s")

    reporting.work_through(plan, work, batch, line, verb, "pictures")
