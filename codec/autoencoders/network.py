"""A linear path and a multilayer perceptron beside it that starts at zero: the networks of all estimators."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class ResidualMap(nn.Module):
    """`linear(x) + mlp(x, extra)`, `[N, inputs] -> [N, outputs]`. It starts as the linear path alone.

    Args:
        hidden: widths of the perceptron's hidden layers; empty: there is only the linear path.
        extra: inputs that only the perceptron sees.
    """

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int, extra: int = 0) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.mlp: nn.Sequential | None = None
        if hidden:
            widths = [inputs + extra, *hidden]
            layers: list[nn.Module] = []
            for before, after in pairwise(widths):
                layers += [nn.Linear(before, after), nn.SiLU()]
            last = nn.Linear(widths[-1], outputs)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.mlp = nn.Sequential(*layers, last)

    def forward(self, x: Tensor, extra: Tensor | None = None) -> Tensor:
        out = self.linear(x)
        if self.mlp is not None:
            out = out + self.mlp(x if extra is None else torch.cat([x, extra], dim=1))
        return out

    @torch.no_grad()
    def set_linear(self, weight: Tensor, bias: Tensor) -> None:
        """Give the linear path its weights `[outputs, inputs]` and bias `[outputs]`."""
        self.linear.weight.copy_(weight)
        self.linear.bias.copy_(bias)


class EncoderDecoder(nn.Module):
    """The two maps of an autoencoder; the decoder mirrors the encoder.

    Args:
        outputs: of the encoder; more than `units` where it gives a distribution.
        extra: inputs beside the features that only the encoder's perceptron sees.
    """

    def __init__(self, features: int, hidden: Sequence[int], units: int, outputs: int | None = None,
                 extra: int = 0) -> None:
        super().__init__()
        self.encoder = ResidualMap(features, hidden, outputs or units, extra)
        self.decoder = ResidualMap(units, hidden[::-1], features)

    @torch.no_grad()
    def column_sizes(self) -> Tensor:
        """The lengths of the units' columns in the decoder's linear path, `[units]`."""
        return self.decoder.linear.weight.norm(dim=0)
