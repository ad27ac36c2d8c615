"""The `aecodec` command: arguments, files, messages and exit codes. No coding logic.

Modules that take long to import are imported where they are needed: `aecodec --help` and `aecodec info` need none.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import container, files
from .errors import AecError, CorruptFile, NotAec, UnknownModel, UnsupportedVersion
from .version import __version__

if TYPE_CHECKING:
    from PIL import Image

FAILED, DAMAGED, TOO_NEW = 1, 3, 4  # exit codes; 2 is click's, for usage
PICTURE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF",
                   ".bmp": "BMP", ".ppm": "PPM"}
Existing = click.Path(path_type=Path)


class Commands(click.Group):
    """A group whose commands end with one line and an exit code, never with a traceback; `bench` loads when asked."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), "bench"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "bench":
            return _bench_command()
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, command.get_short_help_str(60)) for name, command in sorted(self.commands.items())]
        with formatter.section("Commands"):
            formatter.write_dl(sorted([*rows, ("bench", "Compare with other codecs: rate-distortion and speed.")]))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AecError as error:
            click.echo(f"aecodec: {error}", err=True)
            ctx.exit(exit_code(error))
        except KeyboardInterrupt:
            click.echo("aecodec: interrupted", err=True)
            ctx.exit(130)
        except MemoryError:
            click.echo("aecodec: not enough memory for this picture", err=True)
            ctx.exit(FAILED)


def exit_code(error: AecError) -> int:
    """1 failed, 3 damaged or no .aec file, 4 the file needs something this version lacks."""
    if isinstance(error, (CorruptFile, NotAec)):
        return DAMAGED
    if isinstance(error, (UnsupportedVersion, UnknownModel)):
        return TOO_NEW
    return FAILED


def _bench_command() -> click.Command:
    try:
        from aecodec.bench.cli import bench
    except ImportError as error:
        missing = error.name or "a package"

        @click.command("bench", context_settings={"ignore_unknown_options": True})
        @click.argument("arguments", nargs=-1)
        def bench(arguments: tuple[str, ...]) -> None:
            raise AecError(f"the benchmarks need {missing}; install them with: pip install 'aecodec[bench]'")
    return bench


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="aecodec")
def main() -> None:
    """aecodec compresses photographs with a learned codec: smaller files than JPEG and WebP at the same quality.

    \b
    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 damaged file,
    4 the file needs something this version lacks.
    """


def device_options(command: Any) -> Any:
    command = click.option("--model", default=None, metavar="NAME|FILE", help="Model, or path of its weights.")(command)
    return click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda",
                        help="Where the network runs.")(command)


def output_options(command: Any) -> Any:
    command = click.option("--force", is_flag=True, help="Overwrite the output if it exists.")(command)
    command = click.option("--quiet", is_flag=True, help="Print nothing but errors.")(command)
    return click.option("-o", "--output", type=Existing, default=None, metavar="FILE", help="Output file.")(command)


def _codec(device: str, model: str | None) -> Any:
    from .api import Codec

    try:
        return Codec(device=device, model=model)
    except ValueError as error:
        raise AecError(str(error)) from None


def _open_picture(path: Path) -> Image.Image:
    """Decode a picture file with Pillow. Raises AecError."""
    from io import BytesIO

    from PIL import Image, UnidentifiedImageError

    data = files.read_bytes(path)
    if data.startswith(container.MAGIC):
        raise AecError(f"{path} is an .aec file already; decompress it with: aecodec decompress {path}")
    try:
        image = Image.open(BytesIO(data))
        container.check_pixels(*image.size)
        image.load()
        return image
    except AecError as error:
        raise AecError(f"{path}: {error}") from None
    except UnidentifiedImageError:
        raise AecError(f"{path} is not a picture that Pillow can read; convert it to PNG first") from None
    except Image.DecompressionBombError as error:
        raise AecError(f"{path}: {error}") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise AecError(f"{path} cannot be decoded ({error}); get a complete copy of it") from None


def _named(path: Path, error: AecError) -> AecError:
    """The same error with the file's name in front."""
    return type(error)(f"{path}: {error}")


@main.command()
@click.argument("input", type=Existing)
@click.option("-q", "--quality", type=click.FloatRange(0, 100), default=50, show_default=True,
              help="0: smallest file; 50: fair; 75: good; 100: hardly any loss to be seen.")
@output_options
@device_options
def compress(input: Path, quality: float, output: Path | None, quiet: bool, force: bool, device: str,
             model: str | None) -> None:
    """Compress a picture to an .aec file (INPUT with the ending .aec, unless -o says otherwise)."""
    target = output or input.with_suffix(".aec")
    files.check_output(target, force)
    image = _open_picture(input)
    codec = _codec(device, model)
    began = time.perf_counter()
    try:
        data = codec.encode(image, quality)
    except AecError as error:
        raise _named(input, error) from None
    seconds = time.perf_counter() - began
    files.write_file(target, lambda file: file.write(data))
    if not quiet:
        header = container.read_header(data)[0]
        before = input.stat().st_size
        click.echo(f"{target}: {header.width}x{header.height}, {before:,} to {len(data):,} bytes "
                   f"({before / len(data):.1f}:1), {_bpp(header, len(data)):.3f} bits per pixel, {seconds:.2f} s")


