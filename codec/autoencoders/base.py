"""What the estimators share: checks of rows and parameters, units, and the way from rows to codes and back."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from . import terms
from .fitting import Course, Plan, train
from .network import EncoderDecoder
from .start import LinearStart, principal_components, random_directions

DTYPES = (np.float64, np.float32)
ROWS_AT_ONCE = 4096  # how many are encoded or decoded together once fitted
LOSSES = ("squared", "bernoulli")
STARTS = ("pca", "random")
LEAST_SLOPE = 0.05  # of the sigmoid: below, a first-order step from a mean near 0 or 1 would leave its range


class BaseAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Rows `[N, features]` to codes `[N, n_components]` and back. What a subclass adds: its network and its loss."""

    n_components: int
    hidden: tuple[int, ...]
    loss: str
    start: str
    max_iter: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    validation_fraction: float
    device: str
    random_state: Any

    # -- what subclasses say ------------------------------------------------------------------------------------

    def _build(self, start: LinearStart, mean: NDArray[np.floating]) -> EncoderDecoder:
        """The network at its start, and `code_scale_`."""
        raise NotImplementedError

    def _objective(self, network: EncoderDecoder, rows: Tensor, observed: Tensor | None) -> Tensor:
        """The loss of a batch of scaled rows, to be minimised."""
        raise NotImplementedError

    def _code(self, network: EncoderDecoder, rows: Tensor, observed: Tensor | None) -> Tensor:
        """The code of scaled rows."""
        raise NotImplementedError

    def _distance(self, network: EncoderDecoder, rows: Tensor, observed: Tensor | None) -> Tensor:
        """What is to be small on rows held back."""
        raise NotImplementedError

    def _takes_missing(self) -> bool:
        return False

    # -- fitting ------------------------------------------------------------------------------------------------

    def _fit(self, X: Any) -> Course:
        check_parameters(self)
        X = self._checked(X, reset=True)
        random = check_random_state(self.random_state)
        if self.loss == "bernoulli" and (np.nanmin(X) < 0 or np.nanmax(X) > 1):
            raise ValueError("loss='bernoulli' needs features within 0..1; scale them, or choose loss='squared'")
        missing = np.isnan(X)
        if missing.all(axis=0).any():
            raise ValueError("a feature has no value in any row; leave it out")
        self.mean_ = np.nanmean(X, axis=0)
        rows = np.where(missing, 0, X - self.mean_)
        self.scale_ = float(np.sqrt(rows.var(axis=0, dtype=np.float64).mean())) or 1.0
        rows = (rows / self.scale_).astype(X.dtype, copy=False)
        find = principal_components if self.start == "pca" else random_directions
        start = find(rows, self.n_components, random)
        with torch_state(random, self.device) as device:
            network = self._build(start, self.mean_).to(device=device, dtype=torch.from_numpy(rows[:1]).dtype)
            course = self._train(network, torch.from_numpy(rows).to(device),
                                 torch.from_numpy(~missing).to(device) if missing.any() else None)
        self.network_ = network.to("cpu").eval()
        self.n_iter_ = len(course.losses)
        self.loss_curve_ = course.losses
        self.validation_curve_ = course.validation
        return course

    def _train(self, network: EncoderDecoder, rows: Tensor, observed: Tensor | None) -> Course:
        held = round(self.validation_fraction * len(rows))
        order = torch.randperm(len(rows)).to(rows.device)
        kept, checked = order[held:], order[:held]

        def of(places: Tensor) -> tuple[Tensor, Tensor | None]:
            return rows[places], None if observed is None else observed[places]

        def loss(numbers: Tensor) -> Tensor:
            return self._objective(network, *of(kept[numbers.to(rows.device)]))

        @torch.no_grad()
        def validate() -> float:
            state = torch.get_rng_state()
            torch.manual_seed(0)  # the same corruption each time, or the least of many would be a lucky one
            value = float(self._distance(network, *of(checked)))
            torch.set_rng_state(state)
            return value

        plan = Plan(self.max_iter, self.batch_size, self.learning_rate, self.weight_decay)
        return train(network, loss, len(kept), plan, validate if held else None)

    # -- rows, codes and back -----------------------------------------------------------------------------------

    def transform(self, X: Any) -> NDArray[np.floating]:
        """The codes of rows `[N, features]`: `[N, n_components]`."""
        check_is_fitted(self)
        return self._encode(self._checked(X))

    def inverse_transform(self, X: Any) -> NDArray[np.floating]:
        """The rows of codes `[N, n_components]`: `[N, features]`."""
        check_is_fitted(self)
        codes = check_array(X, dtype=DTYPES)
        if codes.shape[1] != self._n_features_out:
            raise ValueError(f"codes have {self._n_features_out} components, not {codes.shape[1]}")
        return self._decode(codes)

    def reconstruct(self, X: Any) -> NDArray[np.floating]:
        """Rows as they come back from their codes, `[N, features]`."""
        check_is_fitted(self)
        return self._decode(self._encode(self._checked(X)))

    @property
    def _n_features_out(self) -> int:
        return len(self.code_scale_)

    def _encode(self, X: NDArray[np.floating]) -> NDArray[np.floating]:
        return self._by_parts(lambda rows, observed: self._code(self.network_, rows, observed), X) * self.code_scale_

    def _decode(self, codes: NDArray[np.floating]) -> NDArray[np.floating]:
        network, out = self.network_, []
        with torch.no_grad():
            for first in range(0, len(codes), ROWS_AT_ONCE):
                part = (codes[first:first + ROWS_AT_ONCE] / self.code_scale_).astype(self.mean_.dtype)
                out.append(self._in_units(network.decoder(torch.from_numpy(part))).numpy())
        return np.concatenate(out).astype(codes.dtype, copy=False)

    def _in_units(self, output: Tensor) -> Tensor:
        """Features in their own units, of the decoder's output."""
        if self.loss == "bernoulli":
            return torch.sigmoid(output)
        return output * self.scale_ + torch.from_numpy(self.mean_)

    def _scaled(self, output: Tensor) -> Tensor:
        """Scaled features, of the decoder's output."""
        if self.loss == "bernoulli":
            return (torch.sigmoid(output) - torch.from_numpy(self.mean_).to(output.device)) / self.scale_
        return output

    def _by_parts(self, of: Callable[[Tensor, Tensor | None], Tensor],
                  X: NDArray[np.floating]) -> NDArray[np.floating]:
        """A function of scaled rows and what of them is observed, for checked rows, part by part."""
        out = []
        with torch.no_grad():
            for first in range(0, len(X), ROWS_AT_ONCE):
                part = X[first:first + ROWS_AT_ONCE]
                missing = np.isnan(part)
                rows = np.where(missing, 0, (part - self.mean_) / self.scale_).astype(self.mean_.dtype)
                observed = torch.from_numpy(~missing) if missing.any() else None
                out.append(of(torch.from_numpy(rows), observed).numpy())
        return np.concatenate(out).astype(X.dtype, copy=False)

    def _checked(self, X: Any, reset: bool = False) -> NDArray[np.floating]:
        return validate_data(self, X, dtype=DTYPES, reset=reset, ensure_min_samples=2 if reset else 1,
                             ensure_all_finite="allow-nan" if self._takes_missing() else True)

    def _errors(self, output: Tensor, rows: Tensor) -> Tensor:
        """The decoder's output against scaled rows, `[N, features]`."""
        if self.loss == "squared":
            return terms.squared(output, rows)
        mean = torch.from_numpy(self.mean_).to(rows.device)
        return terms.bernoulli(output, (rows * self.scale_ + mean).clamp(0, 1))

    def _linear_decoder(self, columns: NDArray[np.floating], mean: NDArray[np.floating]) -> tuple[Tensor, Tensor]:
        """Weights and bias of a decoder that adds `columns [features, units]` times the code to the mean, in scaled
        units; for Bernoulli features in logits, to first order."""
        if self.loss == "squared":
            return torch.from_numpy(columns), torch.zeros(len(columns))
        slope = np.maximum(mean * (1 - mean), LEAST_SLOPE)
        within = mean.clip(0.01, 0.99)
        return torch.from_numpy(columns * self.scale_ / slope[:, None]), torch.from_numpy(np.log(within / (1 - within)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.allow_nan = self._takes_missing()
        return tags


@contextmanager
def torch_state(random: np.random.RandomState, device: str = "cpu") -> Iterator[torch.device]:
    """Torch's random state from scikit-learn's; the caller's is put back."""
    used = torch.device(device)
    with torch.random.fork_rng(devices=[used] if used.type == "cuda" else []):
        torch.manual_seed(int(random.randint(2**31 - 1)))
        yield used


def check_parameters(estimator: BaseAutoencoder) -> None:
    """Raises ValueError or TypeError for parameters out of range, naming them."""
    for name in ("n_components", "max_iter", "batch_size"):
        _whole(name, getattr(estimator, name))
    for width in estimator.hidden:
        _whole("hidden", width)
    for name, value in (("loss", LOSSES), ("start", STARTS)):
        if getattr(estimator, name) not in value:
            raise ValueError(f"{name} must be one of {', '.join(value)}, not {getattr(estimator, name)!r}")
    if not estimator.learning_rate > 0:
        raise ValueError(f"learning_rate must be positive, not {estimator.learning_rate}")
    if not estimator.weight_decay >= 0:
        raise ValueError(f"weight_decay must be 0 or more, not {estimator.weight_decay}")
    if not 0 <= estimator.validation_fraction < 1:
        raise ValueError(f"validation_fraction must lie between 0 and 1, not {estimator.validation_fraction}")


def _whole(name: str, value: Any) -> None:
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be whole numbers, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, not {value}")
