"""The network in the parts that become ONNX graphs, in torch; `onnx_export` makes them, `onnx_engine` runs them.

A graph names the tensors of the weights file it is run with, and how they are shaped; their values stay in that file
alone. Whatever differs from level to level is an input: that of a `LevelVector` is named as the vector, and what a
block folds its conditions into (see `Block.at`) as its weights and biases.

Large pictures go through a graph strip by strip of rows: see `onnx_blocks`.
"""

from __future__ import annotations

import math
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
from ..network.blocks import Block, Pointwise
from ..network.context import MeanContext
from ..network.hyperprior import HyperAnalysis, IntegerScaleDecoder, IntegerScaleLayer, MeanDecoder, signed_log
from ..network.model import ShippedNetwork
from ..network.quality import LevelVector
from ..network.transforms import Analysis, Synthesis
from .levels import FOLDED
from .onnx_blocks import StripBlock, WindowBlock
from .onnx_graph import NEXT, STATE

Axes = dict[int, str]  # names of the axes of any length


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

    def __init__(self, network: ShippedNetwork, *used: str) -> None:
        super().__init__()
        for member in used:
            setattr(self, member, getattr(network, member))
        self.config = network.config
        self.strips = {}

    def inputs(self) -> dict[str, tuple[Tensor, Axes]]:
        """What `run` takes: examples of any size. What depends on the level, and states, come by themselves."""
        raise NotImplementedError

    def run(self, given: dict[str, Tensor], made: dict[str, Tensor]) -> None:
        """Put outputs, computed from all inputs, into `made`."""
        raise NotImplementedError

    def _add_strips(self, path: str, blocks: Iterable[nn.Module], columns: int, multiple: int = 1) -> list[str]:
        """Make blocks work on strips, and give out a multiple of so many rows; gives their names."""
        names = []
        for n, block in enumerate(blocks):
            names.append(path.format(n))
            self.strips[names[-1]] = StripBlock(block, columns)
        if names:
            total = sum(self.strips[name].hold for name in names)
            self.strips[names[0]].hold += -total % multiple
        return names

    def _through(self, names: Iterable[str], x: Tensor, given: dict[str, Tensor], made: dict[str, Tensor]) -> Tensor:
        for name in names:
            x, hidden, state = self.strips[name](x, given[f"{STATE}{name}.hidden"], given[f"{STATE}{name}.x"],
                                                 given["last"], self._folded(name, given))
            made[f"{NEXT}{name}.hidden"], made[f"{NEXT}{name}.x"] = hidden, state
        return x

    def _folded(self, name: str, given: dict[str, Tensor]) -> list[Tensor]:
        return [given[f"{name}.{ending}"] for ending in FOLDED] if name in self.conditioned() else []

    def blocks(self) -> dict[str, Block]:
        """The blocks that are used, by their names in the network."""
        return {name: strip.block for name, strip in self.strips.items()}

    def conditioned(self) -> list[str]:
        """The names of the blocks that are told of the level."""
        return [name for name, block in self.blocks().items() if block.spatial is not None]

    def least_rows(self) -> int:
        """In the coarsest layer, how many rows the first of several strips must have to reach the end."""
        return math.ceil(sum(strip.hold / strip.columns for strip in self.strips.values())) + 1

    def level_vectors(self) -> dict[str, LevelVector]:
        return {path: module for path, module in self.named_modules() if isinstance(module, LevelVector)}

    def states(self) -> dict[str, tuple[Tensor, int]]:
        """What comes in with the first strip, for 4 columns in the coarsest layer, and columns for each of those."""
        result = {}
        for name, block in self.strips.items():
            channels, columns = block.block.depthwise.weight.shape[0], 4 * block.columns
            result[f"{STATE}{name}.hidden"] = torch.zeros(1, channels, block.block.radius, columns), block.columns
            result[f"{STATE}{name}.x"] = torch.zeros(1, channels, 0, columns), block.columns
        return result

    def all_inputs(self) -> dict[str, tuple[Tensor, Axes]]:
        result = self.inputs()
        for name, vector in self.level_vectors().items():
            result[name] = torch.ones(1, vector.knots.shape[1], 1, 1), {}
        for name in self.conditioned():
            kernel = self.blocks()[name].depthwise.weight
            for ending, shape in zip(FOLDED, (kernel.shape, kernel.shape[:1], (len(kernel), len(kernel), 1, 1),
                                              kernel.shape[:1]), strict=True):
                result[f"{name}.{ending}"] = torch.ones(shape), {}
        for name, (tensor, _) in self.states().items():
            result[name] = tensor, {2: f"{name}.rows", 3: f"{name}.columns"}
        if self.strips:
            result["last"] = torch.zeros((), dtype=torch.int64), {}
        return result


