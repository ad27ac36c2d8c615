"""`aecodec compress`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import files
from ..errors import AecError
from ..format import container
from ..format.constants import DEFAULT_QUALITY, level_of
from ..jobs import loading, local, sources
from ..jobs.local import Outcome, Task
from . import reporting
from .options import JOBS, Size, Within, batch_options, device_options, inputs_argument, output_options

if TYPE_CHECKING:
    from ..api import Codec
    from ..picture.reading import Picture
    from ..search import Reached


@click.command()
@inputs_argument
@click.option("-q", "--quality", type=Within(click.FloatRange(0, 100)), metavar="Q",
              help="0 smallest file .. 100 best picture.  [default: 50]")
@click.option("--target-size", type=Size(), metavar="SIZE", help="Best quality in SIZE bytes (200k, 1.5M, 64Ki).")
@click.option("--target-bpp", type=Within(click.FloatRange(0, min_open=True)), metavar="BITS",
              help="Best quality in that many bits per pixel.")
@click.option("--target-psnr", type=float, metavar="DB", help="Smallest file with this PSNR (30 fair .. 45 fine).")
@output_options
@click.option("--strip", is_flag=True, help="Leave out EXIF and XMP.")
@click.option("--verify", is_flag=True, help="Read back, decode and compare what is written.")
@batch_options
@device_options
def compress(inputs: tuple[Path, ...], quality: float | None, target_size: int | None, target_bpp: float | None,
             target_psnr: float | None, output: Path | None, output_dir: Path | None, recursive: bool, force: bool,
             strip: bool, verify: bool, keep_going: bool, jobs: int | None, quiet: bool, verbose: bool,
             model: str | None, device: str, threads: int | None, limit_pixels: int | None) -> None:
    """Compress pictures to .aec files beside them. FILE - is standard input."""
    if sum(value is not None for value in (quality, target_size, target_bpp, target_psnr)) > 1:
        raise click.UsageError("--quality, --target-size, --target-bpp and --target-psnr exclude each other")
    tasks = local.plan(inputs, recursive, lambda path: path.suffix.lower() in sources.picture_endings(), ".aec", output,
                       output_dir, force)
    reporting.found(tasks, "pictures")
    jobs = jobs or min(JOBS, len(tasks))
    codec = loading.LoadedWhenUsed(device, model, threads, limit_pixels, jobs)

    def encode(picture: Picture, timings: dict[str, float]) -> Reached:
        from .. import search

        height, width = picture.pixels.shape[:2]
        if target_psnr is not None:
            return search.for_psnr(codec(), picture, target_psnr, strip)
        if target_size is not None or target_bpp is not None:
            size = target_size or int((target_bpp or 0) * width * height / 8)
            return search.for_size(codec(), picture, size, strip)
        level = level_of(DEFAULT_QUALITY if quality is None else quality)
        return search.Reached(codec().encode_picture(picture, level, strip=strip, timings=timings), level, 1)

    def work(task: Task) -> Outcome:
        data = files.read_bytes(task.source)
        picture = sources.read_picture(task.source, data, limit_pixels)
        local.check_not_itself(task, force)
        timings: dict[str, float] = {}
        decibels: list[float] = []
        codec()  # its loading is not the picture's time
        began = time.perf_counter()
        try:
            reached = encode(picture, timings)
            seconds = time.perf_counter() - began

            def check(written: bytes) -> None:
                decibels.append(_verify(codec(), picture, strip, reached.data, written))

            files.write_file(task.target, lambda file: file.write(reached.data), task.source, check if verify else None)
        except AecError as error:
            raise sources.named(task.source, error) from None
        header = container.read_header(reached.data)[0]
        size = len(reached.data)
        facts = [f"{header.width}x{header.height}", f"{len(data):,} to {size:,} bytes ({len(data) / size:.1f}:1)",
                 f"{sources.bits_per_pixel(header, size):.3f} bits per pixel"]
        if quality is None and (target_size or target_bpp or target_psnr is not None):
            facts.append(f"quality {header.quality:g} after {reached.encodes} encodes")
        if reached.psnr is not None:
            facts.append(f"{reached.psnr:.2f} dB")
        if decibels:
            facts.append(f"verified ({decibels[0]:.2f} dB)")
        facts.append(f"{seconds:.2f} s")
        details = [f"level {header.level}, model {codec().model.name} on {codec().device} in {codec().precision}"]
        details += [reporting.timings_line(timings)] if timings else []
        return Outcome(task, None, f"{files.shown(task.target, True)}: {', '.join(facts)}", details,
                       list(picture.notes), len(data), size)

    reporting.run(tasks, work, reporting.reporter(tasks, quiet, verbose), jobs, keep_going, "compressed")


def _verify(codec: Codec, picture: Picture, strip: bool, data: bytes, written: bytes) -> float:
    """The PSNR of a file that was read back. Raises AecError if it is not the file, or does not hold the picture."""
    import numpy as np

    from .. import metrics
    from ..format import boxes
    from ..picture.alpha import find_alpha

    if written != data:
        raise AecError("what was read back differs from what was written; check the disk")
    decoded = codec.decode(written)
    file = container.read_file(written, boxes.KNOWN)
    height, width = picture.pixels.shape[:2]
    alpha, contents = find_alpha(file.boxes, width, height), boxes.metadata(file.boxes)
    kept = {boxes.ICC: picture.icc, **({} if strip else {boxes.EXIF: picture.exif, boxes.XMP: picture.xmp})}
    same_alpha = picture.alpha is alpha is None or np.array_equal(np.asarray(alpha), np.asarray(picture.alpha))
    if decoded.mode != picture.mode or decoded.size != (width, height) or not same_alpha or (
            contents != {kind: value for kind, value in kept.items() if value}):
        raise AecError("what was decoded is not what was encoded; please report it with `aecodec --version`")
    pixels = np.asarray(decoded.convert("L" if picture.grey else "RGB"))
    return metrics.psnr(picture.pixels[:, :, 0] if picture.grey else picture.pixels, pixels)
