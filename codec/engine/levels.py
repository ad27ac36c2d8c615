"""What a model's tensors say at a quality level of a tune, in NumPy: as `aecodec.network` computes it in torch."""

from __future__ import annotations

import functools

import numpy as np

from ..format.constants import GAIN_BITS, KNOTS, LEVELS, SHIFT_MAX, Z_STEP
from ..models import ModelFile

#: What a block's conditions on the level are folded into, below the name of the block.
FOLDED = ("depthwise.weight", "depthwise.bias", "mix.weight", "mix.bias")


class Levels:
    """The parameters of every operating point of a model (`64 * tune + level`).

    Vectors are float32 `[1, C, 1, 1]`, to be spread over `[1, C, h, w]`.
    """

    def __init__(self, file: ModelFile) -> None:
        self._tensors = file.tensors
        self.vector = functools.lru_cache(maxsize=256)(self._vector)
        self.folded = functools.lru_cache(maxsize=256)(self._folded)

    def _float(self, name: str) -> np.ndarray:
        return self._tensors[name].astype(np.float32)

    def _between(self, knots: np.ndarray, point: int) -> np.ndarray:
        """Knots `[tunes * KNOTS, C]` interpolated linearly: `[C]`."""
        tune, level = divmod(point, LEVELS)
        position = np.linspace(0, KNOTS - 1, LEVELS, dtype=np.float32)[level]
        weights = np.maximum(1 - np.abs(position - np.arange(KNOTS, dtype=np.float32)), 0)
        return weights @ knots[tune * KNOTS:(tune + 1) * KNOTS]  # type: ignore[no-any-return]

    def _vector(self, name: str, point: int) -> np.ndarray:
        """The gains of a level vector: powers of two."""
        knots = np.clip(self._float(f"{name}.knots"), -GAIN_BITS, GAIN_BITS)
        return np.exp2(self._between(knots, point), dtype=np.float32)[None, :, None, None]

    def _folded(self, block: str, point: int) -> dict[str, np.ndarray]:
        """What a block folds its conditions into, by name: as `aecodec.network.blocks.Block.at` does it."""
        gain, bias = 1 + self._condition(block, "spatial.gain", point), self._condition(block, "spatial.bias", point)
        depthwise = self._float(f"{block}.depthwise.weight") * gain[:, None, None, None]
        depthwise_bias = self._float(f"{block}.depthwise.bias") * gain + bias
        gain, bias = 1 + self._condition(block, "channel.gain", point), self._condition(block, "channel.bias", point)
        mix = self._float(f"{block}.mix.weight")
        mix_bias = self._float(f"{block}.mix.bias") + mix @ bias
        folded = depthwise, depthwise_bias, (mix * gain)[:, :, None, None], mix_bias
        return {f"{block}.{ending}": tensor for ending, tensor in zip(FOLDED, folded, strict=True)}

    def _condition(self, block: str, name: str, point: int) -> np.ndarray:
        return self._between(self._float(f"{block}.{name}"), point)

    def z_steps(self, point: int) -> np.ndarray:
        """What a symbol of z stands for."""
        return self._tensors["scale_decoder.steps"][point].astype(np.float32)[None, :, None, None]

    def z_finer(self, point: int) -> np.ndarray:
        """How many symbols of z the hyper-analysis's unit is."""
        return np.float32(Z_STEP) / self.z_steps(point)

    def offsets(self, point: int) -> np.ndarray:
        """By how many quarters of an index the point shifts a latent's table."""
        return self._tensors["scale_decoder.offsets"][point].astype(np.float32)[None, :, None, None]

    def dead_zone(self, point: int, strength: float) -> np.ndarray:
        """How far the encoder moves residuals: `[M, TABLES]`, scaled by `strength`."""
        channels, tables = (self._tensors[f"rounding.{of}"][point].astype(np.float32) for of in ("channels", "tables"))
        return np.minimum(channels[:, None] * tables * np.float32(strength), np.float32(SHIFT_MAX))
