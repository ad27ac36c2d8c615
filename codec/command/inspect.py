"""The commands that only look: `aecodec info`, `test`, `compare` and `models`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import click

from .. import files
from ..errors import AecError, NotAec
from ..format import container
from ..format.constants import EXPERIMENTAL_ID
from ..jobs import loading, sources, storage
from ..jobs.decompress import Check
from ..jobs.listing import find
from ..jobs.local import Outcome, Task
from ..jobs.plan import Plan
from ..jobs.storage import Location
from . import reporting
from .options import Batch, Existing, device_options, inputs_argument, jobs_option
from .reporting import FAILED, exit_code, words


@click.command()
@inputs_argument
@click.option("-r", "--recursive", is_flag=True, help="Take the .aec files in folders.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: an object for one file, else a list.")
def info(inputs: tuple[Location, ...], recursive: bool, as_json: bool) -> None:
    """Show what .aec files hold, without decoding them. Their checksums are checked.

    A table has a line for each of several files.
    """
    found, left_out = find(inputs, recursive, sources.not_aec)
    one = len(inputs) == 1 and found == list(inputs)
    told, codes = [], set[int]()
    for item in left_out:
        if item.failed:
            click.echo(f"aecodec: {files.shown(item.path)} {item.reason}", err=True)
            codes.add(FAILED)
    for source in found:
        try:
            told.append(_facts(source))
        except AecError as error:
            click.echo(f"aecodec: {words(error)}", err=True)
            codes.add(exit_code(error))
    if not found and not codes:
        raise AecError("there are no .aec files in these folders")
    if as_json and (told or not one):
        click.echo(json.dumps(told[0] if one else told, indent=2))
    elif one:
        for key, value in (told[0] if told else {}).items():
            click.echo(f"{key.replace('_', ' ')}: {_shown(value)}")
    elif told:
        click.echo(_table(told))
    if codes:
        raise click.exceptions.Exit(codes.pop() if len(codes) == 1 else FAILED)


def _facts(path: Location) -> dict[str, Any]:
    data = storage.read(path)
    try:
        if not data:
            raise NotAec("the file is empty (0 bytes); get a complete copy of it")
        file = container.read_file(data, known_boxes=None)
    except AecError as error:
        raise sources.named(path, error) from None
    header = file.header
    return {
        "file": files.shown(path), "bytes": len(data), "width": header.width, "height": header.height,
        "mode": sources.mode_of(file), "bits_per_pixel": round(sources.bits_per_pixel(header, len(data)), 4),
        "coding": header.coding, **({} if header.lossless else {
            "quality": header.quality, "level": header.level, "tune": header.tune,
            "model": f"{header.model_id:#06x}", "experimental_model": header.experimental,
            "weights": header.bundle_hash.hex()}),
        "sample_crc" if header.lossless else "symbol_crc": f"{header.symbol_crc:08x}",
        "payload_bytes": header.payload_length, "boxes": {box.kind: len(box.data) for box in file.boxes},
    }


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{kind} ({size} bytes)" for kind, size in value.items()) or "none"
    return value


def _table(rows: list[dict[str, Any]]) -> str:
    """A line for each file, the columns below each other, names last."""
    head = ("size", "mode", "quality", "bytes", "bpp", "model", "boxes", "file")
    lines = [head, *((f"{row['width']}x{row['height']}", row["mode"], _quality(row), f"{row['bytes']:,}",
                      f"{row['bits_per_pixel']:.3f}", row.get("model", "-"), " ".join(row["boxes"]) or "-", row["file"])
                     for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head) - 1)]
    right = (True, False, True, True, True, False, False)
    return "\n".join("  ".join([*(cell.rjust(width) if to_right else cell.ljust(width)
                                  for cell, width, to_right in zip(line, widths, right, strict=False)), line[-1]])
                     for line in lines)


def _quality(row: dict[str, Any]) -> str:
    return f"{row['quality']:g}" if "quality" in row else "lossless"


@click.command()
@inputs_argument
@click.option("-r", "--recursive", is_flag=True, help="Take the .aec files in folders.")
@jobs_option
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@click.option("-v", "--verbose", is_flag=True, help="Print what is left out, too.")
@device_options
def test(inputs: tuple[Location, ...], recursive: bool, jobs: int | None, as_json: bool, quiet: bool, verbose: bool,
         model: str | None, device: str, engine: str, threads: int | None, limit_pixels: int | None) -> None:
    """Test whether .aec files are whole, without writing anything.

    All files are tested. The exit code is 0 if all are whole, 3 or 4 if that is what is wrong with each of the others,
    else 1.
    """
    found, left_out = find(inputs, recursive, sources.not_aec)
    # `Check` reads through the storage: to it, what names an object is as good as a path.
    plan = Plan([Task(cast(Path, source), cast(Path, source)) for source in found], left_out)
    batch = Batch(recursive, True, jobs, threads, as_json, quiet, verbose, every_line=True)
    codec = loading.LoadedWhenUsed(device, model, threads, limit_pixels, batch.jobs_for(len(found)), engine, len(found))
    reporting.work_through(plan, Check(codec), batch, _whole, "whole", ".aec files", writes=False)


def _whole(outcome: Outcome) -> str:
    facts = outcome.facts
    return f"{files.shown(outcome.task.source)}: whole, {facts['width']}x{facts['height']} {facts['mode']}"


@click.command()
@click.argument("first", metavar="A", type=Existing)
@click.argument("second", metavar="B", type=Existing)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@device_options
def compare(first: Path, second: Path, as_json: bool, model: str | None, device: str, engine: str, threads: int | None,
            limit_pixels: int | None) -> None:
    """Compare two pictures: sizes, PSNR, MS-SSIM.

    Each is an .aec file or any other picture. What is measured is 8-bit RGB. Orientation is applied; profiles are not.
    """
    import numpy as np

    from .. import metrics
    from ..picture import reading

    codec = loading.LoadedWhenUsed(device, model, threads, limit_pixels, 1, engine, 1)
    pictures, sizes = [], []
    for path in (first, second):
        data = files.read_bytes(path)
        sizes.append(len(data))
        if data.startswith(container.MAGIC):
            try:
                file = sources.check(data, limit_pixels)
                pictures.append(reading.read(codec.decoder(file)(file, None, None)))
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
