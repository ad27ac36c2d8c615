"""The models at hand: where their weights lie and what is in them. NumPy and safetensors, no torch.

A model is one safetensors file: the network's tensors, the probability tables, and metadata (`name`, `id`, `config`,
`checksum`). Reading one runs no code. The decoder's share of it is identified by a hash, which every .aec file carries.
"""

from __future__ import annotations

import functools
import hashlib
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import UnknownModel
from .format.constants import DECODERS_PREFIX, ENCODERS_PREFIX, OUTSIDE_BUNDLE, TRAINING_PREFIX, TUNES

DEFAULT_MODEL = "small"
WEIGHTS_FILE = "weights.safetensors"
TABLE_COUNTS, TABLE_HALVES = "tables.counts", "tables.halves"


@dataclass(frozen=True)
class ModelInfo:
    """A model that can be loaded."""

    name: str
    id: int
    config: dict[str, Any]
    path: Path  # of the safetensors file
    checksum: str | None = None  # see `checksum`

    @property
    def tunes(self) -> tuple[str, ...]:
        """What it can make pictures for, its default first."""
        return TUNES[:int(self.config.get("tunes", 1))]


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A loaded model file."""

    info: ModelInfo
    tensors: dict[str, np.ndarray]  # of the encoder and of the decoder that all readers have
    bundle_hash: bytes
    extras: dict[str, np.ndarray] = field(default_factory=dict)  # of further decoders and encoders: any may be absent

    def network_tensors(self) -> dict[str, np.ndarray]:
        """Those of the network itself: all but the probability tables."""
        return {name: tensor for name, tensor in self.tensors.items() if name not in (TABLE_COUNTS, TABLE_HALVES)}


def weights_folder() -> Path:
    """The folder of the models that come with the package."""
    return Path(__file__).parent / "weights"


def read_info(path: Path) -> ModelInfo:
    """A model's metadata, from the first bytes of its file. Raises UnknownModel."""
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > 1 << 24:
                raise ValueError("the header is too long")
            metadata = json.loads(file.read(length))["__metadata__"]
        return ModelInfo(metadata["name"], int(metadata["id"]), json.loads(metadata["config"]), path,
                         metadata.get("checksum"))
    except FileNotFoundError:
        raise UnknownModel(f"no weights at {path}") from None
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise UnknownModel(f"{path} is not a file of aecodec weights ({error}); `aecodec export` makes one") from None


@functools.lru_cache(maxsize=1)
def shipped() -> tuple[ModelInfo, ...]:
    """The models that come with the package."""
    return tuple(read_info(path) for path in sorted(weights_folder().glob(f"*/{WEIGHTS_FILE}")))


def find(model: str | Path | None = None) -> ModelInfo:
    """A model by name or by the path of its weights; without either, the default one. Raises UnknownModel."""
    name = DEFAULT_MODEL if model is None else model
    for info in shipped():
        if info.name == name:
            return info
    path = Path(name)
    if path.is_dir():
        path = path / WEIGHTS_FILE
    if path.exists():
        return read_info(path)
    known = ", ".join(info.name for info in shipped()) or "none"
    raise UnknownModel(f"no model named {name} (installed: {known}), and no such file")


def find_id(model_id: int) -> ModelInfo:
    """The shipped model of an id. Raises UnknownModel."""
    for info in shipped():
        if info.id == model_id:
            return info
    raise UnknownModel(f"the file was made with model {model_id:#06x}, which this aecodec does not have; upgrade it, "
                       "or name the model's weights with --model")


def _digest(tensors: dict[str, np.ndarray], without: tuple[str, ...]) -> bytes:
    """The SHA-256 of tensors: names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        if not name.startswith(without):
            tensor = np.ascontiguousarray(tensors[name])
            digest.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
            digest.update(tensor.data)
    return digest.digest()


def bundle_hash(tensors: dict[str, np.ndarray]) -> bytes:
    """What ties a file to its model: the first 4 bytes of the digest of all that decoding depends on."""
    return _digest(tensors, OUTSIDE_BUNDLE)[:4]


def checksum(tensors: dict[str, np.ndarray]) -> str:
    """What a weights file says of itself: the digest of all that encoding and decoding may use, known to this release
    or not."""
    return _digest(tensors, (TRAINING_PREFIX,)).hex()


def load(info: ModelInfo) -> ModelFile:
    """Read a model's tensors.

    Raises UnknownModel if the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    tensors: dict[str, np.ndarray] = {}
    try:
        with safe_open(str(info.path), framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 (not a dict)
                if not name.startswith(TRAINING_PREFIX):
                    tensors[name] = file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise UnknownModel(f"{info.path} cannot be read ({error}); install aecodec again") from None
    if info.checksum is not None and info.checksum != checksum(tensors):
        raise UnknownModel(f"{info.path} is damaged (its checksum is wrong); install aecodec again")
    extras = {name: tensors.pop(name) for name in list(tensors) if name.startswith((DECODERS_PREFIX, ENCODERS_PREFIX))}
    return ModelFile(info, tensors, bundle_hash(tensors), extras)
