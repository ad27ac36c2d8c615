"""`aecodec compress`."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from .. import files
from ..errors import AecError
from ..format.constants import TUNES
from ..jobs import loading, sources
from ..jobs.compress import Compress
from ..jobs.local import Outcome
from ..jobs.plan import Outputs
from ..jobs.storage import Location
from . import reporting
from .options import (
    Batch,
    Sigma,
    Size,
    Within,
    batch_options,
    cluster_options,
    device_options,
    inputs_argument,
    output_options,
    output_plan,
)
from .request import Request
from .restore import denoised, denoised_words


@click.command()
@inputs_argument
@click.option("-q", "--quality", type=Within(click.FloatRange(0, 100)), metavar="Q",
              help="0 smallest .. 100 best picture.  [default: 50]")
@click.option("--target-size", type=Size(), metavar="SIZE", help="Best quality in SIZE bytes (200k, 1.5M, 64Ki).")
@click.option("--target-bpp", type=Within(click.FloatRange(0, min_open=True)), metavar="BITS",
              help="Best quality in that many bits per pixel.")
@click.option("--target-psnr", type=float, metavar="DB", help="Smallest file with this PSNR (30 fair .. 45 fine).")
@click.option("--target-ssimulacra2", type=float, metavar="N", help="Smallest with this score (70 good .. 90 fine).")
@click.option("--lossless/--lossy", default=None, help="Keep every pixel.  [default: if that is smaller]")
@click.option("--tune", type=click.Choice(TUNES), default=TUNES[0], metavar="|".join(TUNES),
              help="For the eye, or for PSNR.  [default: visual]")
@output_options
@click.option("--denoise", type=Sigma(), metavar="auto|SIGMA", help="Take noise out first; auto finds its strength.")
@click.option("--strip", is_flag=True, help="Leave out EXIF, XMP and the HDR gain map.")
@click.option("--verify", is_flag=True, help="Read back, decode and compare what is written.")
@batch_options
@cluster_options
@device_options
def compress(inputs: tuple[Location, ...], quality: float | None, target_size: int | None, target_bpp: float | None,
             target_psnr: float | None, target_ssimulacra2: float | None, lossless: bool | None, tune: str,
             output: Location | None, output_dir: Location | None, force: bool, skip_existing: bool, no_preserve: bool,
             denoise: Any, strip: bool, verify: bool, ray: str | None, manifest: Location | None, column: str | None,
             model: str | None, device: str, engine: str, threads: int | None, limit_pixels: int | None,
             **batch_flags: Any) -> None:
    """Compress pictures to .aec files beside them. FILE - is standard input.
    They may be URLs: s3://photos/a.png, or s3://photos/ for all below it.
    """
    from .. import models
    from ..goals import Goal

    wanted = (quality, target_size, target_bpp, target_psnr, target_ssimulacra2, lossless or None)
    if sum(value is not None for value in wanted) > 1:
        raise click.UsageError("--quality, --target-size, --target-bpp, --target-psnr, --target-ssimulacra2 and "
                               "--lossless exclude each other")
    tunes = models.find(model).tunes
    if tune not in tunes:
        raise click.UsageError(f"the model has no tune {tune}; choose {' or '.join(tunes)}")
    if output is not None:
        _check_name(output)
    goal = Goal(quality, None, target_size, target_bpp, target_psnr, target_ssimulacra2,
                "auto" if lossless is None else lossless, tune)
    removal = None if denoise is None else partial(denoised, sigma=denoise)
    batch = Batch(threads=threads, **batch_flags)
    request = Request(inputs, output, output_dir, batch, force, skip_existing, not no_preserve, device, threads,
                      ray, manifest, column)
    if request.about_objects:
        from . import objects

        codec = request.codec(model, limit_pixels, engine)
        weights = models.load(models.find(model)).bundle_hash.hex()
        work = Compress(codec, goal, strip, verify, denoise=removal)
        objects.work_through(request, work, sources.not_a_picture, sources.ENDING, weights, "compressed", "pictures")
        return
    paths, output, output_dir = request.paths()
    outputs = Outputs(sources.ENDING, output, output_dir, force, skip_existing)
    plan = output_plan(paths, batch.recursive, sources.not_a_picture, outputs, sources.readable_picture)
    codec = loading.LoadedWhenUsed(device, model, threads, limit_pixels, batch.jobs_for(len(plan.tasks)), engine,
                                   len(plan.tasks))
    work = Compress(codec, goal, strip, verify, force, skip_existing, not no_preserve, removal)

    def line(outcome: Outcome) -> str:
        return _line(outcome, goal.searched)

    reporting.work_through(plan, work, batch, line, "compressed", "pictures")


def _check_name(output: Location) -> None:
    from ..picture import kinds, saving

    ending = output.suffix.lower()
    if ending in saving.FORMATS or ending in kinds.RAW_ENDINGS or (
            ending and ending != sources.ENDING and ending in sources.picture_endings()):
        raise AecError(f"{files.shown(output)} would be an .aec file under another format's name; "
                       f"name it {files.shown(output.with_suffix(sources.ENDING))}")


def _line(outcome: Outcome, searched: bool) -> str:
    facts, before, after = outcome.facts, outcome.bytes_read, outcome.bytes_written
    told = [f"{facts['width']}x{facts['height']}", f"{before:,} to {after:,} bytes ({before / after:.1f}:1)",
            f"{facts['bits_per_pixel']:.3f} bits per pixel"]
    if facts["quality"] is None:
        told.append("lossless" if facts["lossy_bytes"] is None else
                    f"lossless, as {facts['lossy_bytes']:,} bytes would be lossy (--lossy has them)")
    elif searched:
        told.append(f"quality {facts['quality']:g} after {facts['encodes']} encodes")
    if facts["psnr"] is not None:
        told.append(f"{facts['psnr']:.2f} dB")
    if facts["ssimulacra2"] is not None:
        told.append(f"SSIMULACRA2 {facts['ssimulacra2']:.2f}")
    if facts["verified"]:
        equal = facts["verified_psnr"] is None
        told.append("verified (every pixel)" if equal else f"verified ({facts['verified_psnr']:.2f} dB)")
    if "sigma" in facts:
        told.append(denoised_words(outcome))
    told.append(f"{facts['seconds']:.2f} s")
    return f"{files.shown(outcome.task.target, True)}: {', '.join(told)}"
