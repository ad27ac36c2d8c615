"""The network as a CompressAI model, so that what is built for CompressAI's models works on it.

Importing this module registers `aecodec` with CompressAI's registry: `compressai.registry.MODELS["aecodec"]`. Its
`compress` writes whole .aec files, so `compressai.utils.eval_model` scores real bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

try:
    from compressai.models import CompressionModel
    from compressai.registry import register_model
except ImportError:
    raise ImportError("aecodec as a CompressAI model needs compressai; pip install 'aecodec[compressai]'") from None

from .. import coder, models
from ..coder import Coder
from ..engine.torch_engine import TorchEngine
from ..format.constants import EXPERIMENTAL_ID, LEVELS
from ..format.container import (
    read_file,
    write_file,
)
from ..network.model import ModelConfig, ShippedNetwork, TrainableNetwork
from .export import load_trainable, shipped_tensors
from .tables import logistic_tables


def config_of(state: dict[str, Tensor]) -> ModelConfig:
    """The sizes of the network a state dict belongs to."""

    def blocks(*parts: str) -> tuple[int, int]:
        first, second = (len({k.split(".")[2] for k in state if k.startswith(part)}) for part in parts)
        return first, second

    channels, latents = state["analysis.patches.weight"].shape[0], state["analysis.down.weight"].shape[0]
    context, hyper = state["mean_decoder.enter.weight"].shape
    return ModelConfig(channels, latents, blocks("analysis.blocks.", "analysis.latent_blocks."),
                       blocks("synthesis.latent_blocks.", "synthesis.blocks."), hyper, context)


@register_model("aecodec")
class AecModel(CompressionModel):
    """The trainable network at one quality level, with CompressAI's interface.

    Args:
        config: sizes of the network.
        level: the quality level 0..63 that `forward` and `compress` use; may be assigned later.
    """

    def __init__(self, config: ModelConfig | None = None, level: int = LEVELS // 2) -> None:
        super().__init__()
        self.network = TrainableNetwork(config or ModelConfig())
        self.level = level
        self._coder: Coder | None = None

    @classmethod
    def from_state_dict(cls, state_dict: dict[str, Tensor]) -> AecModel:
        """A model from its own state dict or from that of a `TrainableNetwork`."""
        state = {k.removeprefix("network."): v for k, v in state_dict.items()}
        model = cls(config_of(state))
        model.network.load_state_dict(state)
        return model.eval()

    @classmethod
    def from_weights(cls, model: str | Path | None = None, level: int = LEVELS // 2) -> AecModel:
        """A shipped model by name, or a weights file by path. Raises UnknownModel."""
        info = models.find(model)
        result = cls(ModelConfig.from_dict(info.config), level)
        load_trainable(result.network, info.path)
        result._coder = coder.load(info, "cpu", "float32", engine="torch")
        return result.eval()

    def update(self, scale_table: Any = None, force: bool = False, update_quantiles: bool = False) -> bool:
        """Freeze the network into the form that codes, with tables that were not fitted to data."""
        if self._coder is not None and not force:
            return False
        config = self.network.config
        tensors = shipped_tensors(self.network, ShippedNetwork.frozen(self.network), logistic_tables())
        info = models.ModelInfo("aecodec", EXPERIMENTAL_ID, config.to_dict(), Path("aecodec"))
        kept = {k: v for k, v in tensors.items() if not k.startswith(models.TRAINING_PREFIX)}
        file = models.ModelFile(info, kept, models.bundle_hash(kept))
        self._coder = Coder(file, TorchEngine(file, "cpu", "float32"))
        return True

    @property
    def coder(self) -> Coder:
        """What codes; made by `update` if need be."""
        self.update()
        assert self._coder is not None
        return self._coder

    def forward(self, x: Tensor) -> dict[str, Any]:
        """Pictures `[B, 3, H, W]` in 0..1 (multiples of 64) to `x_hat` and the likelihoods of y and z."""
        level = torch.full((x.shape[0],), self.level, device=x.device)
        output = self.network(x - 0.5, level)
        likelihoods = {"y": torch.exp2(-output.bits_y), "z": torch.exp2(-output.bits_z)}
        return {"x_hat": output.picture + 0.5, "likelihoods": likelihoods}

    def compress(self, x: Tensor) -> dict[str, Any]:
        """A picture `[1, 3, H, W]` in 0..1 to `strings` (one .aec file) and `shape`."""
        if x.shape[0] != 1:
            raise ValueError(f"one picture at a time, not {x.shape[0]}")
        pixels = x[0].permute(1, 2, 0).mul(255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
        return {"strings": [[write_file(self.coder.encode(pixels, self.level))]], "shape": x.shape[2:]}

    def decompress(self, strings: list[list[bytes]], shape: Any) -> dict[str, Tensor]:
        """What `compress` gave, as `x_hat [1, 3, H, W]` in 0..1."""
        pixels = self.coder.decode(read_file(strings[0][0]))
        return {"x_hat": torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255}
