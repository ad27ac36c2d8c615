"""Noise taken out of latents, by what the entropy model expects of them: NumPy, for every engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_LOGISTIC = 3 / np.pi**2  # the squared scale of a logistic distribution of variance 1
_LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class Shrinkage:
    """What is known of the noise in latents.

    The entropy model gives for every latent a mean and, by its table, a variance: those of a noisy latent, since it saw
    noisy ones. Where noise is Gaussian of variance n, the expectation of the clean latent is `y + n d/dy log p(y)`
    (Tweedie's formula: Robbins, "An empirical Bayes approach to statistics", 1956; Efron, "Tweedie's formula and
    selection bias", 2011). With p logistic of scale s that moves y towards its mean by `n / s tanh(|y - mean| / 2 s)`.
    """

    gains: np.ndarray  # float32 [M]: the variance of latents that noise of variance 1 in the pixels makes
    noise: np.ndarray  # float32 [h, w]: the variance of the noise in the pixels of every cell
    variances: np.ndarray  # float32 [TABLES]: of a latent by its table, in squared steps of the quantiser

    def __call__(self, residual: np.ndarray, gain: np.ndarray, index: np.ndarray, channels: slice, rows: slice,
                 columns: slice) -> np.ndarray:
        """Differences of latents from their means, without the noise.

        Args:
            residual: float32 `[k, n, m]`.
            gain: float32 `[k, 1, 1]`: how many steps of the quantiser 1 is.
            index: their tables, uint8 `[k, n, m]`.
            channels, rows, columns: which of all latents `[M, h, w]` they are.

        Returns:
            float32 `[k, n, m]`, nearer to zero.
        """
        scale = np.sqrt(np.maximum(self.variances * np.float32(_LOGISTIC), np.float32(_LEAST))).take(index)
        scale /= gain
        size = np.abs(residual)
        moved = np.tanh(size / (2 * scale))
        moved *= self.gains[channels, None, None] * self.noise[rows, columns]
        moved /= scale
        kept: np.ndarray = np.copysign(np.maximum(size - moved, 0), residual)
        return kept
