"""The commands that only look: `aecodec info`, `test`, `compare` and `models`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .. import files
from ..errors import AecError
from ..format import container
from ..format.constants import EXPERIMENTAL_ID
from ..jobs import loading, local, sources
from ..jobs.local import Outcome, Task
from . import reporting
from .options import COUNT, JOBS, Existing, device_options, inputs_argument
from .reporting import FAILED, Reporter, exit_code


@click.command()
@click.argument("input", metavar="FILE", type=Existing)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(input: Path, as_json: bool) -> None:
    """Show what an .aec file holds, without decoding it. Its checksums are checked."""
    data = files.read_bytes(input)
    try:
        file = container.read_file(data, known_boxes=None)
    except AecError as error:
        raise sources.named(input, error) from None
    header = file.header
    facts = {
        "file": files.shown(input), "bytes": len(data), "width": header.width, "height": header.height,
        "mode": sources.mode_of(file), "bits_per_pixel": round(sources.bits_per_pixel(header, len(data)), 4),
        "quality": header.quality, "level": header.level,
        "model": f"{header.model_id:#06x}", "experimental_model": header.experimental,
        "weights": header.bundle_hash.hex(), "symbol_crc": f"{header.symbol_crc:08x}",
        "payload_bytes": header.payload_length, "boxes": {box.kind: len(box.data) for box in file.boxes},
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for key, value in facts.items():
        shown = ", ".join(f"{k} ({v} bytes)" for k, v in value.items()) or "none" if isinstance(value, dict) else value
        click.echo(f"{key.replace('_', ' ')}: {shown}")


@click.command()
@inputs_argument
@click.option("-r", "--recursive", is_flag=True, help="Take the .aec files in folders.")
@click.option("--jobs", type=COUNT, metavar="N", help=f"Files worked on at a time.  [default: {JOBS}]")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@device_options
def test(inputs: tuple[Path, ...], recursive: bool, jobs: int | None, quiet: bool, model: str | None, device: str,
         threads: int | None, limit_pixels: int | None) -> None:
    """Test whether .aec files are whole, without writing anything.

    All files are tested. The exit code is 0 if all are whole, 3 or 4 if that is what is wrong with each of the others,
    else 1.
    """
    tasks = [Task(source, source) for source, _ in local.gather(inputs, recursive, sources.is_aec)]
    reporting.found(tasks, ".aec files")
    jobs = jobs or min(JOBS, len(tasks))
    codec = loading.LoadedWhenUsed(device, model, threads, limit_pixels, jobs)
    codes: set[int] = set()

    def work(task: Task) -> Outcome:
        data = files.read_bytes(task.source)
        try:
            file = sources.check(data, limit_pixels)
            codec().decode(data, output="array")
        except AecError as error:
            raise sources.named(task.source, error) from None
        header = file.header
        size = f"{header.width}x{header.height}"
        return Outcome(task, None, f"{files.shown(task.source)}: whole, {size} {sources.mode_of(file)}")

    with Reporter(len(tasks), quiet, True) as reporter:
        for outcome in local.run(tasks, work, jobs):
            reporter.report(outcome)
            if outcome.error is not None:
                codes.add(exit_code(outcome.error))
    if codes:
        raise click.exceptions.Exit(codes.pop() if len(codes) == 1 else FAILED)


@click.command()
@click.argument("first", metavar="A", type=Existing)
@click.argument("second", metavar="B", type=Existing)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@device_options
def compare(first: Path, second: Path, as_json: bool, model: str | None, device: str, threads: int | None,
            limit_pixels: int | None) -> None:
    """Compare two pictures: sizes, PSNR, MS-SSIM.

    Each is an .aec file or any other picture. What is measured is 8-bit RGB. Orientation is applied; profiles are not.
    """
    import numpy as np

    from .. import metrics
    from ..picture import reading

    codec = loading.LoadedWhenUsed(device, model, threads, limit_pixels, 1)
    pictures, sizes = [], []
    for path in (first, second):
        data = files.read_bytes(path)
        sizes.append(len(data))
        if data.startswith(container.MAGIC):
            try:
                sources.check(data, limit_pixels)
                pictures.append(reading.read(codec().decode(data)))
            except AecError as error:
                raise sources.named(path, error) from None
        else:
            pictures.append(sources.read_picture(path, data, limit_pixels))
    a, b = pictures
    if a.pixels.shape != b.pixels.shape:
        raise AecError(f"{files.shown(first)} is {a.pixels.shape[1]}x{a.pixels.shape[0]} and {files.shown(second)} "
                       f"{b.pixels.shape[1]}x{b.pixels.shape[0]}; only pictures of one size can be compared")
    height, width = a.pixels.shape[:2]
    opaque = np.full((height, width), 255, np.uint8)
    alphas = [opaque if p.alpha is None else p.alpha for p in pictures]
    psnr = metrics.psnr(a.pixels, b.pixels)
    ms_ssim = metrics.ms_ssim(a.pixels, b.pixels) if min(height, width) >= metrics.MS_SSIM_SIDE else None
    alpha = metrics.psnr(*alphas)
    equal = float("inf")
    if as_json:
        click.echo(json.dumps({
            "width": width, "height": height, "bytes": sizes,
            "bits_per_pixel": [round(8 * size / (width * height), 4) for size in sizes],
            "equal": psnr == equal, "psnr": None if psnr == equal else round(psnr, 4),
            "ms_ssim": None if ms_ssim is None else round(ms_ssim, 6), "alpha_equal": alpha == equal,
        }, indent=2))
        return
    for path, size in zip((first, second), sizes, strict=True):
        click.echo(f"{files.shown(path)}: {size:,} bytes, {8 * size / (width * height):.3f} bits per pixel")
    click.echo(f"{width}x{height}, " + ("the same pixels" if psnr == equal else f"PSNR {psnr:.2f} dB")
               + (", too small for MS-SSIM" if ms_ssim is None else f", MS-SSIM {ms_ssim:.5f}")
               + ("" if alpha == equal else f", transparency {alpha:.2f} dB"))


@click.command()
def models() -> None:
    """List the models that come with the package."""
    from .. import models as shelf

    for info in shelf.shipped():
        default = ", the default" if info.name == shelf.DEFAULT_MODEL else ""
        state = "experimental" if info.id >= EXPERIMENTAL_ID else "frozen"
        click.echo(f"{info.name}: id {info.id:#06x} ({state}){default}, weights "
                   f"{shelf.load(info).bundle_hash.hex()}, {info.path.stat().st_size:,} bytes\n  {info.path}")
    if not shelf.shipped():
        raise AecError(f"no weights in {shelf.weights_folder()}; install aecodec again")
