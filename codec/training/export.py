"""From a checkpoint to a model that ships: integer weights, probability tables, and a card of how it was made."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.progress import track

from .. import coder, models
from ..coder import Coder
from ..errors import UnknownModel
from ..format.constants import ACTIVATION_BITS, EXPERIMENTAL_ID, LEVELS, TABLES
from ..format.container import write_file
from ..format.entropy import Tables, build_tables
from ..network.context import Means, step_of
from ..network.hyperprior import (
    SIGMA_MAX,
    SIGMA_MIN,
)
from ..network.model import CodecNetwork, ModelConfig, Network
from ..network.quantisation import towards_zero
from .data import find_pictures, read_picture
from .dead_zones import Curvatures, fit_dead_zones, squared_columns

MAX_HALF = 1023
LOGISTIC = math.sqrt(3) / math.pi  # scale of a logistic of unit standard deviation
FIT_LEVELS = tuple(range(0, LEVELS, 7))
CARD_LEVELS = tuple(range(0, LEVELS, 7))
FLOAT32_PARTS = ("knots", "rounding.channels", "rounding.tables")  # spans of many powers of two


# -- probability tables -----------------------------------------------------------------------------------------


def table_sigmas() -> np.ndarray:
    """The standard deviations of tables 1..63."""
    return np.geomspace(SIGMA_MIN, SIGMA_MAX, TABLES - 1)


def logistic_table(sigma: float, half: int) -> np.ndarray:
    """Probabilities of `-half..half`, and of everything outside, under a logistic of standard deviation `sigma`."""
    edges = np.arange(half + 1) + 0.5
    with np.errstate(over="ignore"):
        beyond = 1 / (1 + np.exp(edges / (LOGISTIC * sigma)))  # P(x > edge)
    upper = np.concatenate([[0.5], beyond[:-1]]) - beyond
    inside = np.concatenate([upper[:0:-1], [2 * upper[0]], upper[1:]])
    return np.append(inside, max(2 * beyond[-1], 1e-9))


def fit_table(counts: np.ndarray, sigma: float) -> np.ndarray:
    """The probabilities of one table from the symbols seen with it.

    A two-logistic mixture is fitted by maximum likelihood, and the histogram is then blended in: the more symbols
    were seen per entry, the more the histogram counts.

    Args:
        counts: how often each of `-half..half` and, last, anything outside was seen.
        sigma: the standard deviation the table was trained for.
    """
    half = (len(counts) - 2) // 2
    counts = counts.astype(np.float64)
    counts[:-1] = (counts[:-1] + counts[-2::-1]) / 2  # the sign carries no information
    ratios = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0)
    candidates = {r: logistic_table(sigma * r, half) for r in ratios}
    best, best_cost = candidates[1.0], math.inf
    for narrow in ratios:
        for wide in (r for r in ratios if r >= narrow):
            for share in (0.5, 0.7, 0.8, 0.9, 0.95):
                mixture = share * candidates[narrow] + (1 - share) * candidates[wide]
                cost = -float(counts @ np.log(mixture))
                if cost < best_cost:
                    best, best_cost = mixture, cost
    prior = 4.0 * len(counts)
    return (counts + prior * best / best.sum()) / (counts.sum() + prior)


def table_half(sigma: float) -> int:
    """The largest symbol in a table of that standard deviation."""
    return min(MAX_HALF, math.ceil(9 * sigma) + 1)


def logistic_tables() -> Tables:
    """The tables a network is trained for, not fitted to data: 1..63 for the latents and the same again for z."""
    return build_tables([logistic_table(s, table_half(s)) for s in table_sigmas()] * 2)


def empty_histograms() -> list[np.ndarray]:
    """For every table: zero counts of `-half..half` and of anything outside."""
    return [np.zeros(2 * table_half(sigma) + 2) for sigma in table_sigmas()]


def count_symbols(histograms: list[np.ndarray], symbols: np.ndarray, index: np.ndarray) -> None:
    """Add symbols coded with tables `index` (1..63) to the histograms."""
    index = index.astype(np.int64)
    order = np.argsort(index.reshape(-1).astype(np.uint8), kind="stable")
    ordered = symbols.reshape(-1)[order].astype(np.int64)
    stops = np.cumsum(np.bincount(index.reshape(-1), minlength=TABLES))
    for table, histogram in enumerate(histograms, start=1):
        values = ordered[stops[table - 1]:stops[table]]
        half = (len(histogram) - 2) // 2
        slots = np.where(np.abs(values) > half, 2 * half + 1, values + half)
        histogram += np.bincount(slots, minlength=len(histogram))


class Coded(NamedTuple):
    """A picture as a network codes it: symbols of z, table indices, symbols, and the latents the decoder gets."""

    z: torch.Tensor  # [Z, h/4, w/4]
    tables: torch.Tensor  # [M, h, w]
    symbols: torch.Tensor  # [M, h, w]
    known: torch.Tensor  # [1, M, h, w]


@torch.no_grad()
def code_picture(network: CodecNetwork, picture: torch.Tensor, level: int) -> Coded:
    """Code a centred picture `[1, 3, H, W]` (multiples of 64)."""
    levels = torch.tensor([level])
    gain = network.gain(levels)
    with torch.autocast("cpu", torch.bfloat16):
        latents = network.analysis(picture, levels)
    scaled = latents.float() * gain
    z = next(network.hyper_latents(iter([scaled]), level))
    index = network.scale_decoder(z, level)
    steps = step_of(scaled.shape[1], scaled.shape[2], scaled.shape[3])
    symbols, known = torch.zeros_like(scaled), torch.zeros_like(scaled)
    cells = index.long() + TABLES * torch.arange(index.shape[1])[:, None, None]
    dead = network.rounding.at(level).flatten()[cells]

    def code(step: int, predicted: Means) -> torch.Tensor:
        nonlocal symbols, known
        now, means = steps == step, predicted.all()
        residual = towards_zero(scaled - means * gain, dead)
        symbol = torch.where(now & (index > 0), torch.round(residual), 0)
        symbols, known = symbols + symbol, torch.where(now, symbol / gain + means, known)
        return known

    network.context(next(network.features(iter([z]), level)), levels, code)
    return Coded(z[0], index[0], symbols[0], known)


def spread(pictures: list[Path], count: int) -> list[Path]:
    """At most so many of the pictures, evenly spread."""
    return [pictures[i] for i in np.linspace(0, len(pictures) - 1, min(count, len(pictures))).astype(int)]


def sample_pictures(paths: list[Path], description: str) -> Iterator[torch.Tensor]:
    """The pictures of files, centred `[1, 3, H, W]`, cropped to multiples of 64 and at most 768; no broken ones."""
    for path in track(paths, description=description, transient=True):
        try:
            pixels = read_picture(path)
        except Exception:  # a decoder may raise anything on a broken file; training skipped it, too
            continue
        height, width = (min(side // 64 * 64, 768) for side in pixels.shape[:2])
        if height and width:
            picture = torch.from_numpy(pixels[:height, :width].copy()).permute(2, 0, 1)[None].float() / 255 - 0.5
            yield picture.contiguous(memory_format=torch.channels_last)


def fit_tables(network: CodecNetwork, pictures: list[Path], levels: tuple[int, ...] = FIT_LEVELS) -> Tables:
    """Tables 1..63 for the latents and 64..126 for z, fitted to what the network codes in some pictures."""
    y_counts, z_counts = empty_histograms(), empty_histograms()
    for picture in sample_pictures(pictures, "fitting tables"):
        for level in levels:
            coded = code_picture(network, picture, level)
            count_symbols(y_counts, coded.symbols.numpy(), coded.tables.numpy())
            z_index = np.broadcast_to(network.z_index[level].numpy()[:, None, None], coded.z.shape)
            count_symbols(z_counts, coded.z.numpy(), np.ascontiguousarray(z_index) - (TABLES - 1))
    sigmas = table_sigmas()
    return build_tables([fit_table(c, s) for counts in (y_counts, z_counts)
                         for c, s in zip(counts, sigmas, strict=True)])


def fit_rounding(network: CodecNetwork, tables: Tables, pictures: list[Path],
                 levels: tuple[int, ...] = FIT_LEVELS) -> None:
    """Set the network's dead zones by its curvatures in some pictures and by what the tables charge for a symbol."""
    torch.manual_seed(0)
    measured = {level: Curvatures(network.config.latents) for level in levels}
    for picture in sample_pictures(pictures, "fitting dead zones"):
        for level in levels:
            coded = code_picture(network, picture, level)
            gain = network.gain(torch.tensor([level])).detach()
            measured[level].add(squared_columns(network, coded.known, level, gain), coded.tables)
    fit_dead_zones(network, tables, measured)


