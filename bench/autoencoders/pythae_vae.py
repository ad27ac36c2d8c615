"""pythae's VAE (Chadebec, Vincent and Allassonniere, NeurIPS 2022) for a given time, if it is installed."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .data import SIDE

Rows = NDArray[np.floating]


def installed() -> bool:
    """It is no dependency: its own ask for other versions than ours."""
    return importlib.util.find_spec("pythae") is not None


def fitted(rows: Rows, units: int, seconds: float) -> Any:
    """The model with pythae's networks, trained by its trainer on rows `[N, 784]` for that many CPU seconds."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    class TimeIsUp(Exception):
        pass

    class Clock(TrainingCallback):
        def on_train_step_end(self, training_config: Any, **kwargs: Any) -> None:
            if time.process_time() > end:
                raise TimeIsUp

    with torch.random.fork_rng(devices=[]), tempfile.TemporaryDirectory() as folder, _quiet():
        torch.manual_seed(0)
        model = VAE(VAEConfig(input_dim=(1, SIDE, SIDE), latent_dim=units))
        config = BaseTrainerConfig(output_dir=folder, num_epochs=1000, per_device_train_batch_size=256,
                                   learning_rate=1e-3, no_cuda=True)
        pictures = torch.from_numpy(rows).reshape(-1, 1, SIDE, SIDE)
        trainer = BaseTrainer(model, BaseDataset(pictures, torch.zeros(len(rows))), training_config=config,
                              callbacks=[Clock()])
        end = time.process_time() + seconds
        with contextlib.suppress(TimeIsUp):
            trainer.train()
    return trainer.model.eval()


def sampled(model: Any, rows: Rows, count: int, components: int) -> dict[str, Rows]:
    """Samples `[count, 784]` from the normal prior, and from a mixture of Gaussians fitted to the codes of rows."""
    from pythae.samplers import GaussianMixtureSampler, GaussianMixtureSamplerConfig, NormalSampler

    with torch.random.fork_rng(devices=[]), _quiet():
        torch.manual_seed(0)
        mixture = GaussianMixtureSampler(model, GaussianMixtureSamplerConfig(n_components=components))
        mixture.fit(torch.from_numpy(rows).reshape(-1, 1, SIDE, SIDE))
        drawn = {"normal": NormalSampler(model).sample(count), "fitted": mixture.sample(count)}
    order = np.random.default_rng(0).permutation(count)  # the mixture's come sorted by component
    return {prior: samples.detach().reshape(count, -1).cpu().numpy()[order] for prior, samples in drawn.items()}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without pythae's reports and progress bars."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
