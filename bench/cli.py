"""`aecodec bench`: arguments, progress and messages. Everything heavy is imported when a command runs."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .arguments import codecs_of, cores, device_of, metrics_of, options_of, problem_of
from .progress import Progress, say, show

if TYPE_CHECKING:
    from .codecs import Codec
    from .pictures import Picture

NEEDED = ("matplotlib", "bjontegaard", "scipy", "rich", "torch", "PIL")
DEFAULT_OUT = "bench-results"
GRAPHICS_PAGE = "graphics.md"


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


@click.group("bench", cls=DefaultGroup)
def bench() -> None:
    """Compare with other codecs: rate-distortion and speed.

    `aecodec bench FOLDER` measures the pictures of a folder and writes a report.
    """


def _codec_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--model", "models", multiple=True,
                     help="A model of aecodec: a name or a weights file; repeatable. Default: the default model."),
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
@click.option("--metrics", "metric_names", help="Only these metrics, separated by commas; default: all that work here.")
@click.option("--settings", "most_settings", type=click.IntRange(2), metavar="N",
              help="N settings of each codec, evenly over its range.")
@click.option("--drawn/--no-drawn", default=True, help="Measure screenshots, text and tiny pictures too.")
@click.option("--page/--no-page", "with_page", default=True, help="Make the page with pictures to compare.")
@_codec_options
@needs_extra
def sweep_command(folder: Path | None, out: Path, name: str | None, quick: bool, jobs: int | None,
                  threads: int | None, metric_names: str | None, most_settings: int | None, drawn: bool,
                  with_page: bool, **chosen: Any) -> None:
    """Measure the pictures of FOLDER with every codec and write the report.

    Without FOLDER, only the drawn pictures are measured. A second start with the same --out measures what is missing.
    """
    from . import codecs as all_codecs
    from .pictures import drawn as drawn_pictures
    from .sweep import QUICK_PICTURES, QUICK_SETTINGS, SweepStopped, read_record, sweep

    if jobs is None:
        jobs = 1 if device_of(chosen["device"]) == "cuda" else cores()
    options = options_of(threads or max(1, cores() // jobs), **chosen)
    names = codecs_of(chosen["names"], [
        *(all_codecs.QUICK if quick else all_codecs.SWEEP),
        *(all_codecs.COMPRESSAI_PREFIX + architecture for architecture in options.compressai)], options)
    judges, missing = metrics_of(metric_names, quick)
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

    photos, left_out = _photos(folder, name, QUICK_PICTURES if quick else None)
    pictures = photos + (drawn_pictures(photos, quick) if drawn else [])
    if not pictures:
        raise click.ClickException("nothing to measure; name a folder of pictures")
    say(f"{len(pictures)} pictures, {len(usable)} codecs, {jobs} jobs of {options.threads} thread(s)")

    asked = {*names, *judges}
    earlier = {absent: reason for absent, reason in read_record(out).get("missing", {}).items() if absent not in asked}
    record = {"missing": {**earlier, **missing}, "left_out": left_out, "jobs": jobs}
    with Progress("rows") as bar:
        try:
            outcome = sweep(pictures, usable, options, out, judges, jobs,
                            QUICK_SETTINGS if quick else most_settings, record, on_start=bar.start, on_rows=bar.advance)
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

    if folder is not None:
        options = options_of(cores(), **chosen)
        usable, missing = all_codecs.available(codecs_of(chosen["names"], CODECS, options), options)
        for codec, reason in missing.items():
            say(f"not shown: {codec}: {reason}")
        _compare(evenly(_photos(folder)[0], PICTURES), usable, out, False)
    _write_report(out, readme)


@bench.command("sheets")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder for the sheets.")
@click.option("--model", "models", multiple=True,
              help="A model of aecodec: a name or a weights file; repeatable. Default: the default model.")
@click.option("--rates", default="0.25,0.5,1.0", show_default=True, help="Bits per pixel, separated by commas.")
@click.option("--pictures", "count", type=click.IntRange(1), default=12, show_default=True,
              help="How many pictures, spread over the folder.")
@click.option("--codecs", "names", default="aecodec,avif", show_default=True, help="Codecs, separated by commas.")
@click.option("--together", metavar="NAME.webp",
              help="Instead, one file for all pictures: a row each at the first rate, small enough for a page.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
              help="Where aecodec runs.")
@needs_extra
def sheets_command(folder: Path, out: Path, models: tuple[str, ...], rates: str, count: int, names: str,
                   together: str | None, device: str) -> None:
    """Make sheets of crops to look at: original, aecodec, AVIF.

    A PNG for each picture, a row for each rate. The first model's file comes as near to the rate as it can, and the
    others as near to its bytes.
    """
    from . import sheets
    from .codecs import available
    from .comparison import evenly

    if out.resolve() == folder.resolve():
        raise click.BadParameter("the sheets cannot go among the pictures; name another folder", param_hint="--out")
    try:
        targets = [float(rate) for rate in rates.split(",")]
    except ValueError:
        targets = []
    if not targets or min(targets) <= 0:
        raise click.BadParameter(f"{rates}: expected bits per pixel such as 0.25,0.5,1.0", param_hint="--rates")
    options = options_of(cores(), models, device, ())
    usable, missing = available(codecs_of(names, (), options), options)
    for codec, reason in missing.items():
        say(f"not shown: {codec}: {reason}")
    if not usable:
        raise click.ClickException("none of the codecs can be used here; see above")
    chosen = evenly(_photos(folder)[0], count)
    out.mkdir(parents=True, exist_ok=True)
    if together is not None:
        sheets.save_together(chosen, usable, targets[0], out / together)
        say(f"wrote {out / together} ({(out / together).stat().st_size:,} bytes)")
        return
    with Progress("sheets") as bar:
        bar.start(len(chosen))
        for picture in chosen:
            sheets.save(picture, usable, targets, out)
            bar.advance(1)
    say(f"wrote {len(chosen)} sheets into {out}")


@bench.command("speed")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=DEFAULT_OUT, show_default=True,
              help="Folder for speed.csv; the report there gains a section.")
@click.option("--picture", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A photo whose mirrored tiles make up the sizes; default: generated noise.")
@click.option("--threads", type=click.IntRange(1), help="Threads; default: all cores.")
@click.option("--largest", type=click.FloatRange(0, min_open=True), default=24.0, show_default=True,
              help="Largest size in megapixels.")
@click.option("--runs", type=click.IntRange(1), default=7, show_default=True, help="Runs after the warm-up.")
@click.option("--limit", type=float, default=30.0, show_default=True,
              help="Skip sizes at which one encoding and decoding would take longer, in seconds.")
@_codec_options
@needs_extra
def speed_command(out: Path, picture: Path | None, threads: int | None, largest: float, runs: int, limit: float,
                  **chosen: Any) -> None:
    """Measure speed and memory.

    From 0.4 to 24 megapixels, ours on each engine; at 1.6 also while another program keeps a core busy; from a
    shell, the start of the program included; and what an install takes.
    """
    from . import codecs as all_codecs
    from . import speed, speed_run
    from .drawings import photograph
    from .pictures import read_pixels
    from .sweep import machine

    options = options_of(threads or cores(), **chosen)
    usable, missing = [], {}
    for name in codecs_of(chosen["names"], all_codecs.SPEED, options):
        problem = problem_of(name, options)
        if problem is None:
            usable.append(name)
        else:
            missing[name] = problem
            say(f"not measured: {name}: {problem}")
    sizes = [size for size in speed.SIZES if size[0] * size[1] / 1e6 <= largest * 1.001]
    if not usable or not sizes:
        raise click.ClickException("nothing to measure: no codec can be used here, or --largest is below 0.4")
    say(f"{machine()}; {options.threads} thread(s), device {device_of(options.device)}")
    out.mkdir(parents=True, exist_ok=True)
    pixels = read_pixels(picture) if picture else photograph()
    speed_run.write(speed_run.run(usable, missing, options, sizes, pixels, machine(), runs, limit), out)
    if (out / "results.csv").exists():
        _write_report(out, None)


@bench.command("graphics")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=DEFAULT_OUT, show_default=True,
              help="Folder for graphics.md.")
@needs_extra
def graphics_command(out: Path) -> None:
    """Measure pictures that are no photographs at the default quality: screenshots, text, charts."""
    from . import document, graphics

    with Progress("pictures") as bar:
        bar.start(len(graphics.GRAPHICS))
        table = graphics.table(lambda: bar.advance(1))
    parts = ("Bytes at the default quality; the other lossy formats at the same SSIMULACRA2.", table)
    show(parts)
    out.mkdir(parents=True, exist_ok=True)
    text = document.markdown([document.Section("Pictures that are no photographs", parts)])
    (out / GRAPHICS_PAGE).write_text(text, encoding="utf-8")
    say(f"wrote {out / GRAPHICS_PAGE}")


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

    TABLE: linear, reconstruct, denoise, masked, variational, sparse, contractive, detector, molecules; default: all.
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


@bench.command("latents")
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option("--pictures", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder of pictures to measure on, such as Kodak's 24.")
@click.option("--photos", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder of many photos, for tables that take a collection.")
@click.option("--count", type=click.IntRange(1), metavar="N",
              help="N of the pictures, evenly spread.  [default: all, or as many as a table takes]")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=DEFAULT_OUT + "/latents",
              show_default=True, help="Folder for the tables, their plots and the page.")
def latents_command(tables: tuple[str, ...], pictures: Path | None, photos: Path | None, count: int | None,
                    out: Path) -> None:
    """Measure what latents are good for, beside plain baselines. Tables: those of its page; default: all."""
    missing = [name for name in ("skimage", "matplotlib", "scipy") if importlib.util.find_spec(name) is None]
    if missing:
        raise click.ClickException(f"these benchmarks need more packages (missing: {', '.join(missing)}); install "
                                   "them with: pip install aecodec[bench]")
    from .latents.inputs import Inputs
    from .latents.run import TABLES, run

    for name in tables:
        if name not in TABLES:
            raise click.BadParameter(f"no table named {name}; choose from {', '.join(TABLES)}", param_hint="TABLE")
    if run(tables or TABLES, Inputs(pictures, photos, count), out, say):
        raise click.ClickException("some tables could not be made; see above")


# -- what several commands share ---------------------------------------------------------------------------------


def _photos(folder: Path | None, name: str | None = None,
            limit: int | None = None) -> tuple[list[Picture], dict[str, str]]:
    """The pictures of a folder, and what was left out; it is said, too. None of either without a folder."""
    from .pictures import DRAWN, from_folder

    if folder is None:
        return [], {}
    dataset = name or folder.resolve().name
    if dataset in DRAWN:
        raise click.ClickException(f"{dataset} is the name of a drawn dataset; choose another with --name")
    photos, left_out = from_folder(folder, dataset, limit)
    for file, reason in left_out.items():
        say(f"left out: {file}: {reason}")
    if not photos:
        raise click.ClickException(f"{folder} holds no picture that can be read")
    return photos, left_out


def _compare(pictures: Sequence[Picture], usable: Sequence[Codec], out: Path, quick: bool) -> None:
    from . import comparison
    from .codecs import is_learned

    shown = [codec for codec in usable if codec.name in comparison.CODECS or is_learned(codec.name)]
    pictures = comparison.evenly(pictures, 1 if quick else comparison.PICTURES)
    rates = comparison.RATES[:1] if quick else comparison.RATES
    with Progress("pictures to compare") as bar:
        bar.start(len(pictures) * len(rates) * len(shown))
        comparison.write(out, comparison.compare(pictures, shown, rates, lambda: bar.advance(1)))


def _write_report(out: Path, readme: Path | None) -> None:
    from . import comparison, document, page, report, table
    from .readme import write_readme
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
    (out / report.MARKDOWN).write_text(document.markdown(sections), encoding="utf-8")
    text = page.render(sections, figures, report.figure_lines(results), comparison.read(out))
    (out / page.PAGE).write_text(text, encoding="utf-8")
    say(f"wrote {out / report.MARKDOWN} and {out / page.PAGE} ({len(text) / 1e6:.1f} MB)")
    if readme is not None:
        try:
            write_readme(readme, results, out)
        except ValueError as error:
            raise click.ClickException(str(error)) from error
        say(f"wrote the results into {readme}")