def freeze(network: Network, pictures: list[Path]) -> CodecNetwork:
    """The shipped form of a network, its dead zones fitted to a quarter of the pictures."""
    frozen = CodecNetwork.frozen(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    # What a symbol costs decides which symbols there are, and they decide what they cost: once round is enough.
    fit_rounding(frozen, fit_tables(frozen, pictures[::2]), pictures[::4])
    return frozen


# -- weights ----------------------------------------------------------------------------------------------------


def network_of(checkpoint: dict[str, Any]) -> Network:
    """The averaged network of a checkpoint."""
    network = Network(ModelConfig.from_dict(checkpoint["config"]))
    network.load_state_dict(checkpoint["network"])
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), checkpoint["average"], strict=True):
            parameter.copy_(value)
    return network.eval()


def shipped_tensors(network: Network, frozen: CodecNetwork, tables: Tables) -> dict[str, np.ndarray]:
    """All tensors of a weights file. Weights are float16: half the size, at a cost that cannot be measured."""
    tensors = {}
    for name, tensor in frozen.state_dict().items():
        keep = not tensor.is_floating_point() or name.endswith(FLOAT32_PARTS)
        tensors[name] = (tensor if keep else tensor.half()).contiguous().numpy()
        if not np.isfinite(tensors[name]).all():
            raise ValueError(f"{name} does not fit float16; the training has diverged")
    tensors[models.TABLE_COUNTS], tensors[models.TABLE_HALVES] = tables.counts, tables.half
    for name in ("scale_decoder.offset.knots", "scale_decoder.finer.knots", "z_scale.knots"):
        tensors[models.TRAINING_PREFIX + name] = network.state_dict()[name].numpy()
    return tensors


