"""What is done to rows before they are encoded in training, while the target stays clean."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Noise:
    """Gaussian noise: the autoencoder learns to remove it (Vincent et al., ICML 2008).

    Args:
        deviation: standard deviation, in the units of the features.
    """

    deviation: float = 0.3

    def __post_init__(self) -> None:
        if not self.deviation > 0:
            raise ValueError(f"Noise.deviation must be positive, not {self.deviation}")

    def add(self, rows: Tensor, scale: float) -> Tensor:
        """Rows `[N, features]` that were divided by `scale`, with noise."""
        return rows + self.deviation / scale * torch.randn_like(rows)


@dataclass(frozen=True)
class Mask:
    """Hidden entries: the autoencoder learns to fill them in, and takes rows with NaN.

    Which entries are hidden is told to the encoder beside the rows.

    Args:
        share: of the entries that are hidden on average, 0..1. For every row a share is drawn from 0 to twice this (or
            to 1), as rows in use miss few or many.
        rounds: how often a row is encoded, each time with what the decoder made of its hidden entries before. With
            the start from PCA and no training this is imputation by iterated PCA.
    """

    share: float = 0.25
    rounds: int = 3

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ValueError(f"Mask.rounds must be 1 or more, not {self.rounds}")
        if not 0 < self.share < 1:
            raise ValueError(f"Mask.share must lie between 0 and 1, not {self.share}")

    def draw(self, rows: Tensor) -> Tensor:
        """Which entries of `[N, features]` to hide: bool of that shape."""
        low = max(0.0, 2 * self.share - 1)
        share = low + (2 * self.share - 2 * low) * torch.rand(len(rows), 1, dtype=rows.dtype, device=rows.device)
        return torch.rand_like(rows) < share


Corruption = Noise | Mask
