"""The numbers that belong to the format and not to a model (FORMAT.md, section 4), each defined here alone.

The floor of the package: standard library only, and every other part may import it.
"""

from __future__ import annotations

LEVELS = 64  # quality levels of a tune, 0..63
TUNES = ("visual", "psnr")  # what a picture may be made for, in the order of their numbers
KNOTS = 10  # of a level vector
GAIN_BITS = 14  # a level vector stays within 2^-14 .. 2^14
DEFAULT_QUALITY = 50.0  # of 0..100
EXPERIMENTAL_ID = 0xF000  # from this model id on, the weights behind an id may change until release 1.0

PATCH = 8  # pixels per feature of the finest layers, each way
STRIDE = 16  # pixels per latent, each way
HYPER_STRIDE = 4  # latents per hyper-latent, each way

#: What the names of tensors begin with on which no file depends: the encoder, further decoders of the same latents, and
#: what only further training needs. All else is in the bundle hash.
TRAINING_PREFIX = "training."
DECODERS_PREFIX = "decoders."
ENCODERS_PREFIX = "encoders."
OUTSIDE_BUNDLE = ("analysis.", "hyper_analysis.", "rounding.", DECODERS_PREFIX, ENCODERS_PREFIX, TRAINING_PREFIX)

STEPS = 4  # of the context model
#: (row, column) phases of the 2x2 lattice, diagonal neighbours first: in step s, group g becomes known at phase
#: `ORDER[(s + g) % 4]`.
ORDER = ((0, 0), (1, 1), (0, 1), (1, 0))
#: For each step: the channel group that becomes known at phases (0, 0), (0, 1), (1, 0) and (1, 1).
GROUPS = tuple(tuple((ORDER.index((row, column)) - step) % STEPS for row in (0, 1) for column in (0, 1))
               for step in range(STEPS))

TABLES = 64  # of the latents; table 0 means "always zero"
TABLE_TOTAL = 1 << 16  # sum of a table's frequencies
SYMBOL_MAX = 32767  # largest size of a symbol
SHIFT_MAX = 1.0  # by how much an encoder moves a residual at most before it is rounded: a symbol goes down by one

ACTIVATION_BITS = 5  # an integer activation a of the scale decoder stands for a / 32
ACTIVATION_MAX = 255
WEIGHT_MAX = 127
BIAS_MAX = 1 << 22  # 255 * 127 * 256 + 2^22 < 2^24
MAX_FAN_IN = 256
Z_CLAMP = 248  # what enters the scale decoder is kept within +-248
OFFSET_BITS = 2  # its last layer, and the level offsets that join it, count in quarters of a table index

Z_STEP = 8  # a symbol of z stands for `z * step`, in units of 1/32; this is the step before a level's own
SCALE_HALO = 2  # by how many rows of z around its own an index is determined

GATE_MAX = 8.0  # bound of a block's gate


def scale_layers(hyper: int, latents: int) -> list[tuple[int, int, bool, bool]]:
    """The layers `(inputs, outputs, depthwise, pixel-shuffle after)` of the scale decoder, at 1/64, 1/32 and 1/16."""
    return [
        (hyper, 192, False, False),
        (192, 192, True, False),
        (192, 512, False, True),
        (128, 128, True, False),
        (128, 256, False, False),
        (256, 640, False, True),
        (160, 160, True, False),
        (160, latents, False, False),
    ]


def level_of(quality: float) -> int:
    """The quality level 0..63 of a quality 0..100. Raises ValueError outside that range."""
    if not 0 <= quality <= 100:
        raise ValueError(f"quality {quality} is outside 0..100")
    return round(quality * (LEVELS - 1) / 100)


def quality_of(level: int) -> float:
    """The quality 0..100 that stands for a level 0..63, to one decimal."""
    return round(level * 100 / (LEVELS - 1), 1)
