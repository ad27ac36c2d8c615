"""The network of the normative decoder: FORMAT.md's scale decoder (section 7), and symbols to planes (section 8).

Beside `reference`, in NumPy alone: integers are int64, everything from section 8 on is float64. A `point` is an
operating point of the model, `64 * tune + level`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from .constants import (
    ACTIVATION_BITS,
    ACTIVATION_MAX,
    GATE_MAX,
    KNOTS,
    LEVELS,
    OFFSET_BITS,
    ORDER,
    PATCH,
    STEPS,
    TABLES,
    Z_CLAMP,
)

Tensors = Mapping[str, np.ndarray]

KNOT_SPACING = 7  # levels
SCALE_LAYERS = 8
SHUFFLED_LAYERS = (2, 5)  # of the scale decoder: a pixel shuffle follows


# -- section 7: the scale decoder -------------------------------------------------------------------------------------


def scale_layer(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """One layer of the scale decoder, before any clamp: int64 `[C', h, w]`.

    Args:
        x: integers `[C, h, w]`.
        weight: `[C', C, 1, 1]`, or of a depthwise layer `[C, 1, 3, 3]`.
        bias, shift: `[C']`.
    """
    x, weight = x.astype(np.int64), weight.astype(np.int64)
    bias, shift = (per_channel.astype(np.int64)[:, None, None] for per_channel in (bias, shift))
    total = _depthwise(x, weight) if weight.shape[2] == 3 else np.tensordot(weight[:, :, 0, 0], x, 1)
    return (total + bias + ((1 << shift) >> 1)) >> shift


def table_indices(tensors: Tensors, z: np.ndarray, point: int) -> np.ndarray:
    """The table of every latent, `uint8 [M, 4 h', 4 w']`, of symbols z `[Z, h', w']` at a point; a picture's latents
    are its first h rows and w columns."""
    a = tensors["scale_decoder.steps"][point].astype(np.int64)[:, None, None] * z.astype(np.int64)
    a = np.clip(a, -Z_CLAMP, Z_CLAMP)
    for n in range(SCALE_LAYERS):
        weight, bias, shift = (tensors[f"scale_decoder.layers.{n}.{part}"] for part in ("weight", "bias", "shift"))
        a = scale_layer(a, weight, bias, shift)
        if n < SCALE_LAYERS - 1:
            a = np.clip(a, 0, ACTIVATION_MAX)
        if n in SHUFFLED_LAYERS:
            a = pixel_shuffle(a, 2)
    offset = tensors["scale_decoder.offsets"][point].astype(np.int64)[:, None, None]
    return np.clip((a + offset + (1 << OFFSET_BITS >> 1)) >> OFFSET_BITS, 0, TABLES - 1).astype(np.uint8)


def pixel_shuffle(x: np.ndarray, side: int) -> np.ndarray:
    """`[C side^2, h, w]` to `[C, side h, side w]`: channel `side^2 c + side i + j` at (y, x) goes to channel c at
    `(side y + i, side x + j)`."""
    channels, height, width = x.shape[0] // side**2, *x.shape[1:]
    x = x.reshape(channels, side, side, height, width).transpose(0, 3, 1, 4, 2)
    return x.reshape(channels, side * height, side * width)


def _depthwise(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The correlation of each channel with its own kernel of odd k, `weight [C, 1, k, k]`, zeros outside the plane."""
    (height, width), side = x.shape[1:], weight.shape[2]
    padded = np.pad(x, ((0, 0), (side // 2, side // 2), (side // 2, side // 2)))
    total = np.zeros_like(x)
    for i in range(side):
        for j in range(side):
            total += weight[:, 0, i, j][:, None, None] * padded[:, i:i + height, j:j + width]
    return total


# -- section 8: from symbols to the picture ---------------------------------------------------------------------------


def latents(tensors: Tensors, z: np.ndarray, y: np.ndarray, index: np.ndarray, point: int) -> np.ndarray:
    """What the synthesis gets, float64 `[M, h, w]`: symbols over the point's gain, plus means, corrected if the model
    corrects, and with what the entropy model knows added if the model adds it.

    Args:
        z: symbols of the hyper-latents, `[Z, h', w']`.
        y: symbols of the latents, `[M, h, w]`.
        index: their tables, `[M, h, w]`.
    """
    x = _mean_features(tensors, z, point)[:, :y.shape[1], :y.shape[2]]
    x = x * level_gain(tensors, "context.gain", point)
    gain, step_of = level_gain(tensors, "gain", point), context_steps(*y.shape)
    known = np.zeros(y.shape)
    for step in range(STEPS):
        if step > 0:
            x = x + _pointwise(tensors, f"context.known.{step - 1}", known)
        x = _block(tensors, f"context.blocks.{step}", x, point)
        means = _pointwise(tensors, f"context.heads.{step}", x)
        residual: np.ndarray = y / gain
        if f"context.correctors.{step}.weight" in tensors:
            correction = np.tanh(_pointwise(tensors, f"context.correctors.{step}", x)) / 2
            residual = (y + correction * np.clip(y, -1, 1)) / gain
        known = np.where(step_of == step, residual + means, known)
    if "context.side.weight" in tensors:
        known = known + _pointwise(tensors, "context.side", np.concatenate([x, index / TABLES]))
    return known


def context_steps(count: int, height: int, width: int) -> np.ndarray:
    """`int64 [count, height, width]`: the step in which each latent becomes known."""
    steps = np.zeros((count, height, width), np.int64)
    for group in range(STEPS):
        for step in range(STEPS):
            row, column = ORDER[(step + group) % STEPS]
            steps[group * count // STEPS:(group + 1) * count // STEPS, row::2, column::2] = step
    return steps


def synthesis(tensors: Tensors, y_hat: np.ndarray, point: int) -> np.ndarray:
    """Latents `[M, h, w]` to the planes red, green, blue `float64 [3, 16 h, 16 w]`, centred on zero."""
    x = _blocks(tensors, "synthesis.latent_blocks", y_hat.astype(np.float64), point)
    x = pixel_shuffle(_pointwise(tensors, "synthesis.up", x), 2) * level_gain(tensors, "synthesis.gain", point)
    x = _blocks(tensors, "synthesis.blocks", x, point)
    return pixel_shuffle(_pointwise(tensors, "synthesis.patches", x), PATCH)


def level_gain(tensors: Tensors, name: str, point: int) -> np.ndarray:
    """The gains of a level vector at a point, `float64 [channels, 1, 1]`."""
    return np.exp2(_between(np.clip(_floats(tensors, f"{name}.knots"), -14, 14), point))


def _between(knots: np.ndarray, point: int) -> np.ndarray:
    """Knots `[KNOTS tunes, channels]` interpolated at a point, `[channels, 1, 1]`."""
    tune, level = divmod(point, LEVELS)
    below, past = divmod(level, KNOT_SPACING)
    first = knots[KNOTS * tune + below]
    return (first + (knots[KNOTS * tune + below + (past > 0)] - first) * past / KNOT_SPACING)[:, None, None]  # type: ignore[no-any-return]


def _mean_features(tensors: Tensors, z: np.ndarray, point: int) -> np.ndarray:
    """Symbols `[Z, h', w']` to what the context starts from, `[W, 4 h', 4 w']`."""
    dequantised = _floats(tensors, "scale_decoder.steps")[point][:, None, None] * z / 2**ACTIVATION_BITS
    x = _block(tensors, "mean_decoder.blocks.0", _pointwise(tensors, "mean_decoder.enter", dequantised), point)
    x = pixel_shuffle(_pointwise(tensors, "mean_decoder.up.0", _silu(x)), 2)
    x = _block(tensors, "mean_decoder.blocks.1", x, point)
    return pixel_shuffle(_pointwise(tensors, "mean_decoder.up.1", _silu(x)), 2)


def _floats(tensors: Tensors, name: str) -> np.ndarray:
    return tensors[name].astype(np.float64)


def _pointwise(tensors: Tensors, name: str, x: np.ndarray) -> np.ndarray:
    """The 1x1 convolution of that name: `[inputs, h, w]` to `[outputs, h, w]`."""
    weight, bias = _floats(tensors, f"{name}.weight"), _floats(tensors, f"{name}.bias")
    return np.tensordot(weight, x, 1) + bias[:, None, None]


def _silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(np.minimum(-x, 700)))  # e^700 is finite, and silu of what lies below is zero


def _block(tensors: Tensors, name: str, x: np.ndarray, point: int) -> np.ndarray:
    hidden = _depthwise(_silu(_pointwise(tensors, f"{name}.enter", x)), _floats(tensors, f"{name}.depthwise.weight"))
    hidden = hidden + _floats(tensors, f"{name}.depthwise.bias")[:, None, None]
    x = x + _pointwise(tensors, f"{name}.leave", _conditioned(tensors, f"{name}.spatial", hidden, point))
    u, v = np.split(_pointwise(tensors, f"{name}.gate", x), 2)
    gated = _silu(u) * np.clip(v, -GATE_MAX, GATE_MAX)
    return x + _pointwise(tensors, f"{name}.mix", _conditioned(tensors, f"{name}.channel", gated, point))


def _conditioned(tensors: Tensors, name: str, x: np.ndarray, point: int) -> np.ndarray:
    """What a residual is told of level and tune, where the model tells it."""
    if f"{name}.gain" not in tensors:
        return x
    gain, bias = (_between(_floats(tensors, f"{name}.{part}"), point) for part in ("gain", "bias"))
    return x * (1 + gain) + bias


def _blocks(tensors: Tensors, name: str, x: np.ndarray, point: int) -> np.ndarray:
    """The blocks `NAME.0`, `NAME.1`, ... of a list, as many as there are."""
    for n in itertools.takewhile(lambda n: f"{name}.{n}.enter.weight" in tensors, itertools.count()):
        x = _block(tensors, f"{name}.{n}", x, point)
    return x
