"""`VariationalAutoencoder`: a density of rows to sample from, to interpolate in, and to steer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from . import terms
from .base import BaseAutoencoder, torch_state
from .network import EncoderDecoder
from .start import LinearStart

PRIORS = ("fitted", "normal")
PRIOR_ROWS = 20_000  # how many rows' codes the fitted prior is made of
ROWS_PER_COMPONENT = 100  # fewer codes than this a component of the fitted prior, and it has fewer components
LOG_VARIANCES = (-14.0, 4.0)
LEAST_VARIANCE = 1e-8  # of the decoder, in scaled units: rows that come back exactly have an infinite density


class VariationalAutoencoder(BaseAutoencoder):
    """Codes are distributions, rows a density (Kingma and Welling, ICLR 2014), as a scikit-learn transformer.

    It starts as probabilistic PCA, the optimum of its linear case (Lucas et al., NeurIPS 2019). The decoder's variance
    is the analytic optimum, the mean squared error (Rybkin et al., "Simple and effective VAE training with calibrated
    decoders", ICML 2021), so reconstruction and divergence need no weights between them.

    Args:
        n_components: units of the code.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        loss: "squared" for a Gaussian decoder, "bernoulli" for features within 0..1.
        start: of the linear paths: "pca" or "random".
        kl_weight: of the divergence from the normal prior; 1 is the evidence lower bound.
        prior_components: Gaussians of the mixture that `sample(prior="fitted")` draws codes from (Ghosh et al., "From
            variational to deterministic autoencoders", ICLR 2020); fewer where rows are few.
        max_iter, batch_size, learning_rate, weight_decay, validation_fraction, device, random_state: as in
            `Autoencoder`.

    Attributes:
        noise_variance_: the decoder's variance, in squared units of the features; None for "bernoulli".
        prior_: the fitted mixture of codes, a scikit-learn `GaussianMixture`.
        mean_, scale_, network_, n_iter_, loss_curve_, validation_curve_: as in `Autoencoder`.
    """

    def __init__(self, n_components: int = 16, hidden: tuple[int, ...] = (512, 256), *, loss: str = "squared",
                 start: str = "pca", kl_weight: float = 1.0, prior_components: int = 50, max_iter: int = 2000,
                 batch_size: int = 256, learning_rate: float = 2e-3, weight_decay: float = 0.0,
                 validation_fraction: float = 0.0, device: str = "cpu", random_state: Any = None) -> None:
        self.n_components = n_components
        self.hidden = hidden
        self.loss = loss
        self.start = start
        self.kl_weight = kl_weight
        self.prior_components = prior_components
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> VariationalAutoencoder:
        """Train on rows `[N, features]`."""
        if not self.kl_weight >= 0:
            raise ValueError(f"kl_weight must be 0 or more, not {self.kl_weight}")
        if not self.prior_components >= 1:
            raise ValueError(f"prior_components must be 1 or more, not {self.prior_components}")
        self._fit(X)
        X = self._checked(X)
        random = check_random_state(self.random_state)
        some = X[random.permutation(len(X))[:PRIOR_ROWS]]
        with torch_state(random):
            drawn = self._by_parts(lambda rows, _: torch.cat(self._drawn(rows), dim=1), some)
        self.noise_variance_ = None
        if self.loss == "squared":
            error = float(drawn[:, self.n_components].mean(dtype=np.float64))
            self.noise_variance_ = max(error, LEAST_VARIANCE) * self.scale_**2
        components = max(1, min(self.prior_components, len(some) // ROWS_PER_COMPONENT))
        self.prior_ = GaussianMixture(components, reg_covar=1e-4, random_state=random, max_iter=50, tol=1e-2)
        self.prior_.fit(drawn[:, :self.n_components].astype(np.float64))
        return self

    # -- what it is for -----------------------------------------------------------------------------------------

    def elbo(self, X: Any, draws: int = 8) -> NDArray[np.floating]:
        """The evidence lower bound of the log density of rows, in nats, `[N]`.

        Args:
            draws: of the code, whose mean is taken.
        """
        check_is_fitted(self)
        X = self._checked(X)
        with torch_state(check_random_state(self.random_state)):
            return np.mean([self._by_parts(self._bound, X) for _ in range(draws)], axis=0)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of `elbo`."""
        return float(self.elbo(X).mean())

    def sample(self, n_samples: int = 1, prior: str = "fitted") -> NDArray[np.floating]:
        """New rows, `[n_samples, features]`: the decoder's means of codes drawn from a prior.

        Args:
            prior: "fitted", the mixture of Gaussians fitted to the codes of the rows, or "normal", the one that
                training pulls towards.
        """
        check_is_fitted(self)
        if prior not in PRIORS:
            raise ValueError(f"prior must be one of {', '.join(PRIORS)}, not {prior!r}")
        random = check_random_state(self.random_state)
        if prior == "normal":
            codes = random.standard_normal((n_samples, self.n_components))
        else:
            self.prior_.random_state = random
            codes = random.permutation(self.prior_.sample(n_samples)[0])  # they come sorted by component
        return self._decode(codes.astype(self.mean_.dtype))

    def interpolate(self, first: Any, second: Any, steps: int = 8) -> NDArray[np.floating]:
        """Rows on the way between the rows `first` and `second` (`[N, features]` each): `[N, steps, features]`, the
        reconstructions of both among them."""
        check_is_fitted(self)
        if steps < 2:
            raise ValueError(f"steps must be 2 or more, not {steps}")
        a, b = (self._encode(self._checked(rows)) for rows in (first, second))
        check_consistent_length(a, b)
        shares = np.linspace(0, 1, steps, dtype=a.dtype)[:, None]
        codes = a[:, None] * (1 - shares) + b[:, None] * shares
        return self._decode(codes.reshape(-1, a.shape[1])).reshape(len(a), steps, -1)

    def attribute(self, X: Any, y: Any) -> NDArray[np.floating]:
        """The change of the code that goes with one unit of an attribute, `[n_components]`.

        For a yes-or-no attribute it is the difference of the mean codes. Add multiples of it to codes and decode them
        with `inverse_transform` to move the attribute.

        Args:
            y: the attribute of rows `[N, features]`: `[N]`, numbers or booleans.
        """
        check_is_fitted(self)
        codes = self._encode(self._checked(X))
        values = check_array(np.asarray(y, np.float64).reshape(-1, 1))[:, 0]
        check_consistent_length(codes, values)
        values = values - values.mean()
        if not values.any():
            raise ValueError("the attribute has the same value in all rows: there is no direction along it")
        return (values @ codes / (values @ values)).astype(codes.dtype)

    # -- network and loss ---------------------------------------------------------------------------------------

    def _build(self, start: LinearStart, mean: NDArray[np.floating]) -> EncoderDecoder:
        units, features = start.axes.shape
        self.code_scale_ = np.ones(units, mean.dtype)
        noise = start.noise_variance
        variances = np.maximum(start.deviations**2, 1.01 * noise)
        gains = np.sqrt(variances - noise)
        network = EncoderDecoder(features, tuple(self.hidden), units, outputs=2 * units)
        to_mean = start.axes * (gains / variances)[:, None]
        network.encoder.set_linear(
            torch.from_numpy(np.concatenate([to_mean, np.zeros_like(to_mean)])),
            torch.from_numpy(np.concatenate([np.zeros(units), np.log(noise / variances)])))
        network.decoder.set_linear(*self._linear_decoder(start.axes.T * gains, mean))
        return network

    def _posterior(self, network: EncoderDecoder, rows: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = network.encoder(rows).chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCES)

    def _code(self, network: EncoderDecoder, rows: Tensor, observed: Tensor | None) -> Tensor:
        return self._posterior(network, rows)[0]

    def _parts(self, network: EncoderDecoder, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A drawn code `[N, units]`, errors of its reconstruction `[N, features]` and divergence `[N]`."""
        mean, log_variance = self._posterior(network, rows)
        code = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return code, self._errors(network.decoder(code), rows), terms.kl_to_normal(mean, log_variance)

    def _objective(self, network: EncoderDecoder, rows: Tensor, observed: Tensor | None) -> Tensor:
        _, errors, divergence = self._parts(network, rows)
        loss = errors.mean()
        if self.loss == "squared":
            loss = 0.5 * torch.log(loss + LEAST_VARIANCE)
        return loss + self.kl_weight * divergence.mean() / rows.shape[1]

    _distance = _objective

    def _drawn(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Drawn codes, and the mean error of each row as a column."""
        code, errors, _ = self._parts(self.network_, rows)
        return code, errors.mean(dim=1, keepdim=True)

    def _bound(self, rows: Tensor, observed: Tensor | None) -> Tensor:
        _, errors, divergence = self._parts(self.network_, rows)
        if self.noise_variance_ is None:
            return -errors.sum(dim=1) - divergence
        squares = errors * (self.scale_**2 / self.noise_variance_)
        return -0.5 * (squares + math.log(2 * math.pi * self.noise_variance_)).sum(dim=1) - divergence
