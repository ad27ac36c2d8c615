"""What the arguments of `aecodec bench` stand for: codecs, models, metrics, devices."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from .codecs import Options


def cores() -> int:
    """The logical cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_of(device: str) -> str:
    """`cpu` or `cuda`, where `auto` takes the GPU if there is one."""
    import torch

    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def metrics_of(text: str | None, quick: bool) -> tuple[list[str], dict[str, str]]:
    """The metrics to measure, and why others cannot be: name -> reason."""
    from .metrics import BY_NAME, METRICS

    names = text.split(",") if text else [metric.name for metric in METRICS if not (quick and metric.slow)]
    for name in names:
        if name not in BY_NAME:
            raise click.BadParameter(f"no metric named {name}; choose from {', '.join(BY_NAME)}",
                                     param_hint="--metrics")
    if "psnr_rgb" not in names:
        names = ["psnr_rgb", *names]  # the report is built around it
    problems = {name: BY_NAME[name].problem() for name in names}
    return ([name for name, problem in problems.items() if problem is None],
            {name: problem for name, problem in problems.items() if problem is not None})


def models_of(given: Sequence[str]) -> dict[str, str]:
    """The models to measure, ours: name -> what to open it by."""
    from aecodec import AecError, models

    if not given:
        return {models.DEFAULT_MODEL: models.DEFAULT_MODEL}
    found: dict[str, str] = {}
    for model in given:
        try:
            info = models.find(model)
        except AecError as error:
            raise click.BadParameter(str(error), param_hint="--model") from None
        if info.name in found:
            raise click.BadParameter(f"{found[info.name]} and {model} are both named {info.name}; export one of them "
                                     "under another name", param_hint="--model")
        found[info.name] = model
    return found


def options_of(threads: int, models: Sequence[str], device: str, checkpoints: Sequence[str], **_other: Any) -> Options:
    """What the codecs are opened with."""
    from .codecs import COMPRESSAI_MODELS, Options

    found: dict[str, dict[int, Path]] = {}
    for text in checkpoints:
        architecture, _, rest = text.partition(":")
        quality, _, file = rest.partition(":")
        if architecture not in COMPRESSAI_MODELS or not quality.isdigit() or not Path(file).is_file():
            raise click.BadParameter(f"{text}: expected ARCHITECTURE:QUALITY:FILE with an existing file and one of "
                                     f"{', '.join(COMPRESSAI_MODELS)}", param_hint="--compressai")
        found.setdefault(architecture, {})[int(quality)] = Path(file)
    return Options(threads, device_of(device), models_of(models), found)


def codecs_of(text: str | None, default: Sequence[str], options: Options) -> list[str]:
    """The codecs asked for by name; `aecodec` stands for each of the models."""
    from .codecs import NAMES, OURS, OURS_PREFIX, is_known

    names = text.split(",") if text else list(default)
    for name in names:
        if name != OURS and not is_known(name):
            raise click.BadParameter(f"no codec named {name}; choose from {', '.join(NAMES)}", param_hint="--codecs")
    ours = [OURS_PREFIX + model for model in options.models]
    return list(dict.fromkeys(one for name in names for one in (ours if name == OURS else [name])))


def problem_of(name: str, options: Options) -> str | None:
    """Why a codec cannot be used; None if it can."""
    from .codecs import available

    _, missing = available([name], options)
    return missing.get(name)