def load_trainable(network: Network, path: Path) -> None:
    """Put the weights of a shipped model into a network to be trained further. Raises UnknownModel.

    The integer scale decoder becomes the fractions it stands for, so the network computes what it computed before.
    """
    from safetensors.torch import load_file

    info = models.find(path)
    if ModelConfig.from_dict(info.config) != network.config:
        raise UnknownModel(f"{path} holds a model of other sizes: {info.config}")
    tensors = load_file(info.path)
    state = network.state_dict()
    shipped = {k.removeprefix(models.TRAINING_PREFIX): v for k, v in tensors.items()}
    for name in state:
        if name.startswith("scale_decoder.layers."):
            unit = torch.exp2(-tensors[name.rsplit(".", 1)[0] + ".shift"].float())
            value = tensors[name].float()
            weight = name.endswith("weight")
            state[name] = value.flatten(1) * unit[:, None] if weight else value * unit / 2**ACTIVATION_BITS
        else:
            state[name] = shipped[name].float()
    network.load_state_dict(state)


# -- the model card ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """Means over a folder at one level: real files, whole-file bytes, 8-bit RGB."""

    level: int
    quality: float
    bpp: float
    psnr: float


def evaluate(with_coder: Coder, pictures: list[Path], levels: tuple[int, ...] = CARD_LEVELS) -> list[Point]:
    """Encode, decode and compare every picture at every level."""
    points = []
    for level in track(levels, description="measuring", transient=True):
        rates: list[float] = []
        psnrs: list[float] = []
        for path in pictures:
            try:
                pixels = read_picture(path)
            except Exception as reason:  # a decoder may raise anything on a broken file
                print(f"{path} is left out: {reason}", flush=True)
                continue
            file = with_coder.encode(pixels, level)
            error = with_coder.decode(file).astype(np.float64) - pixels
            rates.append(8 * len(write_file(file)) / (pixels.shape[0] * pixels.shape[1]))
            psnrs.append(10 * math.log10(255**2 / max(float(np.mean(error**2)), 1e-10)))
        points.append(Point(level, round(level * 100 / (LEVELS - 1), 1), float(np.mean(rates)), float(np.mean(psnrs))))
    return points


