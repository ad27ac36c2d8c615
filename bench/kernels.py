"""How fast the Triton kernels and the whole codec are on a GPU: `aecodec bench kernels`, one CSV.

Every kernel is checked against its torch reference before it is timed. A time is that of the replay of a CUDA graph,
so what Python takes to launch does not count for any contender, with a cold L2 cache. `gb_per_s` counts each byte
that an operation has to read or write once; a device copy of as many bytes is the yardstick.
"""

from __future__ import annotations

import csv
import functools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from aecodec.format.constants import GROUPS

from .drawings import photograph

if TYPE_CHECKING:
    from torch import Tensor

SIZES = ("768x512", "1920x1080", "4000x3000")
REPEATS = 50
LATENTS, CHANNELS, SCALE_CHANNELS, GATE_LIMIT = 320, 192, 640, 8.0  # of the default model
WARM_UP = 3
QUALITY = 50.0


@dataclass(frozen=True)
class Row:
    """One measurement: the median and the quantiles 0.2 and 0.8 of its times.

    `part` is `kernel` or `codec`. A kernel's `variant` is triton, eager, compile or copy, and `of_copy` is the copy's
    time over its own. The codec's operations are encode and decode; `variant` is `total` or a stage (stages are
    timed apart, since waiting for the GPU after each slows the whole), and `per_second` counts pictures.
    """

    part: str
    operation: str
    variant: str
    size: str
    bytes: int | None
    median_ms: float
    q20_ms: float
    q80_ms: float
    gb_per_s: float | None
    of_copy: float | None
    per_second: float | None
    gpu: str
    torch: str
    triton: str
    cuda: str


class Case(NamedTuple):
    """One operation at one size: `run(function)` calls a kernel or its reference and gives what it computed."""

    operation: str
    bytes: int  # that must be read and written
    kernel: Callable[..., Any]
    reference: Callable[..., Any]
    run: Callable[[Callable[..., Any]], tuple[Tensor, ...]]


def parse_size(size: str) -> tuple[int, int]:
    """`WIDTHxHEIGHT` as integers. Raises SystemExit."""
    width, _, height = size.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise SystemExit(f"size {size} is not WIDTHxHEIGHT; give one such as 1920x1080")
    return int(width), int(height)


