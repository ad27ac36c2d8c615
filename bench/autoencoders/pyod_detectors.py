"""PyOD's neural detectors (Zhao, Nasrullah and Li, JMLR 2019) for a given time, if it is installed."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Rows = NDArray[np.floating]
Score = Callable[[Rows], Rows]  # higher: more normal


def installed() -> bool:
    """It is no dependency: it brings much that only it needs."""
    return importlib.util.find_spec("pyod") is not None


class Timed:
    """Detectors with PyOD's own settings, except that each trains for as many epochs as fit a number of CPU seconds.

    Args:
        rows: that an epoch is timed on, once for each detector.
        seconds: of CPU time for one fit.
    """

    def __init__(self, rows: Rows, seconds: float) -> None:
        self.epochs: dict[str, int] = {}
        for name in NAMES:
            began = time.process_time()
            self._detector(name, rows.shape[1], 1).fit(rows)
            one = time.process_time() - began
            began = time.process_time()
            self._detector(name, rows.shape[1], 2).fit(rows)
            more = max(time.process_time() - began - one, 1e-3)
            self.epochs[name] = max(1, 1 + round((seconds - one) / more))

    def fit(self, name: str, rows: Rows) -> Score:
        """Fit one of `NAMES` on rows `[N, features]`."""
        detector = self._detector(name, rows.shape[1], self.epochs[name]).fit(rows)
        return partial(_score, detector)

    @staticmethod
    def _detector(name: str, features: int, epochs: int) -> Any:
        from pyod.models.auto_encoder import AutoEncoder
        from pyod.models.deep_svdd import DeepSVDD
        from pyod.models.vae import VAE

        torch.manual_seed(0)
        if name == "PyOD's DeepSVDD":
            return DeepSVDD(n_features=features, epochs=epochs, verbose=0, random_state=0)
        kind = AutoEncoder if name == "PyOD's AutoEncoder" else VAE
        return kind(epoch_num=epochs, verbose=0, random_state=0, device="cpu")


NAMES = ("PyOD's AutoEncoder", "PyOD's VAE", "PyOD's DeepSVDD")


def _score(detector: Any, rows: Rows) -> Rows:
    return -detector.decision_function(rows)
