"""`aecodec decompress`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from .. import files
from ..errors import AecError
from ..jobs import loading, local, sources
from ..jobs.local import Outcome, Task
from . import reporting
from .options import COUNT, JOBS, batch_options, device_options, inputs_argument, output_options

FORMATS = ("png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp", "ppm")


@click.command()
@inputs_argument
@output_options
@click.option("--format", "format_", type=click.Choice(FORMATS), metavar="NAME",
              help="png jpg webp tiff bmp ppm  [default: as -o, or png]")
@click.option("--fit", type=COUNT, metavar="N", help="Scale down to fit into N by N pixels.")
@batch_options
@device_options
def decompress(inputs: tuple[Path, ...], output: Path | None, output_dir: Path | None, recursive: bool, force: bool,
               format_: str | None, fit: int | None, keep_going: bool, jobs: int | None, quiet: bool, verbose: bool,
               model: str | None, device: str, threads: int | None, limit_pixels: int | None) -> None:
    """Decompress .aec files to pictures beside them. FILE - is standard input."""
    ending = f".{format_ or 'png'}"
    if format_ is None and output is not None and output != files.STANDARD:
        ending = output.suffix.lower()
        if ending[1:] not in FORMATS:
            raise AecError(f"cannot tell the picture format of {output}; end it in one of "
                           f"{', '.join('.' + name for name in FORMATS)}, or pass --format")
    tasks = local.plan(inputs, recursive, sources.is_aec, ending, output, output_dir, force)
    reporting.found(tasks, ".aec files")
    jobs = jobs or min(JOBS, len(tasks))
    codec = loading.LoadedWhenUsed(device, model, threads, limit_pixels, jobs)

    def work(task: Task) -> Outcome:
        from ..picture import saving

        data = files.read_bytes(task.source)
        timings: dict[str, float] = {}
        try:
            sources.check(data, limit_pixels)  # before seconds go into loading weights
            local.check_not_itself(task, force)
            codec()
            began = time.perf_counter()
            image = codec().decode(data, timings=timings)
            seconds = time.perf_counter() - began
            if fit is not None:
                image.thumbnail((fit, fit))
            notes: list[str] = []
            size: list[int] = []

            def write(file: Any) -> None:
                notes.extend(saving.save(image, file, saving.FORMATS[ending]))
                size.append(file.tell())

            files.write_file(task.target, write, task.source)
        except AecError as error:
            raise sources.named(task.source, error) from None
        line = (f"{files.shown(task.target, True)}: {image.width}x{image.height}, {len(data):,} to {size[0]:,} bytes, "
                f"{seconds:.2f} s")
        return Outcome(task, None, line, [reporting.timings_line(timings)], notes, len(data), size[0])

    reporting.run(tasks, work, reporting.reporter(tasks, quiet, verbose), jobs, keep_going, "decompressed")
