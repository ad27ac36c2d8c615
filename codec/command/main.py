"""The `aecodec` command: arguments, messages and exit codes. No coding logic.

Modules that take long to import are imported where they are needed: `aecodec --help` and `aecodec info` need none.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from .. import files
from ..errors import AecError, CorruptFile, NotAec, UnknownModel, UnsupportedVersion
from ..format import container
from ..format.constants import DEFAULT_QUALITY, EXPERIMENTAL_ID, level_of
from ..jobs import local
from ..jobs.local import Outcome, Task
from ..version import __version__

if TYPE_CHECKING:
    from ..api import Codec
    from ..picture.reading import Picture
    from ..search import Reached

FAILED, DAMAGED, TOO_NEW, INTERRUPTED = 1, 3, 4, 130  # exit codes; 2 is click's, for usage
JOBS = 2  # while one picture is on its way through the network, another is read, coded or written
FORMATS = ("png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp", "ppm")
# Formats that Pillow names but cannot decode by itself; in a folder they are not taken for pictures.
NOT_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF", "AEC"}
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
        rows = [(name, command.get_short_help_str(60)) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl([*rows, ("bench", "Compare with other codecs: rate-distortion and speed.")])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning  # type: ignore[assignment]
                return super().invoke(ctx)
        except AecError as error:
            click.echo(f"aecodec: {error}", err=True)
            ctx.exit(exit_code(error))
        except KeyboardInterrupt:
            click.echo("aecodec: interrupted", err=True)
            ctx.exit(INTERRUPTED)
        except MemoryError:
            click.echo("aecodec: not enough memory for this picture", err=True)
            ctx.exit(FAILED)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)  # where who reads has seen enough (EPIPE), click knows
        except OSError as error:  # out here, for --help and --version may meet a full disk, too
            click.echo(f"aecodec: {error.strerror or error}", err=True)
            sys.exit(FAILED)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if not issubclass(category, DeprecationWarning):
        click.echo(f"aecodec: warning: {message}", err=True)


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


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    click.echo(f"aecodec {__version__}")
    from .. import models

    names = ", ".join(f"{info.name} ({info.id:#06x})" for info in models.shipped()) or "none"
    try:
        import torch

        from ..engine.device import choose_device, choose_precision

        device = choose_device("auto")
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
        precision = str(choose_precision("auto", device)).removeprefix("torch.")
        click.echo(f"torch {torch.__version__}\ndevice {device} ({name}), {precision}")
    except ImportError as error:
        click.echo(f"torch cannot be imported: {error}")
    click.echo(f"models {names}")
    ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
              help="Show the version, torch, the device and the models.")
def main() -> None:
    """aecodec compresses photographs with a learned codec: smaller files than JPEG and WebP at the same quality.

    \b
    Exit codes: 0 done, 1 failed (or some files did), 2 wrong usage,
    3 damaged file, 4 the file needs something this version lacks.
    """


class Size(click.ParamType):
    """A number of bytes: 200000, 200k, 1.5M, 64Ki."""

    name = "size"
    units: ClassVar = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        number = value.lower().removesuffix("b").strip()
        unit = number.lstrip("0123456789.")
        with contextlib.suppress(ValueError, KeyError, OverflowError):
            size = int(float(number.removesuffix(unit)) * self.units[unit])
            if size > 0:
                return size
        return self.fail(f"{value!r} is no size; write it like 200000, 200k, 1.5M or 64Ki", param, ctx)


class Pixels(click.ParamType):
    """A limit on a picture's pixels; 0 for none."""

    name = "pixels"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        limit: int = click.IntRange(0).convert(value, param, ctx)
        return limit or None


class Within(click.ParamType):
    """A range that the help text of its option tells in words."""

    def __init__(self, numbers: click.IntRange | click.FloatRange) -> None:
        self.numbers = numbers
        self.name = numbers.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return self.numbers.convert(value, param, ctx)


COUNT = Within(click.IntRange(1))
Decorator = Callable[[Any], Any]


def several(*options: Decorator) -> Decorator:
    """Options in the order in which the help shows them."""
    return lambda command: functools.reduce(lambda made, option: option(made), reversed(options), command)


