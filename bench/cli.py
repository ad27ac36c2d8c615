"""`aecodec bench`: arguments, progress and messages. Everything heavy is imported when a command runs."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from .codecs import Codec, Options
    from .pictures import Picture

NEEDED = ("matplotlib", "bjontegaard", "scipy", "pytorch_msssim", "rich", "torch", "PIL")
DEFAULT_OUT = "bench-results"


class DefaultGroup(click.Group):
    """A group whose first command runs when none is named: `bench FOLDER` is `bench sweep FOLDER`."""

    default = "sweep"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


def needs_extra(command: Callable[..., Any]) -> Callable[..., Any]:
    """Say how to install what is missing, instead of a traceback."""
    @functools.wraps(command)
    def checked(*args: Any, **options: Any) -> Any:
        missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
        if missing:
            raise click.ClickException(f"the benchmarks need more packages (missing: {', '.join(missing)}); "
                                       "install them with: pip install aecodec[bench]")
        return command(*args, **options)
    return checked


def say(message: str) -> None:
    """A line for the person at the terminal, on stderr."""
    click.echo(message, err=True)


@click.group("bench", cls=DefaultGroup)
def bench() -> None:
    """Compare with other codecs: rate-distortion and speed.

    `aecodec bench FOLDER` measures the pictures of a folder and writes a report.
    """


def _codec_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--model", help="aecodec's model: a name or a weights file."),
        click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
                     help="Where learned codecs run."),
        click.option("--compressai", "checkpoints", multiple=True, metavar="ARCHITECTURE:QUALITY:FILE",
                     help="A checkpoint of a CompressAI network, such as mbt2018-mean:4:weights.pth; repeatable."),
        click.option("--codecs", "names", help="Only these codecs, separated by commas."),
    ):
        command = option(command)
    return command


@bench.command("sweep")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=DEFAULT_OUT, show_default=True,
              help="Folder for the table and the report; a sweep that was broken off goes on there.")
@click.option("--name", help="Name of the dataset; default: the folder's.")
@click.option("--quick", is_flag=True, help="Two pictures, four settings, fewer codecs: under a minute.")
@click.option("--jobs", type=click.IntRange(1), help="Processes at work; default: one per core, one on a GPU.")
@click.option("--threads", type=click.IntRange(1), help="Threads of each; default: cores divided by jobs.")
@click.option("--ssimulacra2", is_flag=True, help="Measure SSIMULACRA2 too: about a second per megapixel and row.")
@click.option("--lpips", is_flag=True, help="Measure LPIPS too, if its backbone's weights are on this machine.")
@click.option("--drawn/--no-drawn", default=True, help="Measure screenshots, text and tiny pictures too.")
@click.option("--page/--no-page", "with_page", default=True, help="Make the page with pictures to compare.")
@_codec_options
@needs_extra
def sweep_command(folder: Path | None, out: Path, name: str | None, quick: bool, jobs: int | None,
                  threads: int | None, ssimulacra2: bool, lpips: bool, drawn: bool, with_page: bool,
                  **chosen: Any) -> None:
    """Measure the pictures of FOLDER with every codec and write the report.

    Without FOLDER, only the drawn pictures are measured. A second start with the same --out measures what is missing.
    """
    from . import codecs as all_codecs
    from . import pictures as all_pictures
    from .metrics import lpips_problem
    from .sweep import QUICK_PICTURES, Extras, SweepStopped, read_record, sweep

    cores = _cores()
    if jobs is None:
        jobs = 1 if _device(chosen["device"]) == "cuda" else cores
    options = _options(threads or max(1, cores // jobs), **chosen)
    names = _names(chosen["names"], [
        *(all_codecs.QUICK if quick else all_codecs.SWEEP),
        *(all_codecs.COMPRESSAI_PREFIX + architecture for architecture in options.compressai)])
    missing: dict[str, str] = {}
    if lpips and (problem := lpips_problem()):
        missing["lpips"], lpips = problem, False
    if ssimulacra2 and importlib.util.find_spec("ssimulacra2") is None:
        missing["ssimulacra2"], ssimulacra2 = "not installed: pip install ssimulacra2", False
    usable, without = all_codecs.available(names, options)
    missing.update(without)
    untrained = [codec.name for codec in usable if codec.version.endswith("random weights")]
    if untrained:
        raise click.ClickException(f"{', '.join(untrained)} would have random weights; give a checkpoint with "
                                   "--compressai, or leave it to `aecodec bench speed`")
    for codec_name, reason in missing.items():
        say(f"not measured: {codec_name}: {reason}")
    if not usable:
        raise click.ClickException("none of the codecs can be used here; see above")

    photos: list[Picture] = []
    left_out: dict[str, str] = {}
    if folder is not None:
        dataset = name or folder.resolve().name
        if dataset in all_pictures.DRAWN:
            raise click.ClickException(f"{dataset} is the name of a drawn dataset; choose another with --name")
        photos, left_out = all_pictures.from_folder(folder, dataset, QUICK_PICTURES if quick else None)
        for file, reason in left_out.items():
            say(f"left out: {file}: {reason}")
        if not photos:
            raise click.ClickException(f"{folder} holds no picture that can be read")
    pictures = photos + (all_pictures.drawn(photos, quick) if drawn else [])
    if not pictures:
        raise click.ClickException("nothing to measure; name a folder of pictures")
    say(f"{len(pictures)} pictures, {len(usable)} codecs, {jobs} jobs of {options.threads} thread(s)")

    asked = {*names, "lpips", "ssimulacra2"}
    earlier = {absent: reason for absent, reason in read_record(out).get("missing", {}).items() if absent not in asked}
    record = {"missing": {**earlier, **missing}, "left_out": left_out, "jobs": jobs}
    with Progress("rows") as bar:
        try:
            outcome = sweep(pictures, usable, options, out, Extras(ssimulacra2, lpips), jobs, quick, record,
                            on_start=bar.start, on_rows=bar.advance)
        except SweepStopped as error:
            raise click.ClickException(str(error)) from error
    say(f"{outcome.measured} rows measured, {outcome.kept} were there")
    for what, reason in outcome.failures.items():
        say(f"failed: {what}: {reason}")
    if with_page:
        _compare(photos or pictures[:2], usable, out, quick)
    _write_report(out, None)


@bench.command("report")
@click.argument("out", type=click.Path(exists=True, file_okay=False, path_type=Path), default=DEFAULT_OUT)
@click.option("--readme", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Write table and figure between the markers of this README.")
@click.option("--pictures", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Take the page's pictures to compare from this folder.")
@_codec_options
@needs_extra
def report_command(out: Path, readme: Path | None, folder: Path | None, **chosen: Any) -> None:
    """Write the report again from the table in OUT."""
    from . import codecs as all_codecs
    from .comparison import CODECS, PICTURES, evenly
    from .pictures import from_folder

    if folder is not None:
        usable, missing = all_codecs.available(_names(chosen["names"], CODECS), _options(_cores(), **chosen))
        for codec, reason in missing.items():
            say(f"not shown: {codec}: {reason}")
        photos, left_out = from_folder(folder, folder.resolve().name)
        for file, reason in left_out.items():
            say(f"left out: {file}: {reason}")
        _compare(evenly(photos, PICTURES), usable, out, False)
    _write_report(out, readme)


@bench.command("speed")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=DEFAULT_OUT, show_default=True,
              help="Folder for speed.csv; the report there gains a section.")
@click.option("--picture", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A photo whose mirrored tiles make up the sizes; default: generated noise.")
@click.option("--threads", type=click.IntRange(1), help="Threads; default: all cores.")
@click.option("--largest", type=float, default=24.0, show_default=True, help="Largest size in megapixels.")
@click.option("--runs", type=click.IntRange(1), default=7, show_default=True, help="Runs after the warm-up.")
@click.option("--limit", type=float, default=30.0, show_default=True,
              help="Skip sizes at which one encoding and decoding would take longer, in seconds.")
@_codec_options
@needs_extra
def speed_command(out: Path, picture: Path | None, threads: int | None, largest: float, runs: int, limit: float,
                  **chosen: Any) -> None:
    """Measure speed and memory from 0.4 to 24 megapixels."""
    from . import codecs as all_codecs
    from . import speed
    from .report import SPEED
    from .sweep import machine

    options = _options(threads or _cores(), **chosen)
    usable, missing = [], {}
    for name in _names(chosen["names"], all_codecs.SPEED):
        problem = _try(name, options)
        if problem is None:
            usable.append(name)
        else:
            missing[name] = problem
            say(f"not measured: {name}: {problem}")
    sizes = [size for size in speed.SIZES if size[0] * size[1] / 1e6 <= largest * 1.001]
    if not usable or not sizes:
        raise click.ClickException("nothing to measure: no codec can be used here, or --largest is below 0.4")
    say(f"{machine()}; {options.threads} thread(s), device {_device(options.device)}")
    out.mkdir(parents=True, exist_ok=True)

    def done(name: str, size: tuple[int, int], rows: Sequence[speed.Measurement]) -> None:
        texts = [f"{row.stage} " + (row.note or f"{row.mp_per_s:.2f} MP/s, {row.peak_mb or 0:.0f} MB")
                 for row in rows if row.stage in ("encode", "decode")]
        bar.log(f"{name:34} {size[0]}x{size[1]:<5} {', '.join(texts)}")
        bar.advance(1)

    with Progress("measurements") as bar:
        bar.start(len(usable) * len(sizes))
        found = speed.run(usable, options, sizes, machine(), picture, runs, limit, done)
    found += [speed.Measurement(name, "", "", stage, *size, size[0] * size[1] / 1e6, None, None, None, 0, None, None,
                                None, options.device, options.threads, machine(), "not installed")
              for name in missing for size in sizes[:1] for stage in ("encode", "decode")]
    speed.write(out / SPEED, found)
    say(f"wrote {out / SPEED}")
    if (out / "results.csv").exists():
        _write_report(out, None)


@bench.command("kernels")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=DEFAULT_OUT, show_default=True,
              help="Folder for kernels.csv.")
@click.option("--sizes", help="Picture sizes, separated by commas: 768x512,1920x1080.")
@click.option("--repeats", type=click.IntRange(1), help="How often each is timed.")
def kernels_command(out: Path, **chosen: Any) -> None:
    """Measure the Triton kernels against plain torch, on a GPU."""
    from . import kernels

    given: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    if "sizes" in given:
        given["sizes"] = given["sizes"].split(",")
    out.mkdir(parents=True, exist_ok=True)
    kernels.run(out / "kernels.csv", **given)


@bench.command("autoencoders")
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=DEFAULT_OUT + "/autoencoders",
              show_default=True, help="Folder for the tables, their plots and the page.")
def autoencoders_command(tables: tuple[str, ...], out: Path) -> None:
    """Measure the estimators for tables and small pictures beside their baselines.

    TABLE: linear, reconstruct, denoise, masked, detector; default: all.
    """
    missing = [name for name in ("sklearn", "matplotlib", "scipy") if importlib.util.find_spec(name) is None]
    if missing:
        raise click.ClickException(f"these benchmarks need more packages (missing: {', '.join(missing)}); install "
                                   "them with: pip install aecodec[bench,ml]")
    from .autoencoders.run import TABLES, run

    for name in tables:
        if name not in TABLES:
            raise click.BadParameter(f"no table named {name}; choose from {', '.join(TABLES)}", param_hint="TABLE")
    if run(tables or TABLES, out, say):
        raise click.ClickException("some tables could not be made; see above")


# -- between the commands and the modules ------------------------------------------------------------------------


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _device(device: str) -> str:
    import torch

    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def _options(threads: int, model: str | None, device: str, checkpoints: Sequence[str], **_other: Any) -> Options:
    from .codecs import COMPRESSAI_MODELS, Options

    found: dict[str, dict[int, Path]] = {}
    for text in checkpoints:
        architecture, _, rest = text.partition(":")
        quality, _, file = rest.partition(":")
        if architecture not in COMPRESSAI_MODELS or not quality.isdigit() or not Path(file).is_file():
            raise click.BadParameter(f"{text}: expected ARCHITECTURE:QUALITY:FILE with an existing file and one of "
                                     f"{', '.join(COMPRESSAI_MODELS)}", param_hint="--compressai")
        found.setdefault(architecture, {})[int(quality)] = Path(file)
    return Options(threads, _device(device), model, found)


def _names(text: str | None, default: Sequence[str]) -> list[str]:
    from .codecs import NAMES

    names = text.split(",") if text else list(default)
    for name in names:
        if name not in NAMES:
            raise click.BadParameter(f"no codec named {name}; choose from {', '.join(NAMES)}", param_hint="--codecs")
    return names


def _try(name: str, options: Options) -> str | None:
    """Why a codec cannot be used; None if it can."""
    from .codecs import available

    _, missing = available([name], options)
    return missing.get(name)


def _compare(pictures: Sequence[Picture], usable: Sequence[Codec], out: Path, quick: bool) -> None:
    from . import comparison

    shown = [codec for codec in usable if codec.name in comparison.CODECS or codec.name.startswith("compressai-")]
    pictures = comparison.evenly(pictures, 1 if quick else comparison.PICTURES)
    rates = comparison.RATES[:1] if quick else comparison.RATES
    with Progress("pictures to compare") as bar:
        bar.start(len(pictures) * len(rates) * len(shown))
        comparison.write(out, comparison.compare(pictures, shown, rates, lambda: bar.advance(1)))


def _write_report(out: Path, readme: Path | None) -> None:
    from . import comparison, page, report, table
    from .sweep import TABLE, read_record

    try:
        rows = table.read(out / TABLE)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if not rows:
        raise click.ClickException(f"no results in {out}; run `aecodec bench FOLDER --out {out}` first")
    results = report.Results(rows, read_record(out), report.read_speed(out / report.SPEED))
    figures = report.save_figures(results, out)
    sections = report.sections(results)
    (out / report.MARKDOWN).write_text(report.markdown(sections), encoding="utf-8")
    text = page.render(sections, figures, report.figure_lines(results), comparison.read(out))
    (out / page.PAGE).write_text(text, encoding="utf-8")
    say(f"wrote {out / report.MARKDOWN} and {out / page.PAGE} ({len(text) / 1e6:.1f} MB)")
    if readme is not None:
        try:
            report.write_readme(readme, results, out)
        except ValueError as error:
            raise click.ClickException(str(error)) from error
        say(f"wrote the results into {readme}")


class Progress:
    """A progress bar on stderr."""

    def __init__(self, unit: str) -> None:
        from rich import progress
        from rich.console import Console

        self.bar = progress.Progress(progress.TextColumn(unit), progress.BarColumn(), progress.MofNCompleteColumn(),
                                     progress.TimeRemainingColumn(), console=Console(file=sys.stderr))

    def __enter__(self) -> Progress:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def start(self, total: int) -> None:
        """Begin to count to `total`."""
        self.task = self.bar.add_task("", total=total)

    def advance(self, count: int) -> None:
        """Count on."""
        self.bar.advance(self.task, count)

    def log(self, text: str) -> None:
        """Print a line above the bar."""
        self.bar.console.print(text, highlight=False, soft_wrap=True)
