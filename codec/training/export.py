"""From a checkpoint to a model that ships: integer weights, probability tables, one file; and back again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import torch

from .. import coder, files, models
from ..engine.onnx_export import export_graphs
from ..errors import UnknownModel
from ..format.constants import ACTIVATION_BITS, EXPERIMENTAL_ID
from ..format.entropy import Tables
from ..network.model import ModelConfig, ShippedNetwork, TrainableNetwork
from . import checkpoint as checkpoints
from .card import Point, evaluate, model_card
from .coding import code_picture, sample_pictures, spread
from .data import find_pictures
from .dead_zones import Curvatures, fit_dead_zones, squared_columns
from .growth import grown
from .heads import add_heads
from .tables import fit_points, fit_tables

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
FLOAT32_PARTS = ("knots", "rounding.channels", "rounding.tables")  # spans of many powers of two


def fit_rounding(network: ShippedNetwork, tables: Tables, pictures: list[Path]) -> None:
    """Set the network's dead zones by its curvatures in some pictures and by what the tables charge for a symbol."""
    torch.manual_seed(0)
    measured = {level: Curvatures(network.config.latents) for level in fit_points(network)}
    for picture in sample_pictures(pictures, "fitting dead zones"):
        for level in measured:
            coded = code_picture(network, picture, level)
            gain = network.gain(torch.tensor([level])).detach()
            measured[level].add(squared_columns(network, coded.y_hat, level, gain), coded.tables)
    fit_dead_zones(network, tables, measured)


def freeze(network: TrainableNetwork, pictures: list[Path]) -> ShippedNetwork:
    """The shipped form of a network, its dead zones fitted to a quarter of the pictures."""
    frozen = ShippedNetwork.frozen(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    # What a symbol costs decides which symbols there are, and they decide what they cost: once round is enough.
    fit_rounding(frozen, fit_tables(frozen, pictures[::2]), pictures[::4])
    return frozen


def shipped_tensors(network: TrainableNetwork, frozen: ShippedNetwork, tables: Tables) -> dict[str, np.ndarray]:
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


def load_trainable(network: TrainableNetwork, path: Path) -> None:
    """Put the weights of a shipped model into a network to be trained further. Raises UnknownModel.

    The integer scale decoder becomes the fractions it stands for, so the network computes what it computed before. A
    network that has more parts than the model takes it on as it is: see `growth`.
    """
    from safetensors.torch import load_file

    info = models.find(path)
    tensors = load_file(info.path)
    config = ModelConfig.from_dict(info.config)
    state = TrainableNetwork(config).state_dict()
    shipped = {k.removeprefix(models.TRAINING_PREFIX): v for k, v in tensors.items()}
    for name in state:
        if name.startswith("scale_decoder.layers."):
            unit = torch.exp2(-tensors[name.rsplit(".", 1)[0] + ".shift"].float())
            value = tensors[name].float()
            weight = name.endswith("weight")
            state[name] = value.flatten(1) * unit[:, None] if weight else value * unit / 2**ACTIVATION_BITS
        else:
            state[name] = shipped[name].float()
    try:
        _grow_into(network, state, config)
    except ValueError as error:
        raise UnknownModel(f"{path} holds a model of other sizes: {error}") from None


def _grow_into(network: TrainableNetwork, state: dict[str, torch.Tensor], config: ModelConfig) -> None:
    network.load_state_dict(grown(state, network.state_dict(), config.lambda_max, network.config.lambda_max))


def start_from(network: TrainableNetwork, path: Path) -> list[str]:
    """Give a network the weights of a model, or the averaged ones of a checkpoint; gives what came before.

    Raises:
        UnknownModel, ValueError: `path` holds neither, or a network of other sizes.
    """
    if (path / checkpoints.CHECKPOINT).is_file():
        path = path / checkpoints.CHECKPOINT
    if path.suffix != Path(checkpoints.CHECKPOINT).suffix:
        load_trainable(network, path)
        return [f"the weights {models.load(models.find(path)).bundle_hash.hex()}"]
    saved = checkpoints.read(path)
    try:
        trained = checkpoints.network_of(saved)
        _grow_into(network, trained.state_dict(), trained.config)
    except ValueError as error:
        raise ValueError(f"{path} was trained with other sizes: {error}") from None
    return [*saved["history"], checkpoints.summary(saved)]


def check_identity(name: str, model_id: int) -> None:
    """Raise ValueError for a name that `--model` could not find, or an id that files of another model carry."""
    if not re.fullmatch(NAME, name):
        raise ValueError(f"{name!r} cannot name a model; use letters, digits, and after the first '-', '_' and '.'")
    for info in models.shipped():
        if info.id == model_id and info.name != name:
            raise ValueError(f"the id {model_id} ({model_id:#06x}) is that of the model {info.name}, which comes with "
                             f"the package; choose another --id, or --name {info.name} to replace it")


def export(checkpoint_path: Path, out: Path, name: str, data: Path, model_id: int = EXPERIMENTAL_ID,
           evaluation: Path | None = None, notes: str = "", fit_pictures: int = 48) -> list[Point]:
    """Write `weights.safetensors`, its ONNX graphs and the card `README.md` of a checkpoint into the folder `out`.

    Args:
        checkpoint_path: the checkpoint, or the folder of its run.
        data: the training photos, some of which the probability tables are fitted to.
        evaluation: a folder of pictures for the card's rate-distortion table.

    Raises:
        FileNotFoundError: no checkpoint, or no pictures.
        ValueError: a name or an id that cannot be, or a training that has diverged.
    """
    from safetensors.numpy import save

    check_identity(name, model_id)
    checkpoint = checkpoints.read(checkpoints.path_of(checkpoint_path))
    network = checkpoints.network_of(checkpoint)
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
    tensors = shipped_tensors(network, frozen, tables)
    metadata = {"name": name, "id": str(model_id), "config": json.dumps(checkpoint["config"]),
                "checksum": models.checksum(tensors)}
    weights = save(tensors, metadata)
    files.write_atomically(path, lambda file: file.write(weights))
    export_graphs(checkpoint["config"], out)
    add_heads(path, data)
    points = []
    if evaluation:
        points = evaluate(coder.load(models.read_info(path), "cpu"), find_pictures(evaluation))
    card = model_card(name, checkpoint, points, evaluation, notes).encode()
    files.write_atomically(out / "README.md", lambda file: file.write(card))
    return points