device_options = several(
    click.option("--model", metavar="NAME|FILE", help="Model, or path of its weights."),
    click.option("--device", default="auto", metavar="auto|cpu|cuda", help="Where the network runs.  [default: auto]"),
    click.option("--threads", type=COUNT, metavar="N", help="CPU threads in all.  [default: one per core]"),
    click.option("--limit-pixels", type=Pixels(), metavar="N", default=container.MAX_PIXELS,
                 help="Refuse larger pictures; 0: none.  [default: 179M]"),
)
output_options = several(
    click.option("-o", "--output", type=Existing, metavar="FILE", help="Output file; - for standard output."),
    click.option("--output-dir", type=Existing, metavar="DIR", help="Folder for the outputs; made if need be."),
    click.option("-r", "--recursive", is_flag=True, help="Take the files in folders; mirror these."),
    click.option("--force", is_flag=True, help="Overwrite outputs that exist."),
)
batch_options = several(
    click.option("--keep-going", is_flag=True, help="Go on with the next file after a failure."),
    click.option("--jobs", type=COUNT, metavar="N", help=f"Files worked on at a time.  [default: {JOBS}]"),
    click.option("--quiet", is_flag=True, help="Print nothing but errors."),
    click.option("-v", "--verbose", is_flag=True, help="Print a line for every file, and timings."),
)
inputs_argument = click.argument("inputs", metavar="FILE...", type=Existing, nargs=-1, required=True)