class AnalysisGraph(Graph):
    """`pixels`, uint8 `[16 rows, 16 w, 3]`, to `latents`."""

    def __init__(self, network: ShippedNetwork) -> None:
        super().__init__(network, "analysis")
        self.fine = self._add_strips("analysis.blocks.{}", self.analysis.blocks, STRIDE // PATCH, STRIDE // PATCH)
        self.coarse = self._add_strips("analysis.latent_blocks.{}", self.analysis.latent_blocks, 1)

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

    def __init__(self, network: ShippedNetwork) -> None:
        super().__init__(network, "gain", "hyper_analysis")
        first, second = self.hyper_analysis.blocks
        self.first = self._add_strips("hyper_analysis.blocks.0", [first], 4, 4)
        self.second = self._add_strips("hyper_analysis.blocks.1", [second], 2, 2)

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

    def __init__(self, network: ShippedNetwork) -> None:
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

    def __init__(self, network: ShippedNetwork) -> None:
        super().__init__(network, "mean_decoder")
        first, second = self.mean_decoder.blocks
        self.first = self._add_strips("mean_decoder.blocks.0", [first], 1)
        self.second = self._add_strips("mean_decoder.blocks.1", [second], 2)

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
    phase of the 2x2 lattice those of the channels that become known there. `corrections` go with them, if the model
    has any; see `aecodec.network.context.Means`.
    """

    def __init__(self, network: ShippedNetwork, step: int) -> None:
        super().__init__(network, "context")
        self.step = step
        self.name, self.window = f"context.blocks.{step}", WindowBlock(network.context.blocks[step])

    def blocks(self) -> dict[str, Block]:
        return {self.name: self.window.block}

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
        x = self.window(x, given["above"], given["below"], self._folded(self.name, given))
        made["next"] = x
        x = torch.cat([x, x[:, :, :x.shape[2] % 2]], dim=2)
        x = torch.cat([x, x[:, :, :, :x.shape[3] % 2]], dim=3)
        phases = [x[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1)]
        made["means"] = self._of_phases(part.heads[step], phases)
        if self.config.informed:
            made["corrections"] = 0.5 * torch.tanh(self._of_phases(part.correctors[step], phases))

    def _of_phases(self, head: Pointwise, phases: list[Tensor]) -> Tensor:
        size = self.config.latents // STEPS
        own = [slice(group * size, (group + 1) * size) for group in GROUPS[self.step]]
        return torch.cat([F.conv2d(x, head.filters()[channels], head.bias[channels])
                          for x, channels in zip(phases, own, strict=True)])


class SideGraph(Graph):
    """What the synthesis gets of an informed model: `latents` with what the entropy model knows, `features` and
    `index`, beside them."""

    def __init__(self, network: ShippedNetwork) -> None:
        super().__init__(network, "context")

    def level_vectors(self) -> dict[str, LevelVector]:
        return {}

    def inputs(self) -> dict[str, tuple[Tensor, Axes]]:
        return {name: (torch.zeros(1, channels, 8, 12, dtype=dtype), {2: "rows", 3: "w"}) for name, channels, dtype in (
            ("latents", self.config.latents, torch.float32), ("features", self.config.context, torch.float32),
            ("index", self.config.latents, torch.uint8))}

    def run(self, given: dict[str, Tensor], made: dict[str, Tensor]) -> None:
        made["informed"] = self.context.inform(given["latents"], given["features"], given["index"])


class SynthesisGraph(Graph):
    """`latents` to `pixels`, uint8 `[16 rows, 16 w, 3]`."""

    def __init__(self, network: ShippedNetwork) -> None:
        super().__init__(network, "synthesis")
        self.coarse = self._add_strips("synthesis.latent_blocks.{}", self.synthesis.latent_blocks, 1)
        self.fine = self._add_strips("synthesis.blocks.{}", self.synthesis.blocks, STRIDE // PATCH)

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


def graphs(network: ShippedNetwork) -> dict[str, Graph]:
    """All graphs of a network by name."""
    steps = {f"context_{step}": ContextGraph(network, step) for step in range(STEPS)}
    side = {"side": SideGraph(network)} if network.config.informed else {}
    return {"analysis": AnalysisGraph(network), "hyper_analysis": HyperAnalysisGraph(network),
            "scales": ScalesGraph(network), "features": FeaturesGraph(network), **steps, **side,
            "synthesis": SynthesisGraph(network)}
