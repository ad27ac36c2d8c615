"""What a model's tensors say at a quality level, in NumPy: as `aecodec.network` computes it in torch."""

from __future__ import annotations

import functools

import numpy as np

from ..format.constants import GAIN_BITS, KNOTS, LEVELS, SHIFT_MAX, Z_STEP
from ..models import ModelFile

VECTOR = ".knots"  # behind the name of a level vector in the weights file


class Levels:
    """The parameters of every level of a model: vectors as float32 `[1, C, 1, 1]`, to be spread over `[1, C, h, w]`."""

    def __init__(self, file: ModelFile) -> None:
        self._tensors = file.tensors
        self.vector = functools.lru_cache(maxsize=256)(self._vector)

    def _vector(self, name: str, level: int) -> np.ndarray:
        """The gains of a level vector: its knots interpolated linearly, as powers of two."""
        position = np.linspace(0, KNOTS - 1, LEVELS, dtype=np.float32)[level]
        weights = np.maximum(1 - np.abs(position - np.arange(KNOTS, dtype=np.float32)), 0)
        knots = np.clip(self._tensors[name + VECTOR].astype(np.float32), -GAIN_BITS, GAIN_BITS)
        return np.exp2(weights @ knots, dtype=np.float32)[None, :, None, None]

    def z_steps(self, level: int) -> np.ndarray:
        """What a symbol of z stands for."""
        return self._tensors["scale_decoder.steps"][level].astype(np.float32)[None, :, None, None]

    def z_finer(self, level: int) -> np.ndarray:
        """How many symbols of z the hyper-analysis's unit is."""
        return np.float32(Z_STEP) / self.z_steps(level)

    def offsets(self, level: int) -> np.ndarray:
        """By how many quarters of an index the level shifts a latent's table."""
        return self._tensors["scale_decoder.offsets"][level].astype(np.float32)[None, :, None, None]

    def dead_zone(self, level: int, strength: float) -> np.ndarray:
        """How far the encoder moves residuals: `[M, TABLES]`, scaled by `strength`."""
        channels, tables = (self._tensors[f"rounding.{of}"][level].astype(np.float32) for of in ("channels", "tables"))
        return np.minimum(channels[:, None] * tables * np.float32(strength), np.float32(SHIFT_MAX))
