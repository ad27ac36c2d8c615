/** A model's decoder: its identity, tables, scale decoder, level vectors and the network's tensors (FORMAT.md, 4 and 8). */

import { sha256 } from "@noble/hashes/sha2.js";
import { UnknownModel } from "./errors.js";
import { KNOTS, LEVELS, OUTSIDE_BUNDLE, SCALE_LAYERS } from "./format.js";
import { readSafetensors, type Safetensors, type Tensor, toFloat32 } from "./safetensors.js";
import type { ScaleDecoder } from "./scales.js";
import { makeTables, type Table } from "./tables.js";

export interface Model {
  name: string;
  id: number;
  /** Hexadecimal digits of the SHA-256 of what decoding depends on. */
  digest: string;
  tables: (Table | null)[];
  /** How many of the tunes it has. */
  tunes: number;
  /** `[64 tunes, Z]`: the table of each channel of z. */
  zIndex: Uint8Array;
  scales: ScaleDecoder;
  /** Channels of z and of the latents. */
  hyper: number;
  latents: number;
  /** Blocks of the synthesis at 1/16 and at 1/8 of the picture. */
  synthesisBlocks: [number, number];
  /** `[channels]`: the gains of a level vector, such as `synthesis.gain`, at an operating point. */
  gains(vector: string, point: number): Float32Array;
  /** A tensor of the network as float32, by name. */
  network(name: string): Float32Array;
}

const NUMPY_TYPES = { F32: "<f4", F16: "<f2", I8: "|i1", U8: "|u1", I16: "<i2", U16: "<u2", I32: "<i4" } as const;

/** The SHA-256, in hexadecimal digits, over all tensors that decoding depends on: its first eight digits are the
 * bundle hash. */
export function bundleDigest({ tensors }: Safetensors): string {
  const hash = sha256.create();
  const encoder = new TextEncoder();
  for (const name of [...tensors.keys()].sort()) {
    if (OUTSIDE_BUNDLE.some((prefix) => name.startsWith(prefix))) continue;
    const { dtype, shape, bytes } = tensors.get(name)!;
    const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
    hash.update(encoder.encode(`${name} ${NUMPY_TYPES[dtype]} ${tuple}\n`));
    hash.update(bytes);
  }
  return [...hash.digest()].map((b) => b.toString(16).padStart(2, "0")).join("");
}

/** A model from the bytes of its weights file.
 *
 * @param digest what its digest must be, if that is known.
 *
 * Throws UnknownModel if they are damaged or no weights.
 */
export function readModel(buffer: ArrayBuffer, digest?: string): Model {
  try {
    return makeModel(readSafetensors(buffer), digest);
  } catch (error) {
    if (error instanceof UnknownModel) throw error;
    throw new UnknownModel(`these are not weights of an aecodec decoder (${(error as Error).message}); make them with ` +
      "`npm run build`");
  }
}

function makeModel(file: Safetensors, wanted: string | undefined): Model {
  const { tensors, metadata } = file;
  const digest = bundleDigest(file);
  for (const expected of [wanted, metadata.bundle]) {
    if (expected !== undefined && expected !== digest) {
      throw new UnknownModel("the weights are damaged (their SHA-256 is wrong); load them again");
    }
  }
  const get = (name: string): Tensor => {
    const tensor = tensors.get(name);
    if (!tensor) throw new RangeError(`no tensor ${name}`);
    return tensor;
  };
  const zIndex = get("z_index");
  const config = JSON.parse(metadata.config);
  return {
    name: metadata.name,
    id: Number(metadata.id),
    digest,
    tables: makeTables(get("tables.counts").data as Uint16Array, get("tables.halves").data as Uint16Array),
    tunes: config.tunes ?? 1,
    zIndex: zIndex.data as Uint8Array,
    scales: scaleDecoder(get),
    hyper: zIndex.shape[1],
    latents: get("scale_decoder.offsets").shape[1],
    synthesisBlocks: config.synthesis_blocks,
    gains: (vector, point) => levelGains(get(`${vector}.knots`), point),
    network: (name) => toFloat32(get(name)),
  };
}

function scaleDecoder(get: (name: string) => Tensor): ScaleDecoder {
  const offsets = get("scale_decoder.offsets");
  const steps = get("scale_decoder.steps");
  return {
    layers: SCALE_LAYERS.map((_, n) => {
      const [weight, bias, shift] = ["weight", "bias", "shift"].map((part) => get(`scale_decoder.layers.${n}.${part}`));
      return { weight: weight.data as Int8Array, bias: bias.data as Int32Array, shift: shift.data as Uint8Array };
    }),
    steps: steps.data as Uint8Array,
    offsets: offsets.data as Int16Array,
    hyper: steps.shape[1],
    latents: offsets.shape[1],
  };
}

/** Two to the power of the knots of a point's tune, interpolated linearly: one knot every seven levels. */
function levelGains(knots: Tensor, point: number): Float32Array {
  const channels = knots.shape[1];
  const values = toFloat32(knots);
  const spacing = (LEVELS - 1) / (KNOTS - 1);
  const level = point % LEVELS;
  const before = Math.floor(point / LEVELS) * KNOTS; // knots of other tunes
  const below = Math.floor(level / spacing);
  const above = Math.min(below + 1, KNOTS - 1);
  const share = (level - below * spacing) / spacing;
  const at = (knot: number, c: number) => Math.max(-14, Math.min(14, values[(before + knot) * channels + c]));
  return Float32Array.from({ length: channels }, (_, c) =>
    2 ** (at(below, c) + (at(above, c) - at(below, c)) * share));
}
