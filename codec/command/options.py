"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import click

from ..engine import ENGINES
from ..format import container
from ..jobs import storage
from ..jobs.plan import Outputs, Plan, WrongUse, plan

# Several pictures with a thread each are coded faster than one by one with all threads, from two pictures on: on two
# cores 1.3 to 1.5 times in ONNX Runtime, 1.5 to 2.5 times in torch, at 0.4 and 6 megapixels (`tools/measure batch`).
# Each takes its memory, though: with ONNX Runtime four of 24 megapixels 2.3 GiB, where one takes 1.3.
JOBS = 4
Existing = click.Path(path_type=Path)


class Place(click.Path):
    """A path, or the URL of an object or of a prefix, which ends in a slash."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = storage.location(value)
        return found if isinstance(found, storage.Url) else super().convert(found, param, ctx)


PLACE = Place(path_type=Path)


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


class Sigma(click.ParamType):
    """A standard deviation of noise, or `auto`."""

    name = "sigma"
    numbers = click.FloatRange(0, 128)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == "auto" else self.numbers.convert(value, param, ctx)


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
    click.option("--engine", type=click.Choice(ENGINES), default="auto", metavar="auto|onnx|torch",
                 help="What runs the network.  [default: auto]"),
    click.option("--threads", type=COUNT, metavar="N", help="CPU threads in all.  [default: one a core]"),
    click.option("--limit-pixels", type=Pixels(), metavar="N", default=container.MAX_PIXELS,
                 help="Refuse larger pictures; 0: none.  [default: 179M]"),
)
output_options = several(
    click.option("-o", "--output", type=PLACE, metavar="FILE", help="Output file; - for standard output."),
    click.option("--output-dir", type=PLACE, metavar="DIR", help="Folder for the outputs; made if need be."),
    click.option("-r", "--recursive", is_flag=True, help="Take the files in folders; mirror these."),
    click.option("-f", "--force", is_flag=True, help="Overwrite outputs that exist."),
    click.option("--skip-existing", is_flag=True, help="Pass over what has a whole output, not older."),
    click.option("--no-preserve", is_flag=True, help="Do not keep permissions and times."),
)
jobs_option = click.option("--jobs", type=COUNT, metavar="N",
                           help=f"Files at a time.  [default: one a thread, {JOBS} at most]")
batch_options = several(
    click.option("--keep-going/--stop", default=None, help="After a failure.  [default: keep going with -r only]"),
    jobs_option,
    click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON."),
    click.option("--quiet", is_flag=True, help="Print nothing but errors."),
    click.option("-v", "--verbose", is_flag=True, help="Print each file, what is left out, timings."),
)


def _address(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """An address of a cluster. It may be left out, and then what follows must not be taken for one."""
    if not value or value in ("auto", "local") or value.startswith("ray://"):
        return value
    port = value.rpartition(":")[2]
    if "/" in value or not port.isdigit():
        raise click.BadParameter(f"{value!r} is no address of a cluster (auto, local, HOST:PORT, ray://HOST:PORT); "
                                 "without one, put --ray at the end")
    return value


cluster_options = several(
    click.option("--ray", is_flag=False, flag_value="", metavar="[ADDRESS]", is_eager=True, callback=_address,
                 help="On a Ray cluster; without one, start Ray."),
    click.option("--manifest", type=PLACE, metavar="DIR", help="Folder for a list of what became of each object."),
    click.option("--column", metavar="NAME", help="Of Parquet files: where the pictures are."),
)
inputs_argument = click.argument("inputs", metavar="FILE...", type=PLACE, nargs=-1, required=True)


@dataclass(frozen=True)
class Batch:
    """How a command goes through its files, and what it tells of them."""

    recursive: bool = False
    keep_going: bool | None = None
    jobs: int | None = None
    threads: int | None = None  # in all; None: one a core
    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    every_line: bool = False  # a line for every file, whatever `verbose` says

    @property
    def goes_on(self) -> bool:
        """Whether a failure leaves the other files be: files that were found in folders were not chosen one by one."""
        return self.recursive if self.keep_going is None else self.keep_going

    def jobs_for(self, tasks: int) -> int:
        """How many tasks are worked on at a time."""
        from ..engine.device import choose_threads

        return self.jobs or max(1, min(JOBS, tasks, choose_threads(self.threads)))


def output_plan(inputs: Sequence[Path], recursive: bool, refused: Callable[[Path], str | None], outputs: Outputs,
                readable: Callable[[Path], bool]) -> Plan:
    """See `jobs.plan.plan`; what contradicts itself is wrong usage."""
    try:
        return plan(inputs, recursive, refused, outputs, readable)
    except WrongUse as error:
        raise click.UsageError(f"{error} (-o, --output-dir)") from None
