/** The numbers that belong to the format and not to a model (FORMAT.md, sections 1 to 4 and 8): all that a new version
 * of the format changes in numbers stands here. */

export const SIGNATURE = 0xae414543; // read with the first byte on top
export const VERSION = 0;
export const FLAG_GREY = 1;
export const FLAG_LOSSLESS = 2;
export const FLAG_ALPHA = 4; // of a lossless file: its payload holds alpha
export const KNOWN_FLAGS = 0xf0 | FLAG_GREY | FLAG_LOSSLESS | FLAG_ALPHA;
export const WEBP_LOSSLESS = 1; // the coding of a lossless file, in place of the model id
export const NO_BUNDLE = "00000000"; // the bundle hash of a lossless file
export const MAX_SIDE = (1 << 24) - 1;
export const MAX_PAYLOAD = 0xffffffff;
export const MAX_BOX = 1 << 28;
export const MAX_METADATA = 1 << 26; // unpacked: a small file must not fill the memory

/** The default limit on width times height. */
export const MAX_PIXELS = 178_956_970;
export const MIN_SIDE = 64; // a thinner picture costs what one of this side does
export const THIN_PIXELS = 1 << 24; // of such a cost that any limit allows

export const LEVELS = 64; // quality levels of a tune
/** What a picture may be made for, in the order of their numbers. */
export const TUNES = ["visual", "psnr"] as const;
export const KNOTS = 10; // of a level vector, for a tune
export const EXPERIMENTAL_ID = 0xf000;

export const STRIDE = 16; // pixels per latent, each way
export const HYPER_STRIDE = 4; // latents per hyper-latent, each way
export const PATCH = 8; // pixels per feature of the finest layers, each way

export const STEPS = 4; // of the context model
/** (row, column) phases of the 2x2 lattice: in step s, channel group g becomes known at `ORDER[(s + g) % 4]`. */
export const ORDER = [[0, 0], [1, 1], [0, 1], [1, 0]] as const;

export const TABLE_TOTAL = 1 << 16; // sum of a table's frequencies
export const SYMBOL_MAX = 32767;
export const ESCAPE_LENGTHS = 17; // bit lengths 0..16 of what an escape stands for

export const Z_CLAMP = 248; // of the scale decoder; those of its layers are in scales.wat
export const OFFSET_BITS = 2;

/** The scale decoder's layers: whether depthwise, and whether a pixel shuffle follows. */
export const SCALE_LAYERS = [
  { depthwise: false, shuffle: false },
  { depthwise: true, shuffle: false },
  { depthwise: false, shuffle: true },
  { depthwise: true, shuffle: false },
  { depthwise: false, shuffle: false },
  { depthwise: false, shuffle: true },
  { depthwise: true, shuffle: false },
  { depthwise: false, shuffle: false },
] as const;
/** By how many rows or columns of z around its own a table index is determined. */
export const SCALE_HALO = 2;

/** Tensors whose names start so are no part of what decoding depends on. */
export const OUTSIDE_BUNDLE = ["analysis.", "hyper_analysis.", "rounding.", "decoders.", "encoders.", "training."];