@main.command()
@click.argument("input", type=Existing)
@output_options
@device_options
def decompress(input: Path, output: Path | None, quiet: bool, force: bool, device: str, model: str | None) -> None:
    """Decompress an .aec file to a picture (INPUT with the ending .png, unless -o says otherwise)."""
    target = output or input.with_suffix(".png")
    name = PICTURE_FORMATS.get(target.suffix.lower())
    if name is None:
        raise AecError(f"cannot tell the picture format of {target}; use one of {', '.join(PICTURE_FORMATS)}")
    files.check_output(target, force)
    data = files.read_bytes(input)
    try:
        container.read_file(data)  # before seconds go into loading weights
        codec = _codec(device, model)
        began = time.perf_counter()
        image = codec.decode(data)
    except AecError as error:
        raise _named(input, error) from None
    seconds = time.perf_counter() - began
    options = {"quality": 95} if name in ("JPEG", "WEBP") else {}
    files.write_file(target, lambda file: image.save(file, name, **options))
    if not quiet:
        click.echo(f"{target}: {image.width}x{image.height}, {len(data):,} to {target.stat().st_size:,} bytes, "
                   f"{seconds:.2f} s")


def _bpp(header: container.Header, size: int) -> float:
    return 8 * size / (header.width * header.height)


@main.command()
@click.argument("input", type=Existing)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(input: Path, as_json: bool) -> None:
    """Show what an .aec file holds, without decoding it. Its checksums are checked."""
    data = files.read_bytes(input)
    try:
        file = container.read_file(data, known_boxes=None)
    except AecError as error:
        raise _named(input, error) from None
    header = file.header
    facts = {
        "file": str(input), "bytes": len(data), "width": header.width, "height": header.height, "mode": header.mode,
        "bits_per_pixel": round(_bpp(header, len(data)), 4), "quality": header.quality, "level": header.level,
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


@main.command()
@click.option("--data", type=Existing, required=True, help="Folder of training photos.")
@click.option("--out", type=Existing, required=True, help="Folder of the run; the same one again resumes it.")
@click.option("--steps", type=click.IntRange(1), default=100_000, show_default=True, help="Length of the schedule.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Length in training time, instead of steps.")
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="Crops per step and process.")
@click.option("--crop", type=click.IntRange(64), default=256, show_default=True, help="Side of a crop, a multiple of 64.")
@click.option("--early-crop", type=click.IntRange(64), help="Side of a crop for the first part of the run.")
@click.option("--early-share", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="How long that part is.")
@click.option("--rate", type=float, default=1.0, show_default=True, help="Factor on the learning rates.")
@click.option("--ema", type=click.FloatRange(0, 1), default=0.999, show_default=True, help="Decay of averaged weights.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--precision", type=click.Choice(["bf16", "no"]), default="bf16", show_default=True,
              help="Mixed precision, or float32.")
@click.option("--compile", is_flag=True, help="Compile the network (pays on a GPU).")
@click.option("--validation", type=Existing, help="Folder of pictures to measure on now and then.")
@click.option("--validate-every", type=click.IntRange(1), default=2000, show_default=True, metavar="STEPS")
@click.option("--checkpoint-every", type=click.IntRange(1), default=500, show_default=True, metavar="STEPS")
@click.option("--start-from", type=Existing, metavar="FILE", help="Weights of a model to go on from.")
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
    from .network.model import ModelConfig
    from .training import loop

    try:
        sizes = ModelConfig.from_dict(json.loads(config))
        loop.train(loop.TrainingOptions(config=sizes, **options))
    except (ValueError, FileNotFoundError) as error:
        raise AecError(str(error)) from None


@main.command()
@click.argument("checkpoint", type=Existing)
@click.option("--out", type=Existing, required=True, help="Folder for the weights and the model card.")
@click.option("--data", type=Existing, required=True, help="Training photos, to fit the probability tables to.")
@click.option("--name", default="small", show_default=True, help="Name of the model.")
@click.option("--id", "model_id", type=click.IntRange(0xF000, 0xFFFF), default=0xF000, show_default=True,
              help="Model id; experimental ones start at 61440.")
@click.option("--evaluate", type=Existing, help="Folder of pictures for the card's rate-distortion table.")
@click.option("--notes", type=Existing, help="Text file to put into the card.")
def export(checkpoint: Path, out: Path, data: Path, name: str, model_id: int, evaluate: Path | None,
           notes: Path | None) -> None:
    """Turn a training CHECKPOINT (or its run folder) into weights that the codec loads."""
    _need_train_extra()
    from .training import export as exporter
    from .training.loop import CHECKPOINT

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


if __name__ == "__main__":
    sys.exit(main())
