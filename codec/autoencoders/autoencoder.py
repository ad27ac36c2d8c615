"""`Autoencoder`: dimensionality reduction, denoising, filling in, sparse and contractive codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from . import terms
from .base import BaseAutoencoder
from .corruption import Corruption, Mask, Noise
from .network import EncoderDecoder
from .sparsity import L1, Revival, Sparsity, TopK, keep_largest
from .start import LinearStart


class Autoencoder(BaseAutoencoder):
    """Encoder, bottleneck, decoder, as a scikit-learn transformer. It starts as PCA and learns what PCA cannot say.

    Encoder and decoder are a linear path with a multilayer perceptron beside it that starts at zero. Rows are computed
    in their own precision: float32 ones about twice as fast.

    Args:
        n_components: units of the code.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them. Empty: a linear autoencoder.
        loss: "squared", or "bernoulli" for features within 0..1 (cross-entropy).
        start: of the linear paths: "pca", the principal components of the rows (random directions follow where there
            are fewer than `n_components`), or "random".
        sparsity: `TopK(k)`, `L1(weight)` or None.
        contraction: weight of the penalty on the encoder's Jacobian.
        corruption: `Noise(deviation)` to learn to remove noise, `Mask(share)` to learn to fill in, or None.
        max_iter: updates of the weights.
        batch_size: rows an update.
        learning_rate: of AdamW, after its warm-up; it decays to zero.
        weight_decay: of AdamW.
        validation_fraction: share of the rows that is held back. The weights that did best on it are kept, those at
            the start included.
        device: where torch trains, such as "cuda"; once fitted, the network is on the CPU.
        random_state: seed or generator of all that is drawn.

    Attributes:
        mean_: of the features, `[features]`.
        scale_: their common standard deviation, by which they are divided.
        code_scale_: the units' deviations at the start: codes are given in the features' units, as PCA's scores.
        network_: the fitted torch module.
        n_iter_, loss_curve_, validation_curve_: the course of the training.
    """

    def __init__(self, n_components: int = 32, hidden: tuple[int, ...] = (512, 256), *, loss: str = "squared",
                 start: str = "pca", sparsity: Sparsity | None = None, contraction: float = 0.0,
                 corruption: Corruption | None = None, max_iter: int = 2000, batch_size: int = 256,
                 learning_rate: float = 2e-3, weight_decay: float = 0.0, validation_fraction: float = 0.0,
                 device: str = "cpu", random_state: Any = None) -> None:
        self.n_components = n_components
        self.hidden = hidden
        self.loss = loss
        self.start = start
        self.sparsity = sparsity
        self.contraction = contraction
        self.corruption = corruption
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Autoencoder:
        """Train on rows `[N, features]`; with `Mask`, NaN entries are taken as missing."""
        if self.sparsity is not None and not isinstance(self.sparsity, (TopK, L1)):
            raise TypeError(f"sparsity must be TopK(...), L1(...) or None, not {self.sparsity!r}")
        if self.corruption is not None and not isinstance(self.corruption, (Noise, Mask)):
            raise TypeError(f"corruption must be Noise(...), Mask(...) or None, not {self.corruption!r}")
        if not self.contraction >= 0:
            raise ValueError(f"contraction must be 0 or more, not {self.contraction}")
        self._revival: Revival | None = None
        self._fit(X)
        del self._revival
        return self

    def impute(self, X: Any) -> NDArray[np.floating]:
        """Rows `[N, features]` with their NaN entries filled in; all others as they were."""
        check_is_fitted(self)
        if not self._takes_missing():
            raise ValueError("this autoencoder has not learnt to fill in; fit one with corruption=Mask()")
        X = self._checked(X)
        missing = np.isnan(X)
        if not missing.any():
            return X.copy()
        return np.where(missing, self._decode(self._encode(X)), X)

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the reconstruction loss, a mean over rows and features: of squared errors in the features' units, or
        cross-entropy in nats. Higher is better."""
        check_is_fitted(self)
        errors = self._by_parts(self._row_errors, self._checked(X))
        return -float(errors.mean()) * (self.scale_**2 if self.loss == "squared" else 1)

    def _row_errors(self, rows: Tensor, observed: Tensor | None) -> Tensor:
        errors = self._errors(self.network_.decoder(self._code(self.network_, rows, observed)), rows)
        counted = torch.ones_like(rows) if observed is None else observed.to(rows)
        return (errors * counted).sum(dim=1) / counted.sum(dim=1).clamp_min(1)

    # -- network and loss ---------------------------------------------------------------------------------------

    def _takes_missing(self) -> bool:
        return isinstance(self.corruption, Mask)

    def _build(self, start: LinearStart, mean: NDArray[np.floating]) -> EncoderDecoder:
        self.code_scale_ = (start.deviations * self.scale_).astype(mean.dtype)
        features = len(mean)
        network = EncoderDecoder(features, tuple(self.hidden), self.n_components,
                                 extra=features if self._takes_missing() else 0)
        network.encoder.set_linear(torch.from_numpy(start.axes / start.deviations[:, None]), torch.zeros(()))
        network.decoder.set_linear(*self._linear_decoder(start.axes.T * start.deviations, mean))
        return network

    def _dense(self, network: EncoderDecoder, rows: Tensor, observed: Tensor | None) -> Tensor:
        """The code before units are dropped."""
        if not isinstance(self.corruption, Mask):
            return network.encoder(rows)
        hidden = torch.zeros_like(rows) if observed is None else (~observed).to(rows)
        code = network.encoder(rows, hidden)
        if observed is not None:
            for _ in range(self.corruption.rounds - 1):
                filled = torch.where(observed, rows, self._scaled(network.decoder(self._kept(network, code))))
                code = network.encoder(filled, hidden)
        return code

    def _kept(self, network: EncoderDecoder, code: Tensor) -> Tensor:
        return keep_largest(code, self.sparsity.k, network.column_sizes()) if isinstance(self.sparsity, TopK) else code

    def _code(self, network: EncoderDecoder, rows: Tensor, observed: Tensor | None) -> Tensor:
        return self._kept(network, self._dense(network, rows, observed))

    def _corrupted(self, rows: Tensor, observed: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if isinstance(self.corruption, Noise):
            return self.corruption.add(rows, self.scale_), observed
        if isinstance(self.corruption, Mask):
            shown = ~self.corruption.draw(rows)
            shown = shown if observed is None else shown & observed
            return rows * shown, shown
        return rows, observed

    def _distance(self, network: EncoderDecoder, rows: Tensor, observed: Tensor | None) -> Tensor:
        given, shown = self._corrupted(rows, observed)
        return terms.mean_over(self._errors(network.decoder(self._code(network, given, shown)), rows), observed)

    def _objective(self, network: EncoderDecoder, rows: Tensor, observed: Tensor | None) -> Tensor:
        given, shown = self._corrupted(rows, observed)
        dense = self._dense(network, given, shown)
        code = self._kept(network, dense)
        output = network.decoder(code)
        loss = terms.mean_over(self._errors(output, rows), observed)
        if isinstance(self.sparsity, L1):
            loss = loss + self.sparsity.penalty(code)
        if isinstance(self.sparsity, TopK) and self.loss == "squared":
            loss = loss + self._revive(network, rows - output.detach(), dense, code)
        if self.contraction:
            loss = loss + self.contraction * terms.contraction(
                lambda moved: self._dense(network, moved, shown), given, dense)
        return loss

    def _revive(self, network: EncoderDecoder, left: Tensor, dense: Tensor, code: Tensor) -> Tensor | float:
        """The weighted loss of dead units on what the others left over, as a share of it."""
        if self._revival is None:
            self._revival = Revival(self.sparsity, dense.shape[1], dense.device)  # type: ignore[arg-type]
        dead = self._revival.dead_code(dense, code, network.column_sizes())
        if dead is None:
            return 0.0
        errors = (dead @ network.decoder.linear.weight.T - left).square().mean()
        return self._revival.sparsity.revival * errors / left.square().mean().clamp_min(1e-12)
