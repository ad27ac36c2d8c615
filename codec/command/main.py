"""The `aecodec` command: its group, how its commands end, and its version.

Every command stands in a module that is imported when the command is asked for: `aecodec --help` and `aecodec info`
import neither NumPy nor Pillow nor torch.
"""

from __future__ import annotations

import importlib
import os
import shlex
import sys
import warnings
from typing import Any, NamedTuple

import click

from ..errors import AecError
from ..version import __version__
from .reporting import FAILED, INTERRUPTED, exit_code, words


class Entry(NamedTuple):
    """A command of the group: where it stands, and what the list of commands says of it."""

    module: str
    help: str


COMMANDS = {
    "compress": Entry(".compress", "Compress pictures to .aec files."),
    "decompress": Entry(".decompress", "Decompress .aec files to pictures."),
    "denoise": Entry(".restore", "Take the noise out of pictures."),
    "inpaint": Entry(".restore", "Fill in missing parts of pictures."),
    "info": Entry(".inspect", "Show what .aec files hold."),
    "test": Entry(".inspect", "Test whether .aec files are whole."),
    "compare": Entry(".inspect", "Compare two pictures: sizes, PSNR, MS-SSIM."),
    "embed": Entry(".search", "Write an index of pictures to search in."),
    "search": Entry(".search", "Find copies and crops of a picture."),
    "dedupe": Entry(".search", "List pictures that are copies of each other."),
    "anomaly": Entry(".anomaly", "Find what is unlike good pictures, and where."),
    "models": Entry(".inspect", "List the models that come with the package."),
    "completion": Entry(".shell", "Print the script that completes commands in a shell."),
    "train": Entry(".train", "Train a model, or go on with a training."),
    "export": Entry(".train", "Turn a training checkpoint into weights to load."),
    "bench": Entry("aecodec.bench.cli", "Compare with other codecs: rate-distortion and speed."),
}


class Commands(click.Group):
    """A group whose commands are imported when asked for, and end with one line and an exit code, no traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        try:
            found: click.Command = getattr(importlib.import_module(entry.module, __package__), cmd_name)
        except ImportError as error:
            if cmd_name != "bench":
                raise
            return _bench_without(error.name or "a package")
        return found

    def resolve_command(self, ctx: click.Context, args: list[str],
                        ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and (os.path.exists(name) or os.path.splitext(name)[1]):
            command = "decompress" if name.lower().endswith(".aec") else "compress"
            ctx.fail(f"{name!r} is no command; for a file: aecodec {command} {shlex.join(args)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _Warnings()  # type: ignore[assignment]
                return super().invoke(ctx)
        except AecError as error:
            click.echo(f"aecodec: {words(error)}", err=True)
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


class _Warnings:
    """Shows each warning once, as a line."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def __call__(self, message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        text = str(message)
        if not issubclass(category, DeprecationWarning) and text not in self.seen:
            self.seen.add(text)
            click.echo(f"aecodec: warning: {text}", err=True)


def _bench_without(missing: str) -> click.Command:
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
    from ..engine import choice

    for line in choice.describe():
        click.echo(line)
    click.echo(f"models {names}")
    ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
              help="Show the version, the engines and the models.")
def main() -> None:
    """Compress photographs with a learned codec: smaller than JPEG and WebP.

    \b
    Exit codes: 0 done, 1 failed (or some files did), 2 wrong usage,
    3 damaged file, 4 the file needs something this version lacks.
    """
