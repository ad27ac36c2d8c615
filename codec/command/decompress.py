"""`aecodec decompress`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import files
from ..errors import AecError
from ..jobs import loading, sources
from ..jobs.decompress import Decompress
from ..jobs.local import Outcome
from ..jobs.plan import Outputs
from ..jobs.storage import Location
from . import reporting
from .options import (
    COUNT,
    Batch,
    Within,
    batch_options,
    cluster_options,
    device_options,
    inputs_argument,
    output_options,
    output_plan,
)
from .request import Request

FORMATS = ("png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp", "ppm", "avif", "jxl")


@click.command()
@inputs_argument
@output_options
@click.option("--suffix", metavar="TEXT",
              help="In place of .aec in names: .png, _small.  [default: .aec.png]")
@click.option("--format", "format_", type=click.Choice(FORMATS), metavar="NAME",
              help="png jpg webp tiff bmp ppm avif jxl  [default: png]")
@click.option("-q", "--quality", type=Within(click.IntRange(1, 100)), metavar="Q",
              help="1..100, of a lossy format.  [default: 95, avif 90]")
@click.option("--fit", type=COUNT, metavar="N", help="Scale down to fit into N by N pixels.")
@batch_options
@cluster_options
@device_options
def decompress(inputs: tuple[Location, ...], output: Location | None, output_dir: Location | None, force: bool,
               skip_existing: bool, no_preserve: bool, suffix: str | None, format_: str | None, quality: int | None,
               fit: int | None, ray: str | None, manifest: Location | None, column: str | None, model: str | None,
               device: str, engine: str, threads: int | None, limit_pixels: int | None, **batch_flags: Any) -> None:
    """Decompress .aec files to pictures beside them. FILE - is standard input.

    The picture of photo.aec is photo.aec.png: a name that no original has. Files may be URLs,
    as s3://photos/ is for all below it.
    """
    from ..picture import saving

    name, ending = format_and_ending(output, suffix, format_)
    if quality is not None and name not in saving.QUALITIES:
        raise click.UsageError(f"--quality is for lossy formats, and {name} is none")
    saving.prepare(name)
    batch = Batch(threads=threads, **batch_flags)
    request = Request(inputs, output, output_dir, batch, force, skip_existing, not no_preserve, device, threads,
                      ray, manifest, column)
    if request.about_objects:
        from . import objects

        work = Decompress(request.codec(model, limit_pixels, engine), name, quality, fit)
        objects.work_through(request, work, sources.not_aec, ending, None, "decompressed", ".aec files")
        return
    paths, output, output_dir = request.paths()
    outputs = Outputs(ending, output, output_dir, force, skip_existing)
    plan = output_plan(paths, batch.recursive, sources.not_aec, outputs, sources.readable_aec)
    codec = loading.LoadedWhenUsed(device, model, threads, limit_pixels, batch.jobs_for(len(plan.tasks)), engine,
                                   len(plan.tasks))
    work = Decompress(codec, name, quality, fit, force, skip_existing, not no_preserve)
    reporting.work_through(plan, work, batch, _line, "decompressed", ".aec files")


def format_and_ending(output: Location | None, suffix: str | None, format_: str | None,
                      mark: str = sources.ENDING) -> tuple[str, str]:
    """The format of the outputs, as Pillow calls it, and what stands in their names in place of the inputs' endings.

    Args:
        mark: what stands in front of the format's ending, unless a `suffix` was given.
    """
    from ..picture.saving import FORMATS as NAMES

    if suffix is not None and ("/" in suffix or "\\" in suffix):
        raise click.UsageError("--suffix is part of a file name; name a folder with --output-dir")
    named = None if output is None or output == files.STANDARD else output.suffix.lower()
    if named is None and suffix is not None and Path(f"x{suffix}").suffix.lower() in NAMES:
        named = Path(f"x{suffix}").suffix.lower()
    if format_ is None and output not in (None, files.STANDARD) and named not in NAMES:
        assert output is not None
        raise AecError(f"cannot tell the picture format of {files.shown(output)}; name it "
                       f"{files.shown(output.with_suffix('.png'))}, end it in another of "
                       f"{', '.join(NAMES)}, or pass --format")
    if format_ is not None and named in NAMES and NAMES[named] != NAMES[f".{format_}"]:
        right = f"{files.shown(output.with_suffix('.' + format_))}" if output else f"--suffix .{format_}"
        raise AecError(f"{files.shown(output) if output else suffix} is a name for {NAMES[named]}, not for "
                       f"{NAMES[f'.{format_}']}; name it {right}, or leave out --format")
    ending = f".{format_}" if format_ else named or ".png"
    if suffix is None:
        return NAMES[ending], f"{mark}{ending}"
    return NAMES[ending], suffix if named else f"{suffix}{ending}"


def _line(outcome: Outcome) -> str:
    facts = outcome.facts
    return (f"{files.shown(outcome.task.target, True)}: {facts['width']}x{facts['height']}, {outcome.bytes_read:,} to "
            f"{outcome.bytes_written:,} bytes, {facts['seconds']:.2f} s")