def model_card(name: str, checkpoint: dict[str, Any], points: list[Point], folder: Path | None, notes: str) -> str:
    """The card as Markdown."""
    options = checkpoint["options"]
    network = Network(ModelConfig.from_dict(checkpoint["config"]))
    parameters = sum(p.numel() for p in network.parameters()) / 1e6
    lines = [
        f"# Model `{name}`", "",
        f"A convolutional autoencoder with {LEVELS} quality levels, {parameters:.1f} M parameters. Experimental: its "
        "files decode with the release that holds these weights, and may not with a later one.", "",
        f"- Sizes: `{json.dumps(checkpoint['config'])}`",
        f"- Steps: {checkpoint['step']:,}; pixels seen: {checkpoint['pixels'] / 1e9:.2f} gigapixels; "
        f"time: {checkpoint['seconds'] / 3600:.2f} h",
        f"- Photos: {checkpoint['photos']:,} used, {len(checkpoint['skipped'])} skipped",
        f"- Batch: {options['batch']} crops of {options['crop']}x{options['crop']}"
        + (f" ({options['early_crop']}x{options['early_crop']} for the first {options['early_share']:.0%})"
           if options["early_crop"] else "")
        + f"; precision: {options['precision']}; learning-rate factor: {options['rate']}; seed: {options['seed']}",
    ]
    lines += [f"- Before: {entry}" for entry in checkpoint["history"]]
    if notes:
        lines += ["", notes.strip()]
    if points:
        lines += ["", f"Means over the pictures of `{folder.name if folder else ''}`, from real files "
                      "(whole-file bytes, 8-bit RGB PSNR):", "",
                  "| level | quality | bits per pixel | PSNR (dB) |", "|---|---|---|---|"]
        lines += [f"| {p.level} | {p.quality} | {p.bpp:.4f} | {p.psnr:.3f} |" for p in points]
    return "\n".join(lines) + "\n"


def export(checkpoint_path: Path, out: Path, name: str, data: Path, model_id: int = EXPERIMENTAL_ID,
           evaluation: Path | None = None, notes: str = "", fit_pictures: int = 48) -> list[Point]:
    """Write `weights.safetensors` and the card `README.md` of a checkpoint into the folder `out`.

    Args:
        data: the training photos, some of which the probability tables are fitted to.
        evaluation: a folder of pictures for the card's rate-distortion table.
    """
    from safetensors.numpy import save_file

    checkpoint = torch.load(checkpoint_path, map_location="cpu", weights_only=True)
    network = network_of(checkpoint)
    for parameter_name, parameter in network.named_parameters():
        if not torch.isfinite(parameter.half() if parameter.ndim > 1 else parameter).all():
            raise ValueError(f"{parameter_name} is not finite in float16; the training has diverged")
    # What ships is float16: the tables are fitted to, and z's tables chosen for, what will really run.
    with torch.no_grad():
        for parameter_name, parameter in network.named_parameters():
            if not parameter_name.startswith("scale_decoder.") and not parameter_name.endswith(FLOAT32_PARTS):
                parameter.copy_(parameter.half().float())
    chosen = spread(find_pictures(data), fit_pictures)
    frozen = freeze(network, chosen)
    tables = fit_tables(frozen, chosen)
    out.mkdir(parents=True, exist_ok=True)
    path = out / models.WEIGHTS_FILE
    temporary = path.with_suffix(".tmp")
    tensors = shipped_tensors(network, frozen, tables)
    metadata = {"name": name, "id": str(model_id), "config": json.dumps(checkpoint["config"]),
                "checksum": models.checksum(tensors)}
    save_file(tensors, str(temporary), metadata=metadata)
    temporary.replace(path)
    points = []
    if evaluation:
        points = evaluate(coder.load(models.read_info(path), "cpu"), find_pictures(evaluation))
    (out / "README.md").write_text(model_card(name, checkpoint, points, evaluation, notes))
    return points

