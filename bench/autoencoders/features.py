"""A small network that classifies Fashion-MNIST: its features measure samples, its classes measure attributes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from .data import CLASSES, SIDE, Pictures, folder

FEATURES = 64
EPOCHS = 4
BATCH = 128
ROWS_AT_ONCE = 2000


class Judge(nn.Module):
    """Two convolutions and two linear layers: pictures `[N, 784]` within 0..1 to class logits `[N, 10]`."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * (SIDE // 4) ** 2, FEATURES), nn.ReLU())
        self.head = nn.Linear(FEATURES, len(CLASSES))

    def forward(self, rows: Tensor) -> Tensor:
        return self.head(self.body(rows.reshape(-1, 1, SIDE, SIDE)))

    @torch.no_grad()
    def features(self, pictures: NDArray[np.floating]) -> NDArray[np.float64]:
        """The last hidden layer, `[N, 64]`, of pictures `[N, 784]`; what lies outside of 0..1 is clipped."""
        parts = torch.from_numpy(pictures.clip(0, 1).astype(np.float32)).split(ROWS_AT_ONCE)
        return torch.cat([self.body(part.reshape(-1, 1, SIDE, SIDE)) for part in parts]).double().numpy()

    @torch.no_grad()
    def classes(self, pictures: NDArray[np.floating]) -> NDArray[np.int64]:
        """The most likely class of each picture, `[N]`."""
        return self.head(torch.from_numpy(self.features(pictures)).float()).argmax(dim=1).numpy()


def judge(data: Pictures) -> Judge:
    """The network trained on the training pictures; kept in the cache folder, so that it is trained once."""
    path = folder() / "judges" / f"fashion-mnist-{EPOCHS}.pt"
    network = Judge()
    if path.is_file():
        network.load_state_dict(torch.load(path, weights_only=True))
    else:
        _train(network, data)
        path.parent.mkdir(parents=True, exist_ok=True)
        _keep(network, path)
    return network.eval()


def _train(network: Judge, data: Pictures) -> None:
    rows, classes = torch.from_numpy(data.train), torch.from_numpy(data.train_classes.astype(np.int64))
    updates = EPOCHS * len(rows) // BATCH
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.reset_parameters()
        optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=updates)
        for _ in range(updates):
            chosen = torch.randint(len(rows), (BATCH,))
            optimiser.zero_grad()
            F.cross_entropy(network(rows[chosen]), classes[chosen]).backward()
            optimiser.step()
            schedule.step()


def _keep(network: Judge, path: Path) -> None:
    temporary = path.with_suffix(".part")
    torch.save(network.state_dict(), temporary)
    temporary.replace(path)


def frechet(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The Frechet distance of the Gaussians with the moments of two sets of features, `[N, features]` each (Heusel et
    al., NeurIPS 2017)."""
    a, b = np.cov(first.T), np.cov(second.T)
    values, vectors = np.linalg.eigh(a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ b @ root).clip(0)).sum()
    return float(np.square(first.mean(axis=0) - second.mean(axis=0)).sum() + np.trace(a) + np.trace(b) - 2 * cross)