class LoadedWhenUsed:
    """The codec, loaded by the first task that needs it: a file that cannot be read is told of at once."""

    def __init__(self, device: str, model: str | None, threads: int | None, limit_pixels: int | None,
                 jobs: int) -> None:
        self._arguments = device, model, threads, limit_pixels, jobs
        self._lock = threading.Lock()
        self._codec: Codec | None = None

    def __call__(self) -> Codec:
        with self._lock:
            if self._codec is None:
                device, model, threads, limit_pixels, jobs = self._arguments
                self._codec = _codec(device, model, limit_pixels)
                import torch

                if threads is not None or jobs > 1:
                    torch.set_num_threads(max(1, (threads or torch.get_num_threads()) // jobs))
            return self._codec


def _codec(device: str, model: str | None, limit_pixels: int | None) -> Codec:
    from ..api import Codec

    try:
        return Codec(device=device, model=model, limit_pixels=limit_pixels)
    except (ValueError, RuntimeError) as error:
        raise AecError(str(error)) from None


def _named(path: Path, error: AecError) -> AecError:
    """The same error with the file's name in front."""
    return type(error)(f"{files.shown(path)}: {error}")


@functools.cache
def _picture_endings() -> frozenset[str]:
    from PIL import Image

    formats = {ending: name for ending, name in Image.registered_extensions().items() if name in Image.OPEN}
    return frozenset(ending for ending, name in formats.items() if name not in NOT_PICTURES)


def _run(tasks: Sequence[Task], work: Callable[[Task], Outcome], reporter: local.Reporter, jobs: int, keep_going: bool,
         done: str) -> None:
    """Work through the tasks; ends the command with the exit code of what went wrong."""
    began = time.perf_counter()
    outcomes: list[Outcome] = []
    with reporter, contextlib.closing(local.run(tasks, work, jobs)) as running:
        for outcome in running:
            outcomes.append(outcome)
            reporter.report(outcome)
            if outcome.error is not None and not keep_going:
                break
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if len(tasks) > 1:
        read, written = sum(o.bytes_read for o in outcomes), sum(o.bytes_written for o in outcomes)
        sizes = f", {read:,} to {written:,} bytes ({read / written:.1f}:1)" if written else ""
        failed = f", {len(errors)} failed" if errors else ""
        left = f", {len(tasks) - len(outcomes)} not begun (see --keep-going)" if len(outcomes) < len(tasks) else ""
        reporter.result(f"{len(outcomes) - len(errors)} files {done}{failed}{left}{sizes}, "
                        f"{time.perf_counter() - began:.1f} s")
    if errors:
        codes = {exit_code(error) for error in errors}
        raise click.exceptions.Exit(codes.pop() if len(codes) == 1 and (len(tasks) == 1 or not keep_going) else FAILED)


def _found(tasks: Sequence[Task], what: str) -> None:
    if not tasks:
        raise AecError(f"there are no {what} in these folders")


def _timings(timings: dict[str, float]) -> str:
    return ", ".join(f"{stage} {1000 * seconds:.1f} ms" for stage, seconds in timings.items())


@main.command(short_help="Compress pictures to .aec files.")
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
    tasks = local.plan(inputs, recursive, lambda path: path.suffix.lower() in _picture_endings(), ".aec", output,
                       output_dir, force)
    _found(tasks, "pictures")
    jobs = jobs or min(JOBS, len(tasks))
    codec = LoadedWhenUsed(device, model, threads, limit_pixels, jobs)

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
        picture = _read_picture(task.source, data, limit_pixels)
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
            raise _named(task.source, error) from None
        header = container.read_header(reached.data)[0]
        size = len(reached.data)
        facts = [f"{header.width}x{header.height}", f"{len(data):,} to {size:,} bytes ({len(data) / size:.1f}:1)",
                 f"{_bpp(header, size):.3f} bits per pixel"]
        if quality is None and (target_size or target_bpp or target_psnr is not None):
            facts.append(f"quality {header.quality:g} after {reached.encodes} encodes")
        if reached.psnr is not None:
            facts.append(f"{reached.psnr:.2f} dB")
        if decibels:
            facts.append(f"verified ({decibels[0]:.2f} dB)")
        facts.append(f"{seconds:.2f} s")
        details = [f"level {header.level}, model {codec().model.name} on {codec().device} in {codec().precision}"]
        details += [_timings(timings)] if timings else []
        return Outcome(task, None, f"{files.shown(task.target, True)}: {', '.join(facts)}", details,
                       list(picture.notes), len(data), size)

    _run(tasks, work, _reporter(tasks, quiet, verbose), jobs, keep_going, "compressed")


def _reporter(tasks: Sequence[Task], quiet: bool, verbose: bool) -> local.Reporter:
    return local.Reporter(len(tasks), quiet, verbose, all(task.target != files.STANDARD for task in tasks))


def _read_picture(path: Path, data: bytes, limit_pixels: int | None) -> Picture:
    """Decode the bytes of a picture file with Pillow. Raises AecError."""
    from io import BytesIO

    from PIL import Image, UnidentifiedImageError

    from ..picture import reading

    name = files.shown(path)
    if data.startswith(container.MAGIC):
        raise AecError(f"{name} is an .aec file already; decompress it with: aecodec decompress {path}")
    try:
        Image.MAX_IMAGE_PIXELS = None  # the limit is our own, checked before anything is decoded
        return reading.read(BytesIO(data), limit_pixels)
    except AecError as error:
        raise AecError(f"{name}: {error}") from None
    except UnidentifiedImageError:
        raise AecError(f"{name} is not a picture that Pillow can read; convert it to PNG first") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError) as error:
        raise AecError(f"{name} cannot be decoded ({error}); get a complete copy of it") from None


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


@main.command(short_help="Decompress .aec files to pictures.")
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
    tasks = local.plan(inputs, recursive, _is_aec, ending, output, output_dir, force)
    _found(tasks, ".aec files")
    jobs = jobs or min(JOBS, len(tasks))
    codec = LoadedWhenUsed(device, model, threads, limit_pixels, jobs)

    def work(task: Task) -> Outcome:
        from ..picture import saving

        data = files.read_bytes(task.source)
        timings: dict[str, float] = {}
        try:
            _check(data, limit_pixels)  # before seconds go into loading weights
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
            raise _named(task.source, error) from None
        line = (f"{files.shown(task.target, True)}: {image.width}x{image.height}, {len(data):,} to {size[0]:,} bytes, "
                f"{seconds:.2f} s")
        return Outcome(task, None, line, [_timings(timings)], notes, len(data), size[0])

    _run(tasks, work, _reporter(tasks, quiet, verbose), jobs, keep_going, "decompressed")


def _is_aec(path: Path) -> bool:
    return path.suffix.lower() == ".aec"


def _check(data: bytes, limit_pixels: int | None) -> container.AecFile:
    """A file whose checksums are right and whose size is within the limit. Raises AecError."""
    from ..format import boxes

    file = container.read_file(data, boxes.KNOWN)
    container.check_pixels(file.header.width, file.header.height, limit_pixels)
    return file


def _bpp(header: container.Header, size: int) -> float:
    return 8 * size / (header.width * header.height)


def _mode(file: container.AecFile) -> str:
    return file.header.mode + ("A" if any(box.kind == "ALPH" for box in file.boxes) else "")


@main.command(short_help="Show what an .aec file holds.")
@click.argument("input", metavar="FILE", type=Existing)
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
        "file": files.shown(input), "bytes": len(data), "width": header.width, "height": header.height,
        "mode": _mode(file), "bits_per_pixel": round(_bpp(header, len(data)), 4), "quality": header.quality,
        "level": header.level, "model": f"{header.model_id:#06x}", "experimental_model": header.experimental,
        "weights": header.bundle_hash.hex(), "symbol_crc": f"{header.symbol_crc:08x}",
        "payload_bytes": header.payload_length, "boxes": {box.kind: len(box.data) for box in file.boxes},
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for key, value in facts.items():
        shown = ", ".join(f"{k} ({v} bytes)" for k, v in value.items()) or "none" if isinstance(value, dict) else value
        click.echo(f"{key.replace('_', ' ')}: {shown}")


@main.command(short_help="Test whether .aec files are whole.")
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
    tasks = [Task(source, source) for source, _ in local.gather(inputs, recursive, _is_aec)]
    _found(tasks, ".aec files")
    jobs = jobs or min(JOBS, len(tasks))
    codec = LoadedWhenUsed(device, model, threads, limit_pixels, jobs)
    codes: set[int] = set()

    def work(task: Task) -> Outcome:
        data = files.read_bytes(task.source)
        try:
            file = _check(data, limit_pixels)
            codec().decode(data, output="array")
        except AecError as error:
            raise _named(task.source, error) from None
        header = file.header
        return Outcome(task, None, f"{files.shown(task.source)}: whole, {header.width}x{header.height} {_mode(file)}")

    with local.Reporter(len(tasks), quiet, True) as reporter:
        for outcome in local.run(tasks, work, jobs):
            reporter.report(outcome)
            if outcome.error is not None:
                codes.add(exit_code(outcome.error))
    if codes:
        raise click.exceptions.Exit(codes.pop() if len(codes) == 1 else FAILED)


@main.command(short_help="Compare two pictures: sizes, PSNR, MS-SSIM.")
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

    codec = LoadedWhenUsed(device, model, threads, limit_pixels, 1)
    pictures, sizes = [], []
    for path in (first, second):
        data = files.read_bytes(path)
        sizes.append(len(data))
        if data.startswith(container.MAGIC):
            try:
                _check(data, limit_pixels)
                pictures.append(reading.read(codec().decode(data)))
            except AecError as error:
                raise _named(path, error) from None
        else:
            pictures.append(_read_picture(path, data, limit_pixels))
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


@main.command()
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


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands in a shell.

    \b
    bash: aecodec completion bash >> ~/.bashrc
    zsh:  aecodec completion zsh >> ~/.zshrc
    fish: aecodec completion fish > ~/.config/fish/completions/aecodec.fish
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    # Not `source()`, which runs bash to ask for its version.
    made = found(main, {}, "aecodec", "_AECODEC_COMPLETE")
    click.echo(made.source_template % made.source_vars())


@main.command(short_help="Train a model, or go on with a training.")
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


@main.command(short_help="Turn a training checkpoint into weights to load.")
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

    text = files.read_bytes(notes).decode(errors="replace") if notes else ""
    try:
        points = exporter.export(checkpoint, out, name, data, model_id, evaluate, text)
    except (ValueError, FileNotFoundError) as error:
        raise AecError(str(error)) from None
    for point in points:
        click.echo(f"level {point.level}: {point.bpp:.4f} bits per pixel, {point.psnr:.3f} dB")
    click.echo(f"{out / 'weights.safetensors'} written")


def _need_train_extra() -> None:
    from importlib.util import find_spec

    for package in ("accelerate", "tensorboard"):
        if find_spec(package) is None:
            raise AecError(f"training needs {package}; install what it needs with: pip install 'aecodec[train]'")
