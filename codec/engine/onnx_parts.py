"""The network in the parts that become ONNX graphs, in torch; `onnx_export` makes them, `onnx_engine` runs them.

A graph names the tensors of the weights file it is run with, and how they are shaped; their values stay in that file
alone. Whatever differs from level to level is an input: that of a `LevelVector` is named as the vector.

Large pictures go through a graph strip by strip of rows. Two forms of the residual block make that possible:

- `StripBlock` takes strips in their order. Rows whose result waits for those below go out of the graph as a state, and
  come back in with the next strip: every row is computed once.
- `WindowBlock` takes a strip with the rows next to it: for the context, where what is next depends on the result.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..format.constants import (
    ACTIVATION_BITS,
    ACTIVATION_MAX,
    GROUPS,
    OFFSET_BITS,
    PATCH,
    STEPS,
    STRIDE,
    SYMBOL_MAX,
    TABLES,
)
from ..network.blocks import Block
from ..network.context import MeanContext
from ..network.hyperprior import HyperAnalysis, IntegerScaleDecoder, IntegerScaleLayer, MeanDecoder, signed_log
from ..network.model import CodecNetwork
from ..network.quality import LevelVector
from ..network.transforms import Analysis, Synthesis
from .onnx_graph import NEXT, STATE

Axes = dict[int, str]  # names of the axes of any length


# -- blocks for strips ------------------------------------------------------------------------------------------------


def _halo(block: Block) -> int:
    """By how many rows a block looks up and down."""
    return int(block.depthwise.kernel_size[0]) // 2


def _finish(block: Block, x: Tensor, hidden: Tensor) -> Tensor:
    """A block's result for rows `x`, from its `hidden` for them and for those next to them."""
    kernel = block.depthwise
    spread = F.conv2d(hidden, kernel.weight, kernel.bias, padding=(0, _halo(block)), groups=kernel.groups)
    x = x + block.leave(spread)
    return x + block._channel(x)


