"""The configuration of a model and the assembled network."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..format.constants import KNOTS, LEVELS, TABLES, Z_STEP
from .blocks import replaced
from .context import (
    MeanContext,
    Means,
    step_of,
)
from .hyperprior import (
    HyperAnalysis,
    IntegerScaleDecoder,
    MeanDecoder,
    ScaleDecoder,
    log2_sigma,
)
from .likelihood import expected_bits, logistic_bits
from .quality import (
    LAMBDA_MAX,
    GainVector,
    LevelVector,
    level_lambda,
)
from .quantisation import DITHER, NARROW_BELOW, DeadZones, round_dithered
from .strips import Strips
from .transforms import Analysis, Synthesis, start_as_transform


@dataclass(frozen=True)
class ModelConfig:
    """The sizes of a model. The defaults are `small`: about 6 M parameters, about 23 kMAC per pixel to decode."""

    channels: int = 192  # of analysis and synthesis at 1/8
    latents: int = 320  # M, at 1/16
    analysis_blocks: tuple[int, int] = (4, 1)  # at 1/8, at 1/16
    synthesis_blocks: tuple[int, int] = (1, 5)  # at 1/16, at 1/8
    hyper: int = 96  # channels of z, at 1/64
    context: int = 192  # width of hyper-analysis, mean decoder and mean context
    tunes: int = 1  # sets of 64 quality levels, each trained for a distortion of its own
    kernel: int = 3  # side of the depthwise convolutions at 1/16 (of analysis, synthesis and context)
    conditioned: bool = False  # residual branches are told level and tune
    lambda_max: float = LAMBDA_MAX  # the Lagrangian of the highest level
    informed: bool = False  # latents are corrected within their steps; the synthesis sees what the entropy model knows

    @property
    def points(self) -> int:
        """How many operating points there are: quality levels of all tunes."""
        return self.tunes * LEVELS

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """The configuration written by `to_dict`, also after a trip through JSON."""
        known = {field.name for field in fields(cls)}
        unknown = set(values) - known
        if unknown:
            raise ValueError(f"unknown model settings: {', '.join(sorted(unknown))}")
        settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**settings)


class TrainingOutput(NamedTuple):
    """What a training step needs."""

    picture: Tensor  # [B, 3, H, W], centred
    bits_y: Tensor  # [B, M, H/16, W/16]
    bits_z: Tensor  # [B, Z, H/64, W/64]
    latents: Tensor  # [B, M, H/16, W/16]: y as analysis gave it
    symbols: Tensor  # [B, M, H/16, W/16]: what is coded of it, with straight-through gradients


class _CommonParts(nn.Module):
    """What the trainable and the shipped network are both made of."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        told = config.kernel, config.tunes, config.conditioned
        self.analysis = Analysis(config.channels, config.latents, config.analysis_blocks, *told)
        self.synthesis = Synthesis(config.channels, config.latents, config.synthesis_blocks, *told)
        self.gain = GainVector(config.latents, tunes=config.tunes)
        self.hyper_analysis = HyperAnalysis(config.latents, config.context, config.hyper)
        self.mean_decoder = MeanDecoder(config.hyper, config.context)
        self.context = MeanContext(config.latents, config.context, *told, config.informed)


