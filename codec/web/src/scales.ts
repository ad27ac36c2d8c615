/** The scale decoder: from symbols of z to the table of every latent, in integers (FORMAT.md, section 7).
 *
 * No sum reaches 2^24 in size, so doubles hold two of them: the weights of two outputs are one number, `w0 + 2^26 w1`,
 * and one multiplication and addition does the work of two, without rounding (all stays below 2^51). JavaScript has no
 * integers that would be half as fast. Planes are channels last, `[rows, columns, C]`. It runs strip by strip of rows
 * of z: then its memory does not grow with the picture's height.
 */

import { ACTIVATION_MAX, OFFSET_BITS, SCALE_HALO, SCALE_LAYERS, TABLES, Z_CLAMP } from "./format.js";

export interface ScaleLayer {
  /** `[outputs, inputs]`, or of a depthwise layer `[channels, 9]`. */
  weight: Int8Array;
  /** `[outputs / 2, inputs]`: the weights of two outputs in one number; of a depthwise layer empty. */
  pairs: Float64Array;
  bias: Int32Array;
  shift: Uint8Array;
}

export interface ScaleDecoder {
  layers: ScaleLayer[];
  /** `[64, Z]` */
  steps: Uint8Array;
  /** `[64, M]` */
  offsets: Int16Array;
  hyper: number;
  latents: number;
}

interface Plane {
  rows: number;
  columns: number;
  channels: number;
  data: Float64Array;
}

const PAIR = 2 ** 26;
const STRIP_AREA = 1024; // hyper-latents in a strip, as a rule

/** A layer of the tensors of a weights file. */
export function scaleLayer(weight: Int8Array, bias: Int32Array, shift: Uint8Array, depthwise: boolean): ScaleLayer {
  const inputs = weight.length / bias.length;
  const pairs = new Float64Array(depthwise ? 0 : weight.length / 2);
  for (let i = 0; i < pairs.length; i++) {
    const first = Math.floor(i / inputs) * 2 * inputs + (i % inputs);
    pairs[i] = weight[first] + PAIR * weight[first + inputs];
  }
  return { weight, pairs, bias, shift };
}

/** `[M, h, w]`: the table of every latent.
 *
 * @param z symbols `[Z, h', w']` with h' = ceil(h / 4), w' = ceil(w / 4).
 */
export function tableIndices(decoder: ScaleDecoder, z: Int16Array, level: number, height: number,
  width: number): Uint8Array {
  const rows = Math.ceil(height / 4);
  const columns = Math.ceil(width / 4);
  const index = new Uint8Array(decoder.latents * height * width);
  const strip = Math.max(Math.ceil(STRIP_AREA / columns), 1);
  for (let top = 0; top < rows; top += strip) {
    const first = Math.max(top - SCALE_HALO, 0);
    const last = Math.min(top + strip + SCALE_HALO, rows);
    let plane = scaledSymbols(decoder, z, level, rows, columns, first, last);
    decoder.layers.forEach((layer, n) => {
      const { depthwise, shuffle } = SCALE_LAYERS[n];
      plane = depthwise ? depthwiseLayer(plane, layer) : pointwiseLayer(plane, layer);
      rescale(plane.data, layer, n < decoder.layers.length - 1);
      if (shuffle) plane = pixelShuffle(plane);
    });
    toIndices(decoder, plane, level, index, height, width, first * 4, top * 4, Math.min((top + strip) * 4, height));
  }
  return index;
}

function scaledSymbols({ steps, hyper }: ScaleDecoder, z: Int16Array, level: number, rows: number, columns: number,
  first: number, last: number): Plane {
  const positions = (last - first) * columns;
  const data = new Float64Array(positions * hyper);
  for (let c = 0; c < hyper; c++) {
    const step = steps[level * hyper + c];
    const from = (c * rows + first) * columns;
    for (let p = 0; p < positions; p++) {
      data[p * hyper + c] = Math.max(-Z_CLAMP, Math.min(Z_CLAMP, z[from + p] * step));
    }
  }
  return { rows: last - first, columns, channels: hyper, data };
}

