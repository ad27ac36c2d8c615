"""Analysis (picture to latents) and synthesis (latents to picture), started as a linear transform codec."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..format.constants import PATCH
from .blocks import Block, Pointwise, folded, replaced
from .quality import GainVector
from .strips import Strips, through

FREQUENCIES = 3 * PATCH * PATCH


def dct_filters() -> Tensor:
    """The orthonormal 8x8 DCT-II of an orthonormally decorrelated RGB: `[192, 3, 8, 8]`, luma first."""
    n = torch.arange(PATCH, dtype=torch.float64)
    basis = torch.cos(math.pi * (n[None, :] + 0.5) * n[:, None] / PATCH) * math.sqrt(2 / PATCH)
    basis[0] /= math.sqrt(2)
    colour = torch.tensor([[1, 1, 1], [1, 0, -1], [1, -2, 1]], dtype=torch.float64)
    colour = colour / colour.norm(dim=1, keepdim=True)
    filters = torch.einsum("ac,ui,vj->auvcij", colour, basis, basis)
    return filters.reshape(FREQUENCIES, 3, PATCH, PATCH).float()


def haar_filters() -> Tensor:
    """The orthonormal 2x2 Haar transform: `[4, 2, 2]`, the mean first."""
    signs = [[[1, 1], [1, 1]], [[1, -1], [1, -1]], [[1, 1], [-1, -1]], [[1, -1], [-1, 1]]]
    return torch.tensor(signs, dtype=torch.float32) / 2


class Analysis(nn.Module):
    """Pictures `[B, 3, H, W]` (centred, -0.5..0.5; H and W multiples of 16) to latents `[B, M, H/16, W/16]`."""

    blocks: Any  # ModuleLists of Block
    latent_blocks: Any

    def __init__(self, channels: int, latents: int, blocks: tuple[int, int], kernel: int = 3, tunes: int = 1,
                 conditioned: bool = False) -> None:
        super().__init__()
        told = tunes if conditioned else 0
        self.patches = Pointwise(3, channels, PATCH)
        self.gain = GainVector(channels, tunes=tunes)
        self.blocks = nn.ModuleList(Block(channels, tunes=told) for _ in range(blocks[0]))
        self.down = Pointwise(channels, latents, 2)
        self.latent_blocks = nn.ModuleList(Block(latents, kernel, told) for _ in range(blocks[1]))

    def forward(self, picture: Tensor, level: Tensor) -> Tensor:
        x = self.patches(picture)
        x = x * self.gain(level).to(x.dtype)
        for block in self.blocks:
            x = block(x, level)
        x = self.down(x).to(x.dtype)
        for block in self.latent_blocks:
            x = block(x, level)
        return x

    def at(self, level: int) -> Analysis:
        """The same at one operating point, as `strips` needs it."""
        return replaced(self, blocks=folded(self.blocks, level), latent_blocks=folded(self.latent_blocks, level))

    def strips(self, picture: Strips, level: Tensor) -> Strips:
        """The same strip by strip (of multiples of 16 rows), without gradients."""
        gain = self.gain(level)
        x = through(self.blocks, (self.patches(strip) * gain for strip in picture))
        return through(self.latent_blocks, (self.down(strip).to(strip.dtype) for strip in x))


class Synthesis(nn.Module):
    """The mirror image: latents `[B, M, h, w]` to pictures `[B, 3, 16 h, 16 w]`, centred, not clipped."""

    blocks: Any  # ModuleLists of Block
    latent_blocks: Any

    def __init__(self, channels: int, latents: int, blocks: tuple[int, int], kernel: int = 3, tunes: int = 1,
                 conditioned: bool = False) -> None:
        super().__init__()
        told = tunes if conditioned else 0
        self.latent_blocks = nn.ModuleList(Block(latents, kernel, told) for _ in range(blocks[0]))
        self.up = Pointwise(latents, 4 * channels)
        self.gain = GainVector(channels, tunes=tunes)
        self.blocks = nn.ModuleList(Block(channels, tunes=told) for _ in range(blocks[1]))
        self.patches = Pointwise(channels, FREQUENCIES)

    def forward(self, latents: Tensor, level: Tensor) -> Tensor:
        x = latents
        for block in self.latent_blocks:
            x = block(x, level)
        x = F.pixel_shuffle(self.up(x), 2)
        x = x * self.gain(level).to(torch.promote_types(x.dtype, latents.dtype))
        for block in self.blocks:
            x = block(x, level)
        return F.pixel_shuffle(self.patches(x), PATCH)

    def at(self, level: int) -> Synthesis:
        """The same at one operating point, as `strips` needs it."""
        return replaced(self, blocks=folded(self.blocks, level), latent_blocks=folded(self.latent_blocks, level))

    def strips(self, latents: Strips, level: Tensor) -> Strips:
        """The same strip by strip, without gradients, and as `[B, 192, 2 rows, 2 w]`: before the pixels of the 8x8
        patches find their places. The strips that go in are overwritten."""
        gain = self.gain(level)
        x = through(self.latent_blocks, latents)
        x = through(self.blocks, (F.pixel_shuffle(self.up(strip), 2) * gain for strip in x))
        return (self.patches(strip) for strip in x)


@torch.no_grad()
def start_as_transform(analysis: Analysis, synthesis: Synthesis, pictures: Tensor) -> Tensor:
    """Make both networks the linear transform that keeps the most energy of `pictures [B, 3, H, W]`.

    The first 192 filters become the DCT, the stride-2 step the M (frequency, Haar band) pairs with the most energy,
    each scaled to unit energy, and the synthesis their inverse. The pairs are dealt out by rank to the four channel
    groups of the context model, so that each group holds strong and weak ones.

    Returns:
        `[M]`: the standard deviation each latent had before it was scaled to one.
    """
    channels, latents = analysis.patches.outputs, analysis.down.outputs
    if channels < FREQUENCIES:
        raise ValueError(f"channels must be at least {FREQUENCIES} for the transform start, not {channels}")
    dct, haar = dct_filters(), haar_filters()
    coefficients = F.conv2d(pictures, dct, stride=PATCH)
    bands = torch.stack([F.conv2d(coefficients, h.expand(FREQUENCIES, 1, 2, 2), stride=2, groups=FREQUENCIES)
                         for h in haar])
    deviation = bands.square().mean(dim=(1, 3, 4)).sqrt().t().reshape(-1)  # [FREQUENCIES * 4]
    ranked = deviation.argsort(descending=True)[:latents]
    chosen = torch.cat([ranked[group::4] for group in range(4)])
    kept = deviation[chosen].clamp_min(1e-4)

    analysis.patches.weight.zero_()
    analysis.patches.weight[:FREQUENCIES] = dct.flatten(1)
    nn.init.zeros_(analysis.patches.bias)
    analysis.down.weight.zero_()
    down = analysis.down.filters()
    nn.init.zeros_(analysis.down.bias)
    synthesis.up.weight.zero_()
    up = synthesis.up.weight.view(channels, 4, latents)  # pixel_shuffle: output channel, then (row, column)
    for m, pair in enumerate(chosen.tolist()):
        frequency, band = divmod(pair, 4)
        down[m, frequency] = haar[band] / kept[m]
        up[frequency, :, m] = haar[band].reshape(4) * kept[m]
    synthesis.patches.weight.zero_()
    pixels = dct.permute(1, 2, 3, 0).reshape(FREQUENCIES, FREQUENCIES)
    synthesis.patches.weight[:, :FREQUENCIES] = pixels
    return kept
