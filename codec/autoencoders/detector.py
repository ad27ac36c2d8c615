"""`AutoencoderDetector`: which rows are unlike those it was fitted on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from .autoencoder import Autoencoder
from .base import DTYPES

FLOOR = 0.3  # of the features' scale, added to the errors: exact features must not decide alone
HELD_BACK = 0.2  # share of the rows that the errors are measured on; they are not trained on
SAME = 1e-3  # a neighbour nearer than this share of the next one's distance is the row itself
FEWEST = 20  # rows below which none are held back


class AutoencoderDetector(OutlierMixin, BaseEstimator):
    """Outliers and novelties, as a scikit-learn detector.

    A row is described by its features and by its residuals (what the autoencoder does not give back), and is normal if
    fitted rows are near to it: the score is minus the mean distance of the nearest. Features and residuals are measured
    in units of the errors that the autoencoder makes on normal rows that it was not trained on: where it cannot tell
    what a feature will be, a difference means little. A fitted row is compared with the others.

    Args:
        autoencoder: what to fit; None: `Autoencoder(32, (256, 128), max_iter=300)`.
        contamination: share of the fitted rows that are to be called outliers, within 0..0.5.
        n_neighbors: over how many of the nearest rows the distance is a mean.
        random_state: seed or generator; for the autoencoder too, unless it has its own.

    Attributes:
        autoencoder_: the fitted autoencoder.
        weights_: of the features' differences, `[features]`.
        offset_: the score below which a row is an outlier.
    """

    def __init__(self, autoencoder: Autoencoder | None = None, *, contamination: float = 0.1, n_neighbors: int = 3,
                 random_state: Any = None) -> None:
        self.autoencoder = autoencoder
        self.contamination = contamination
        self.n_neighbors = n_neighbors
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> AutoencoderDetector:
        """Learn what is normal from rows `[N, features]`."""
        if not 0 < self.contamination <= 0.5:
            raise ValueError(f"contamination must lie within 0..0.5, above 0, not {self.contamination}")
        if self.n_neighbors < 1:
            raise ValueError(f"n_neighbors must be 1 or more, not {self.n_neighbors}")
        X = validate_data(self, X, dtype=DTYPES, ensure_min_samples=2)
        random = check_random_state(self.random_state)
        model = Autoencoder(32, (256, 128), max_iter=300) if self.autoencoder is None else clone(self.autoencoder)
        if model.random_state is None:
            model.set_params(random_state=int(random.randint(2**31 - 1)))
        held = int(HELD_BACK * len(X)) if len(X) >= FEWEST else 0
        order = random.permutation(len(X))
        self.autoencoder_ = model.fit(X[order[held:]])
        measured = X[order[:held]] if held else X
        errors = np.square(measured - self.autoencoder_.reconstruct(measured)).mean(axis=0)
        self.weights_ = 1 / np.sqrt(errors + (FLOOR * self.autoencoder_.scale_) ** 2)
        count = min(self.n_neighbors, len(X) - 1)
        self.neighbors_ = NearestNeighbors(n_neighbors=count + 1).fit(self._described(X))
        self.offset_ = float(np.quantile(self._scores(X), self.contamination))
        return self

    def score_samples(self, X: Any) -> NDArray[np.floating]:
        """How normal rows are, `[N]`; higher is more so."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=DTYPES, reset=False)
        return self._scores(X)

    def decision_function(self, X: Any) -> NDArray[np.floating]:
        """`score_samples` less `offset_`, `[N]`: negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.integer]:
        """1 for normal rows, -1 for outliers, `[N]`."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _described(self, X: NDArray[np.floating]) -> NDArray[np.floating]:
        """Weighted features and residuals of rows, `[N, 2 features]`."""
        return np.concatenate([X * self.weights_, (X - self.autoencoder_.reconstruct(X)) * self.weights_], axis=1)

    def _scores(self, X: NDArray[np.floating]) -> NDArray[np.floating]:
        distances = self.neighbors_.kneighbors(self._described(X))[0]
        itself = distances[:, 0] <= SAME * distances[:, 1]
        others = np.where(itself[:, None], distances[:, 1:], distances[:, :-1])
        return (-others.mean(axis=1) / np.sqrt(2 * len(self.weights_))).astype(X.dtype)