def cases(width: int, height: int, device: str) -> Iterator[Case]:
    """The kernels at the sizes they have when a picture is coded, on random data, channels_last."""
    import torch

    from aecodec.kernels import dequantiser, gate, integer_scales, pixels, quantiser

    random = torch.Generator(device).manual_seed(0)

    def normal(channels: int, stride: int, dtype: torch.dtype = torch.float32) -> Tensor:
        shape = (1, channels, -(-height // stride), -(-width // stride))
        x = torch.randn(shape, generator=random, device=device).to(dtype)
        return x.contiguous(memory_format=torch.channels_last)

    latents, means = 4 * normal(LATENTS, 16), normal(LATENTS, 16)
    index = (8 * normal(LATENTS, 16)).abs().clamp_(0, 63).to(torch.uint8)
    gain = torch.rand(LATENTS, generator=random, device=device) + 0.5
    dead_zone = 0.2 * torch.rand(LATENTS, 64, generator=random, device=device)
    inverse, y_hat, symbols = gain.reciprocal(), torch.zeros_like(latents), torch.zeros_like(index, dtype=torch.int16)

    def quantise(function: Callable[..., Any]) -> tuple[Tensor, ...]:
        for groups in GROUPS:
            function(latents, means, gain, inverse, index, groups, y_hat, symbols, dead_zone)
        return y_hat, symbols

    def dequantise(function: Callable[..., Any]) -> tuple[Tensor, ...]:
        for groups in GROUPS:
            function(symbols, means, inverse, groups, y_hat)
        return (y_hat,)

    yield Case("quantise, 4 steps", 15 * latents.numel(), quantiser.quantise_triton_, quantiser.quantise_reference_,
               quantise)
    yield Case("dequantise, 4 steps", 10 * latents.numel(), dequantiser.dequantise_triton_,
               dequantiser.dequantise_reference_, dequantise)

    def integers(channels: int, stride: int) -> tuple[Tensor, Tensor, Tensor]:
        bias = torch.randint(-5000, 5000, (channels,), generator=random, device=device, dtype=torch.int32)
        return (normal(channels, stride) * 20000).round_(), bias, torch.full_like(bias, 7).to(torch.uint8)

    hidden = integers(SCALE_CHANNELS, 32)
    yield Case("requantise", 8 * hidden[0].numel(), integer_scales.requantise_triton,
               integer_scales.requantise_reference, lambda function: (function(*hidden, 255),))

    gated = normal(2 * CHANNELS, 8, torch.bfloat16)
    yield Case("gated_activation, bfloat16", 3 * gated.numel(), gate.gated_activation_triton,
               gate.gated_activation_reference, lambda function: (function(gated, None, GATE_LIMIT),))
    patches = (0.3 * normal(CHANNELS, 8)).to(torch.bfloat16)
    patch_bias = 0.1 * torch.randn(CHANNELS, generator=random, device=device)
    yield Case("to_pixels, bfloat16", 3 * patches.numel(), pixels.to_pixels_triton, pixels.to_pixels_reference,
               lambda function: (function(patches, patch_bias, 8),))


def verify(case: Case) -> None:
    """Raise RuntimeError unless a kernel gives what its reference gives: integers equal, floats within bounds."""
    import torch

    expected = []
    for x in case.run(case.reference):
        expected.append(x.clone())
        x.fill_(99)  # where a kernel writes in place, what it leaves out must not look right
    for result, wanted in zip(case.run(case.kernel), expected, strict=True):
        # Two roundings of the reference and one of the kernel, to 8 bits.
        tolerance = 2.0**-6 * wanted.double().abs() if result.dtype == torch.bfloat16 else 0
        if not ((result.double() - wanted.double()).abs() <= tolerance).all():
            raise RuntimeError(f"{case.operation}: the kernel and its torch reference differ; run the kernel tests")


def graph_times(function: Callable[[], Any], repeats: int) -> list[float]:
    """Milliseconds of each of `repeats` replays of a CUDA graph of `function`, each with a cold L2 cache."""
    import torch

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    cache = torch.empty(256 * 2**20, dtype=torch.uint8, device="cuda")
    events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(repeats)]
    for start, stop in events:
        cache.zero_()
        start.record()
        graph.replay()
        stop.record()
    torch.cuda.synchronize()
    return [start.elapsed_time(stop) for start, stop in events]


def quantiles(times: Sequence[float]) -> dict[str, Any]:
    """The median and the quantiles 0.2 and 0.8, as fields of a `Row`."""
    fifths = statistics.quantiles(times, n=5, method="inclusive") if len(times) > 1 else [times[0]] * 4
    return {"median_ms": statistics.median(times), "q20_ms": fifths[0], "q80_ms": fifths[3]}


def kernel_rows(size: str, repeats: int, machine: dict[str, Any]) -> Iterator[Row]:
    """The kernels of one picture size against eager torch, `torch.compile` and a device copy of as many bytes."""
    import torch

    for case in cases(*parse_size(size), "cuda"):
        verify(case)
        source = torch.empty(case.bytes // 2, dtype=torch.uint8, device="cuda").random_()
        target = torch.empty_like(source)
        contenders: dict[str, Callable[[], Any]] = {
            "copy": functools.partial(target.copy_, source),
            "triton": functools.partial(case.run, case.kernel),
            "eager": functools.partial(case.run, case.reference),
            "compile": functools.partial(torch.compile(case.run, dynamic=False), case.reference),
        }
        copy_ms = 0.0
        for variant, function in contenders.items():
            times = quantiles(graph_times(function, repeats))
            copy_ms = copy_ms or times["median_ms"]
            yield Row("kernel", case.operation, variant, size, case.bytes, **times,
                      gb_per_s=case.bytes / times["median_ms"] / 1e6, of_copy=copy_ms / times["median_ms"],
                      per_second=None, **machine)


def codec_rows(size: str, repeats: int, machine: dict[str, Any]) -> Iterator[Row]:
    """Whole encodes and decodes of a picture, from array to bytes and back, and the stages they spend their time in."""
    import aecodec

    codec = aecodec.Codec(device="cuda")
    picture = photograph(*parse_size(size))
    data = codec.encode(picture, QUALITY)
    jobs: dict[str, Callable[..., Any]] = {
        "encode": lambda timings=None: codec.encode(picture, QUALITY, timings=timings),
        "decode": lambda timings=None: codec.decode(data, timings=timings),
    }
    for operation, job in jobs.items():
        for _ in range(WARM_UP):
            job()
        totals: list[float] = []
        stages: list[dict[str, float]] = []
        for _ in range(repeats):
            start = time.perf_counter()
            job()
            totals.append(1e3 * (time.perf_counter() - start))
        for _ in range(repeats):
            stages.append({})
            job(timings=stages[-1])
        parts = {"total": totals} | {stage: [1e3 * run[stage] for run in stages] for stage in stages[0]}
        for variant, times in parts.items():
            summary = quantiles(times)
            yield Row("codec", operation, variant, size, len(data), **summary, gb_per_s=None, of_copy=None,
                      per_second=1e3 / summary["median_ms"], **machine)


def run(output: Path, sizes: Sequence[str] = SIZES, repeats: int = REPEATS) -> None:
    """Time the kernels and the codec on the GPU and write one CSV.

    Args:
        output: the CSV file; written anew after every picture size, so an interrupted run leaves what it has.
        sizes: of the pictures, `WIDTHxHEIGHT`.
        repeats: how often each is timed.

    Raises:
        SystemExit: there is no CUDA device or no Triton, or a size cannot be read.
    """
    import torch

    for size in sizes:
        parse_size(size)
    if repeats < 1:
        raise SystemExit(f"repeats must be 1 or more, not {repeats}")
    if not torch.cuda.is_available():
        raise SystemExit("no CUDA device: this benchmark times kernels on a GPU; run it on a machine with an NVIDIA "
                         "GPU and a CUDA build of torch")
    from aecodec.kernels import backend

    if backend.triton is None:
        raise SystemExit("Triton cannot be imported, so there are no kernels to time; pip install triton")
    machine = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__,
               "triton": backend.triton.__version__, "cuda": str(torch.version.cuda)}
    click.echo(", ".join(f"{name} {value}" for name, value in machine.items()))
    rows: list[Row] = []
    for size in sizes:
        for measure in (kernel_rows, codec_rows):
            for row in measure(size, repeats, machine):
                rows.append(row)
                click.echo(as_line(row))
        write(output, rows)
    click.echo(f"wrote {output}")


def as_line(row: Row) -> str:
    """A row for the terminal."""
    rate = f"{row.gb_per_s:8.0f} GB/s  {row.of_copy:6.0%} of a copy" if row.gb_per_s and row.of_copy else \
        f"{row.per_second:8.1f} a second"
    return f"{row.size:>11}  {row.operation:<27} {row.variant:<15} {row.median_ms:9.4f} ms  {rate}"


def write(output: Path, rows: Sequence[Row]) -> None:
    """The rows as CSV, with a header."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(output, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: f"{value:.6g}" if isinstance(value, float) else value
                             for name, value in asdict(row).items()})