class TrainableNetwork(_CommonParts):
    """The whole network in its trainable form."""

    dither: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.scale_decoder = ScaleDecoder(config.hyper, config.latents, config.tunes)
        self.z_scale = LevelVector(config.hyper, 1.0, config.tunes)
        # Fitted anew whenever they are needed.
        self.rounding = DeadZones(config.latents, persistent=False, tunes=config.tunes)
        self.register_buffer("dither", torch.tensor(DITHER), persistent=False)  # training makes it smaller
        self._frozen_encoder = False

    @torch.no_grad()
    def start(self, pictures: Tensor) -> None:
        """Start as a transform codec fitted to centred `pictures [B, 3, H, W]` (H and W multiples of 16)."""
        deviation = start_as_transform(self.analysis, self.synthesis, pictures)
        # At high rate, R + lambda D is least at a step of sqrt(18 / (ln 2 lambda)) / 255 in the orthonormal domain;
        # with the dead zones of real rates about half of that.
        step = (18 / (0.693 * level_lambda(torch.arange(LEVELS), self.config.lambda_max))).sqrt() / 255 * 0.5
        gain = torch.log2(deviation[None, :] / step[:, None])
        positions = torch.linspace(0, LEVELS - 1, KNOTS).round().long()
        self.gain.knots.copy_(gain[positions].repeat(self.config.tunes, 1))
        last = self.scale_decoder.layers[-1]
        last.weight.mul_(0.02)
        # Index of unit deviation before the level's offset: real value 1 stands for 8 indices.
        unit = (0 - log2_sigma(torch.zeros(()))) / (log2_sigma(torch.ones(())) - log2_sigma(torch.zeros(())))
        last.bias.fill_(float(unit) / 8 - 0.3)  # means and neighbours explain part of the energy

    def freeze_encoder(self) -> None:
        """Let training change nothing that decides about symbols: what is left are synthesis and means."""
        for part in (self.analysis, self.hyper_analysis, self.scale_decoder, self.gain, self.z_scale):
            part.requires_grad_(False)
        self._frozen_encoder = True

    @property
    def dithering(self) -> bool:
        """Whether narrow tables' values get noise before they are rounded: where the encoder is to learn from it."""
        return self.training and not self._frozen_encoder

    def _bits(self, value: Tensor, dead: Tensor, symbol: Tensor, narrow: Tensor, log2_sigma: Tensor) -> Tensor:
        if not self.training:
            return logistic_bits(symbol, log2_sigma)
        return expected_bits(value, dead, narrow, self.dither, log2_sigma)

    def forward(self, picture: Tensor, level: Tensor, quantised: bool = True) -> TrainingOutput:
        """Centred pictures `[B, 3, H, W]` (multiples of 64) at levels `[B]`: reconstruction and rates.

        In evaluation everything is rounded and priced as the codec does it, with its dead zones, and with zero where
        the table says "always zero". In training the decoder sees the same with straight-through gradients, and in the
        rate additive uniform noise stands for rounding (Minnen and Singh, 2020); but not where tables are narrow. There
        the noise would be charged a quarter of a bit for a latent that costs nothing. Rounded values with
        straight-through gradients are no better: the rate does not hold a latent back before it has become a symbol of
        ten bits, while the distortion pushes it there. So such values get a little noise before they are rounded: their
        expected symbol and its expected price are continuous, and training follows the gradients of both.
        """
        latents = self.analysis(picture, level).float()
        gain = self.gain(level)
        scaled = latents * gain
        z_steps = self.scale_decoder.steps(level)
        z = self.hyper_analysis(scaled).float() * (Z_STEP / z_steps)
        z_log2_sigma = self.z_scale.log2(level)
        narrow = z_log2_sigma.detach() < log2_sigma(torch.tensor(float(NARROW_BELOW)))
        nothing = torch.zeros_like(z)
        z_rounded = round_dithered(z, nothing, narrow & self.dithering, self.dither)
        bits_z = self._bits(z, nothing, z_rounded, narrow, z_log2_sigma)

        with torch.autocast(picture.device.type, enabled=False):
            index = self.scale_decoder(z_rounded, level, self.gain, quantised)
        nearest = torch.floor(index.detach() + 0.5)  # without `quantised` an index is a fraction
        coded = nearest > 0
        narrow = nearest < NARROW_BELOW
        dead = self.rounding(level, nearest)
        features = self.mean_decoder(z_rounded * z_steps)
        steps = step_of(self.config.latents, latents.shape[2], latents.shape[3], latents.device)
        means = torch.zeros_like(scaled)
        symbols = torch.zeros_like(scaled)
        shifts = torch.zeros(())  # of latents within their steps

        def code(step: int, _: int, predicted: Means) -> Tensor:
            nonlocal means, symbols, shifts
            now = steps == step
            mean = torch.where(now, predicted.all().float() * gain, 0)
            residual = torch.where(now, scaled, 0) - mean
            symbol = round_dithered(residual, dead, narrow & self.dithering, self.dither)
            symbols = symbols + torch.where(coded, symbol, symbol - symbol.detach())
            means = means + mean
            corrections = predicted.corrections()
            if corrections is not None:
                shifts = shifts + torch.where(now, corrections.float() * symbol.clamp(-1, 1), 0)
            return (symbols + means + shifts) / gain

        reconstructed, features = self.context(features, level, code)
        reconstructed = self.context.inform(reconstructed, features, nearest)
        bits_y = self._bits(scaled - means, dead, symbols, narrow, log2_sigma(index))
        bits_y = torch.where(coded | self.training, bits_y, 0)
        output = self.synthesis(reconstructed, level).float()
        return TrainingOutput(output, bits_y, bits_z, latents, symbols)


class ShippedNetwork(_CommonParts):
    """The network as it is shipped: the trained parts, with the scale decoder and z's tables in integers."""

    z_index: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.scale_decoder = IntegerScaleDecoder(config.hyper, config.latents, config.tunes)
        self.rounding = DeadZones(config.latents, tunes=config.tunes)
        self.register_buffer("z_index", torch.zeros(config.points, config.hyper, dtype=torch.uint8))

    def hyper_latents(self, scaled: Strips, level: int) -> Strips:
        """The rounded hyper-latents `[1, Z, rows/4, w/4]` of strips of gained latents (of multiples of 4), float32."""
        finer = Z_STEP / self.scale_decoder.steps[level].float()[:, None, None]
        return (torch.round(z.float() * finer) for z in self.hyper_analysis.strips(scaled))

    def features(self, z: Strips, level: int) -> Strips:
        """What the context model starts from: strips of symbols of z to `[1, width, 4 rows, 4 w]`."""
        return self.mean_decoder.strips(self.scale_decoder.dequantise(strip, level) for strip in z)

    def at(self, level: int) -> ShippedNetwork:
        """The network at one operating point, as coding in strips needs it."""
        return replaced(self, **{name: getattr(self, name).at(level) for name in ("analysis", "synthesis", "context")})

    @classmethod
    @torch.no_grad()
    def frozen(cls, network: TrainableNetwork) -> ShippedNetwork:
        """The shipped form of a trained network."""
        result = cls(network.config)
        for name in ("analysis", "synthesis", "gain", "hyper_analysis", "mean_decoder", "context"):
            getattr(result, name).load_state_dict(getattr(network, name).state_dict())
        result.scale_decoder = network.scale_decoder.freeze(network.gain)
        # The nearest table, but never "always zero": z carries what everything else hangs on.
        step = log2_sigma(torch.ones(())) - log2_sigma(torch.zeros(()))
        index = torch.round((network.z_scale.table() - log2_sigma(torch.zeros(()))) / step)
        result.z_index.copy_(index.clamp(1, TABLES - 1) + (TABLES - 1))  # z's own tables follow the latents'
        return result.eval()