class StripBlock:
    """A block for one strip after another.

    Args:
        columns: of its input, for each column of the coarsest layer in the graph.
        hold: how many rows wait for the next strip: the block's halo, or more where a layer behind it takes rows in
            twos or fours.
    """

    def __init__(self, block: nn.Module, columns: int, hold: int | None = None) -> None:
        assert isinstance(block, Block)
        self.block, self.columns = block, columns
        self.hold = _halo(block) if hold is None else hold

    def __call__(self, x: Tensor, hidden_state: Tensor, state: Tensor, last: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """
        Args:
            x: a strip `[1, C, rows, w]`.
            hidden_state, state: what the last call gave; `[1, C, halo, w]` zeros and `[1, C, 0, w]` at first.
            last: 1 for the last strip, else 0: a scalar integer.

        Returns:
            The rows that are ready, and both states.
        """
        halo = _halo(self.block)
        hidden = self.block.hidden(x)
        hidden = torch.cat([hidden_state, hidden, *[hidden[:, :, :last] * 0] * halo], dim=2)
        x = torch.cat([state, x], dim=2)
        ready = x.shape[2] - self.hold * (1 - last)
        used = hidden if self.hold == halo else hidden[:, :, :ready + 2 * halo]
        return _finish(self.block, x[:, :, :ready], used), hidden[:, :, ready:], x[:, :, ready:]


class WindowBlock:
    """A block for a strip that has `above` and `below` rows of others next to it: its halo, or 0 at the edge of the
    picture."""

    def __init__(self, block: nn.Module) -> None:
        assert isinstance(block, Block)
        self.block = block

    def __call__(self, x: Tensor, above: Tensor, below: Tensor) -> Tensor:
        hidden = self.block.hidden(x)
        edge = (hidden[:, :, :1] * 0).expand(-1, -1, _halo(self.block), -1)
        hidden = torch.cat([edge[:, :, above:], hidden, edge[:, :, below:]], dim=2)
        return _finish(self.block, x[:, :, above:x.shape[2] - below], hidden)


# -- the graphs -------------------------------------------------------------------------------------------------------


class Graph(nn.Module):
    """A part of the network: inputs by name to outputs by name.

    Its members have the names that they have in the network, so that tensors keep theirs.
    """

    analysis: Analysis
    synthesis: Synthesis
    gain: LevelVector
    hyper_analysis: HyperAnalysis
    mean_decoder: MeanDecoder
    context: MeanContext
    scale_decoder: IntegerScaleDecoder
    strips: dict[str, StripBlock]  # by their names in the network

    def __init__(self, network: CodecNetwork, *used: str) -> None:
        super().__init__()
        for member in used:
            setattr(self, member, getattr(network, member))
        self.config = network.config
        self.strips = {}

    def inputs(self) -> dict[str, tuple[Tensor, Axes]]:
        """What `run` takes: examples of any size. Level vectors and states come by themselves."""
        raise NotImplementedError

    def run(self, given: dict[str, Tensor], made: dict[str, Tensor]) -> None:
        """Put outputs, computed from all inputs, into `made`."""
        raise NotImplementedError

    def _add_strips(self, path: str, blocks: Iterable[nn.Module], columns: int, multiple: int = 1) -> list[str]:
        """Make blocks work on strips, and give out a multiple of so many rows."""
        names = []
        for n, block in enumerate(blocks):
            names.append(f"{path}.{n}")
            self.strips[names[-1]] = StripBlock(block, columns)
        if names:
            total = sum(self.strips[name].hold for name in names)
            self.strips[names[0]].hold += -total % multiple
        return names

    def _through(self, names: Iterable[str], x: Tensor, given: dict[str, Tensor], made: dict[str, Tensor]) -> Tensor:
        for name in names:
            x, hidden, state = self.strips[name](x, given[f"{STATE}{name}.hidden"], given[f"{STATE}{name}.x"],
                                                 given["last"])
            made[f"{NEXT}{name}.hidden"], made[f"{NEXT}{name}.x"] = hidden, state
        return x

    def level_vectors(self) -> dict[str, LevelVector]:
        return {path: module for path, module in self.named_modules() if isinstance(module, LevelVector)}

    def states(self) -> dict[str, tuple[Tensor, int]]:
        """What comes in with the first strip, for 4 columns in the coarsest layer, and columns for each of those."""
        result = {}
        for name, block in self.strips.items():
            channels, columns = block.block.depthwise.weight.shape[0], 4 * block.columns
            result[f"{STATE}{name}.hidden"] = torch.zeros(1, channels, _halo(block.block), columns), block.columns
            result[f"{STATE}{name}.x"] = torch.zeros(1, channels, 0, columns), block.columns
        return result

    def all_inputs(self) -> dict[str, tuple[Tensor, Axes]]:
        result = self.inputs()
        for name, vector in self.level_vectors().items():
            result[name] = torch.ones(1, vector.knots.shape[1], 1, 1), {}
        for name, (tensor, _) in self.states().items():
            result[name] = tensor, {2: f"{name}.rows", 3: f"{name}.columns"}
        if self.strips:
            result["last"] = torch.zeros((), dtype=torch.int64), {}
        return result


class AnalysisGraph(Graph):
    """`pixels`, uint8 `[16 rows, 16 w, 3]`, to `latents`."""

    def __init__(self, network: CodecNetwork) -> None:
        super().__init__(network, "analysis")
        self.fine = self._add_strips("analysis.blocks", self.analysis.blocks, STRIDE // PATCH, STRIDE // PATCH)
        self.coarse = self._add_strips("analysis.latent_blocks", self.analysis.latent_blocks, 1)

    def inputs(self) -> dict[str, tuple[Tensor, Axes]]:
        return {"pixels": (torch.zeros(8 * STRIDE, 4 * STRIDE, 3, dtype=torch.uint8), {0: "16rows", 1: "16w"})}

    def run(self, given: dict[str, Tensor], made: dict[str, Tensor]) -> None:
        part, pixels = self.analysis, given["pixels"]
        rows, columns = pixels.shape[0] // PATCH, pixels.shape[1] // PATCH
        # The kernel tiles the picture: with the pixels of a patch as channels it is a 1x1 convolution.
        patches = pixels.reshape(rows, PATCH, columns, PATCH, 3).permute(4, 1, 3, 0, 2).reshape(1, -1, rows, columns)
        weight = part.patches.weight.view(part.patches.outputs, -1, 1, 1)
        x = F.conv2d(patches.float() / 255 - 0.5, weight, part.patches.bias) * given["analysis.gain"]
        x = part.down(self._through(self.fine, x, given, made))
        made["latents"] = self._through(self.coarse, x, given, made)


class HyperAnalysisGraph(Graph):
    """`latents` `[1, M, 4 rows, 4 w]`, and `finer` `[1, Z, 1, 1]` for the steps of z, to `z`, int16 `[1, Z, rows, w]`.
    """

    def __init__(self, network: CodecNetwork) -> None:
        super().__init__(network, "gain", "hyper_analysis")
        first, second = self.hyper_analysis.blocks
        self.first = self._add_strips("hyper_analysis.first", [first], 4, 4)
        self.second = self._add_strips("hyper_analysis.second", [second], 2, 2)

    def inputs(self) -> dict[str, tuple[Tensor, Axes]]:
        return {"latents": (torch.zeros(1, self.config.latents, 16, 16), {2: "4rows", 3: "4w"}),
                "finer": (torch.ones(1, self.config.hyper, 1, 1), {})}

    def run(self, given: dict[str, Tensor], made: dict[str, Tensor]) -> None:
        part = self.hyper_analysis
        x = part.enter(signed_log(given["latents"] * given["gain"]))
        x = part.down(self._through(self.first, x, given, made))
        x = 4.0 * part.leave(self._through(self.second, x, given, made))
        made["z"] = torch.round(x * given["finer"]).clamp(-SYMBOL_MAX, SYMBOL_MAX).to(torch.int16)


class ScalesGraph(Graph):
    """`z`, symbols times their steps within +-248, and `offsets` `[1, M, 1, 1]` of the level to `index`, uint8.

    Integers, and products of them and powers of two, in float32: exact.
    """

    powers: Tensor

    def __init__(self, network: CodecNetwork) -> None:
        super().__init__(network, "scale_decoder")
        for layer in self.scale_decoder.layers:
            layer.weight, layer.bias, layer.shift = layer.weight.float(), layer.bias.float(), layer.shift.long()
        # A table, for a power that is computed need not be exact.
        self.register_buffer("powers", torch.tensor([2.0**-shift for shift in range(32)]), persistent=False)

    def inputs(self) -> dict[str, tuple[Tensor, Axes]]:
        return {"z": (torch.zeros(1, self.config.hyper, 3, 4), {2: "rows", 3: "w"}),
                "offsets": (torch.zeros(1, self.config.latents, 1, 1), {})}

    def _layer(self, layer: IntegerScaleLayer, x: Tensor) -> Tensor:
        x = F.conv2d(x, layer.weight, padding=layer.padding, groups=layer.groups)
        x = torch.floor((x + layer.bias[:, None, None]) * self.powers[layer.shift][:, None, None] + 0.5)
        return x.clamp(0, ACTIVATION_MAX) if layer.relu else x

    def run(self, given: dict[str, Tensor], made: dict[str, Tensor]) -> None:
        x = given["z"]
        for layer, shuffle in zip(self.scale_decoder.layers, self.scale_decoder.shuffles, strict=True):
            x = self._layer(layer, x)
            if shuffle:
                x = F.pixel_shuffle(x, 2)
        x = torch.floor((x + given["offsets"]) * 2.0**-OFFSET_BITS + 0.5)
        made["index"] = x.clamp(0, TABLES - 1).to(torch.uint8)


class FeaturesGraph(Graph):
    """`z`, symbols times their steps, to the `features` `[1, C, 4 rows, 4 w]` from which the context starts."""

    def __init__(self, network: CodecNetwork) -> None:
        super().__init__(network, "mean_decoder")
        first, second = self.mean_decoder.blocks
        self.first = self._add_strips("mean_decoder.first", [first], 1)
        self.second = self._add_strips("mean_decoder.second", [second], 2)

    def inputs(self) -> dict[str, tuple[Tensor, Axes]]:
        return {"z": (torch.zeros(1, self.config.hyper, 3, 4), {2: "rows", 3: "w"})}

    def run(self, given: dict[str, Tensor], made: dict[str, Tensor]) -> None:
        part = self.mean_decoder
        x = self._through(self.first, part.enter(given["z"] / 2**ACTIVATION_BITS), given, made)
        x = self._through(self.second, F.pixel_shuffle(part.up[0](F.silu(x)), 2), given, made)
        made["features"] = F.pixel_shuffle(part.up[1](F.silu(x)), 2)


class ContextGraph(Graph):
    """One step of the context for a strip, with `above` and `below` rows of others next to it.

    `x` `[1, C, rows, w]` from the step before (or the features), and `known`, the latents `[1, M, rows, w]` that are
    known, to the strip's `next` `[1, C, rows, w]` and `means` `[4, M / 4, rows / 2, w / 2]`, sides rounded up: for each
    phase of the 2x2 lattice those of the channels that become known there.
    """

    def __init__(self, network: CodecNetwork, step: int) -> None:
        super().__init__(network, "context")
        self.step = step
        self.window = WindowBlock(network.context.blocks[step])

    def level_vectors(self) -> dict[str, LevelVector]:
        return super().level_vectors() if self.step == 0 else {}

    def inputs(self) -> dict[str, tuple[Tensor, Axes]]:
        result = {"x": (torch.zeros(1, self.config.context, 8, 12), {2: "rows", 3: "w"})}
        if self.step:
            result["known"] = torch.zeros(1, self.config.latents, 8, 12), {2: "rows", 3: "w"}
        for name in ("above", "below"):
            result[name] = torch.ones((), dtype=torch.int64), {}
        return result

    def run(self, given: dict[str, Tensor], made: dict[str, Tensor]) -> None:
        part, step, x = self.context, self.step, given["x"]
        x = x + part.known[step - 1](given["known"]) if step else x * given["context.gain"]
        x = self.window(x, given["above"], given["below"])
        made["next"] = x
        x = torch.cat([x, x[:, :, :x.shape[2] % 2]], dim=2)
        x = torch.cat([x, x[:, :, :, :x.shape[3] % 2]], dim=3)
        head, size = part.heads[step], self.config.latents // STEPS
        means = []
        for phase, group in enumerate(GROUPS[step]):
            own = slice(group * size, (group + 1) * size)
            means.append(F.conv2d(x[:, :, phase // 2::2, phase % 2::2], head.filters()[own], head.bias[own]))
        made["means"] = torch.cat(means, dim=0)


class SynthesisGraph(Graph):
    """`latents` to `pixels`, uint8 `[16 rows, 16 w, 3]`."""

    def __init__(self, network: CodecNetwork) -> None:
        super().__init__(network, "synthesis")
        self.coarse = self._add_strips("synthesis.latent_blocks", self.synthesis.latent_blocks, 1)
        self.fine = self._add_strips("synthesis.blocks", self.synthesis.blocks, STRIDE // PATCH)

    def inputs(self) -> dict[str, tuple[Tensor, Axes]]:
        return {"latents": (torch.zeros(1, self.config.latents, 8, 4), {2: "rows", 3: "w"})}

    def run(self, given: dict[str, Tensor], made: dict[str, Tensor]) -> None:
        part = self.synthesis
        x = self._through(self.coarse, given["latents"], given, made)
        x = F.pixel_shuffle(part.up(x), 2) * given["synthesis.gain"]
        x = part.patches(self._through(self.fine, x, given, made))
        x = ((x + 0.5) * 255).clamp(0, 255).round().to(torch.uint8)
        rows, columns = x.shape[2], x.shape[3]
        x = x.reshape(3, PATCH, PATCH, rows, columns).permute(3, 1, 4, 2, 0)
        made["pixels"] = x.reshape(rows * PATCH, columns * PATCH, 3)


def graphs(network: CodecNetwork) -> dict[str, Graph]:
    """All graphs of a network by name."""
    steps = {f"context_{step}": ContextGraph(network, step) for step in range(STEPS)}
    return {"analysis": AnalysisGraph(network), "hyper_analysis": HyperAnalysisGraph(network),
            "scales": ScalesGraph(network), "features": FeaturesGraph(network), **steps,
            "synthesis": SynthesisGraph(network)}
