"""Codes of which few units are at work at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TopK:
    """Only the k units that say most are kept, all others are zero (Makhzani and Frey, ICLR 2014).

    What a unit says is its value times the length of its column in the decoder's linear path. By the bare values, units
    with small values and long columns would never win, however well they fit.

    With more units than features, `start="random"` leaves the fewest units unused: principal components of little
    variance have little to say.

    Args:
        k: how many.
        revival: weight of the term that lets units which never win learn from what the others leave over (Gao et al.,
            "Scaling and evaluating sparse autoencoders", 2024, section A.2).
    """

    k: int
    revival: float = 1 / 32

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"TopK.k must be 1 or more, not {self.k}")


@dataclass(frozen=True)
class L1:
    """A penalty on the units' absolute values.

    It is taken of units divided by their root mean square over the batch: of the bare values it could be made as small
    as one likes by a small code and a large decoder.

    Args:
        weight: of the mean absolute value, beside a reconstruction loss that is 1 for a code that says nothing.
    """

    weight: float = 0.1

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError(f"L1.weight must be positive, not {self.weight}")

    def penalty(self, code: Tensor) -> Tensor:
        """The weighted penalty of code `[N, units]`, a scalar."""
        size = code.square().mean(dim=0).clamp_min(1e-12).sqrt()
        return self.weight * (code.abs().mean(dim=0) / size).mean()


Sparsity = TopK | L1


def keep_largest(code: Tensor, k: int, sizes: Tensor) -> Tensor:
    """`[N, units]` with all but the k entries of each row at zero whose magnitude times `sizes`, `[units]`, is largest.
    """
    if k >= code.shape[1]:
        return code
    places = (code.abs() * sizes).topk(k, dim=1, sorted=False).indices
    return torch.zeros_like(code).scatter(1, places, code.gather(1, places))


class Revival:
    """Finds the units that never win, and has them learn from the error that the others leave."""

    PATIENCE = 20  # updates without a win after which a unit counts as dead

    def __init__(self, sparsity: TopK, units: int, device: torch.device) -> None:
        self.sparsity = sparsity
        self.idle = torch.zeros(units, dtype=torch.int64, device=device)

    def dead_code(self, dense: Tensor, kept: Tensor, sizes: Tensor) -> Tensor | None:
        """The code of the dead units alone, to be decoded into the error of the others; None if all are alive.

        Args:
            dense: the code before units were dropped, `[N, units]`.
            kept: after.
            sizes: of the units' columns in the decoder, `[units]`.
        """
        self.idle += 1
        self.idle[(kept != 0).any(dim=0)] = 0
        dead = self.idle > self.PATIENCE
        if not bool(dead.any()):
            return None
        return keep_largest(dense * dead, max(self.sparsity.k, dense.shape[1] // 2), sizes)