/** Two pairs of outputs by four positions at a time: six loads for sixteen products. */
function pointwiseLayer({ rows, columns, channels, data }: Plane, { pairs, bias }: ScaleLayer): Plane {
  const positions = rows * columns;
  const outputs = bias.length;
  const out = new Float64Array(positions * outputs);
  for (let o = 0; o < outputs; o += 4) {
    const w0 = (o / 2) * channels;
    const w1 = w0 + channels;
    for (let p = 0; p < positions; p += 4) {
      // The last position stands in for those beyond the end.
      const a0 = p * channels;
      const a1 = Math.min(p + 1, positions - 1) * channels;
      const a2 = Math.min(p + 2, positions - 1) * channels;
      const a3 = Math.min(p + 3, positions - 1) * channels;
      let s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
      for (let c = 0; c < channels; c++) {
        const x0 = pairs[w0 + c], x1 = pairs[w1 + c];
        const v0 = data[a0 + c], v1 = data[a1 + c], v2 = data[a2 + c], v3 = data[a3 + c];
        s00 += x0 * v0;
        s01 += x0 * v1;
        s02 += x0 * v2;
        s03 += x0 * v3;
        s10 += x1 * v0;
        s11 += x1 * v1;
        s12 += x1 * v2;
        s13 += x1 * v3;
      }
      const to = p * outputs + o;
      out[to] = s00, out[to + 2] = s10;
      if (p + 1 < positions) out[to + outputs] = s01, out[to + outputs + 2] = s11;
      if (p + 2 < positions) out[to + 2 * outputs] = s02, out[to + 2 * outputs + 2] = s12;
      if (p + 3 < positions) out[to + 3 * outputs] = s03, out[to + 3 * outputs + 2] = s13;
    }
  }
  separate(out, bias);
  return { rows, columns, channels: outputs, data: out };
}

/** Pairs of sums, each in the place of its first, to the sums themselves, with the bias. */
function separate(sums: Float64Array, bias: Int32Array): void {
  for (let at = 0; at < sums.length; at += bias.length) {
    for (let o = 0; o < bias.length; o += 2) {
      const both = sums[at + o];
      const second = Math.floor(both / PAIR + 0.5);
      sums[at + o] = both - second * PAIR + bias[o];
      sums[at + o + 1] = second + bias[o + 1];
    }
  }
}

function depthwiseLayer({ rows, columns, channels, data }: Plane, { weight, bias }: ScaleLayer): Plane {
  const out = new Float64Array(data.length);
  const byTap = Array.from({ length: 9 }, (_, tap) => Float64Array.from(bias, (_, c) => weight[9 * c + tap]));
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const at = (y * columns + x) * channels;
      for (let c = 0; c < channels; c++) out[at + c] = bias[c];
      for (let i = Math.max(y - 1, 0); i <= Math.min(y + 1, rows - 1); i++) {
        for (let j = Math.max(x - 1, 0); j <= Math.min(x + 1, columns - 1); j++) {
          const taps = byTap[(i - y + 1) * 3 + j - x + 1];
          const from = (i * columns + j) * channels;
          for (let c = 0; c < channels; c++) out[at + c] += taps[c] * data[from + c];
        }
      }
    }
  }
  return { rows, columns, channels, data: out };
}

/** `(s + (2^k >> 1)) >> k`, in place; hidden layers are clamped to 0..255. */
function rescale(data: Float64Array, { shift }: ScaleLayer, hidden: boolean): void {
  const channels = shift.length;
  const halves = Int32Array.from(shift, (k) => (1 << k) >> 1);
  for (let at = 0; at < data.length; at += channels) {
    for (let c = 0; c < channels; c++) {
      const s = (data[at + c] + halves[c]) >> shift[c];
      data[at + c] = !hidden ? s : s < 0 ? 0 : s > ACTIVATION_MAX ? ACTIVATION_MAX : s;
    }
  }
}

function pixelShuffle({ rows, columns, channels, data }: Plane): Plane {
  const depth = channels / 4;
  const out = new Float64Array(data.length);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const from = (y * columns + x) * channels;
      for (let phase = 0; phase < 4; phase++) {
        const to = ((2 * y + (phase >> 1)) * 2 * columns + 2 * x + (phase & 1)) * depth;
        for (let c = 0; c < depth; c++) out[to + c] = data[from + 4 * c + phase];
      }
    }
  }
  return { rows: 2 * rows, columns: 2 * columns, channels: depth, data: out };
}

/** Rows `top..bottom - 1` of the latents from a plane whose first row is `first`. */
function toIndices({ offsets, latents }: ScaleDecoder, plane: Plane, level: number, index: Uint8Array,
  height: number, width: number, first: number, top: number, bottom: number): void {
  const half = (1 << OFFSET_BITS) >> 1;
  for (let y = top; y < bottom; y++) {
    for (let m = 0; m < latents; m++) {
      const offset = offsets[level * latents + m] + half;
      const to = (m * height + y) * width;
      const from = (y - first) * plane.columns * latents + m;
      for (let x = 0; x < width; x++) {
        const table = (plane.data[from + x * latents] + offset) >> OFFSET_BITS;
        index[to + x] = table < 0 ? 0 : table >= TABLES ? TABLES - 1 : table;
      }
    }
  }
}
