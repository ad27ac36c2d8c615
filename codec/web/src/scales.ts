/** The scale decoder: from symbols of z to the table of every latent, in 32-bit integers (FORMAT.md, section 7).
 *
 * No sum reaches 2^24 in size, so every machine gets the same. Planes are channels last, `[rows, columns, C]`. It runs
 * strip by strip of rows of z: then its memory does not grow with the picture's height.
 */

import { ACTIVATION_MAX, OFFSET_BITS, SCALE_HALO, SCALE_LAYERS, TABLES, Z_CLAMP } from "./format.js";

export interface ScaleLayer {
  /** `[outputs, inputs]`, or of a depthwise layer `[channels, 9]`. */
  weight: Int32Array;
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
  data: Int32Array;
}

const STRIP = 24; // rows of z

/** `[M, h, w]`: the table of every latent.
 *
 * @param z symbols `[Z, h', w']` with h' = ceil(h / 4), w' = ceil(w / 4).
 */
export function tableIndices(decoder: ScaleDecoder, z: Int16Array, level: number, height: number,
  width: number): Uint8Array {
  const rows = Math.ceil(height / 4);
  const columns = Math.ceil(width / 4);
  const index = new Uint8Array(decoder.latents * height * width);
  for (let top = 0; top < rows; top += STRIP) {
    const first = Math.max(top - SCALE_HALO, 0);
    const last = Math.min(top + STRIP + SCALE_HALO, rows);
    let plane = scaledSymbols(decoder, z, level, rows, columns, first, last);
    decoder.layers.forEach((layer, n) => {
      const { depthwise, shuffle } = SCALE_LAYERS[n];
      plane = depthwise ? depthwiseLayer(plane, layer) : pointwiseLayer(plane, layer);
      rescale(plane.data, layer, n < decoder.layers.length - 1);
      if (shuffle) plane = pixelShuffle(plane);
    });
    toIndices(decoder, plane, level, index, height, width, first * 4, top * 4, Math.min((top + STRIP) * 4, height));
  }
  return index;
}

function scaledSymbols({ steps, hyper }: ScaleDecoder, z: Int16Array, level: number, rows: number, columns: number,
  first: number, last: number): Plane {
  const positions = (last - first) * columns;
  const data = new Int32Array(positions * hyper);
  for (let c = 0; c < hyper; c++) {
    const step = steps[level * hyper + c];
    const from = (c * rows + first) * columns;
    for (let p = 0; p < positions; p++) {
      data[p * hyper + c] = Math.max(-Z_CLAMP, Math.min(Z_CLAMP, z[from + p] * step));
    }
  }
  return { rows: last - first, columns, channels: hyper, data };
}

/** Four outputs by two positions at a time: six loads for eight products. */
function pointwiseLayer({ rows, columns, channels, data }: Plane, { weight, bias }: ScaleLayer): Plane {
  const positions = rows * columns;
  const outputs = bias.length;
  const out = new Int32Array(positions * outputs);
  for (let o = 0; o < outputs; o += 4) {
    const w0 = o * channels;
    const w1 = w0 + channels;
    const w2 = w1 + channels;
    const w3 = w2 + channels;
    for (let p = 0; p < positions; p += 2) {
      const a0 = p * channels;
      const a1 = p + 1 < positions ? a0 + channels : a0;
      let s00 = bias[o], s01 = bias[o + 1], s02 = bias[o + 2], s03 = bias[o + 3];
      let s10 = s00, s11 = s01, s12 = s02, s13 = s03;
      for (let c = 0; c < channels; c++) {
        const v0 = data[a0 + c], v1 = data[a1 + c];
        const x0 = weight[w0 + c], x1 = weight[w1 + c], x2 = weight[w2 + c], x3 = weight[w3 + c];
        s00 = (s00 + Math.imul(x0, v0)) | 0;
        s01 = (s01 + Math.imul(x1, v0)) | 0;
        s02 = (s02 + Math.imul(x2, v0)) | 0;
        s03 = (s03 + Math.imul(x3, v0)) | 0;
        s10 = (s10 + Math.imul(x0, v1)) | 0;
        s11 = (s11 + Math.imul(x1, v1)) | 0;
        s12 = (s12 + Math.imul(x2, v1)) | 0;
        s13 = (s13 + Math.imul(x3, v1)) | 0;
      }
      let r = p * outputs + o;
      out[r] = s00, out[r + 1] = s01, out[r + 2] = s02, out[r + 3] = s03;
      if (a1 !== a0) {
        r += outputs;
        out[r] = s10, out[r + 1] = s11, out[r + 2] = s12, out[r + 3] = s13;
      }
    }
  }
  return { rows, columns, channels: outputs, data: out };
}

function depthwiseLayer({ rows, columns, channels, data }: Plane, { weight, bias }: ScaleLayer): Plane {
  const out = new Int32Array(data.length);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const at = (y * columns + x) * channels;
      for (let c = 0; c < channels; c++) out[at + c] = bias[c];
      for (let i = Math.max(y - 1, 0); i <= Math.min(y + 1, rows - 1); i++) {
        for (let j = Math.max(x - 1, 0); j <= Math.min(x + 1, columns - 1); j++) {
          const tap = (i - y + 1) * 3 + j - x + 1;
          const from = (i * columns + j) * channels;
          for (let c = 0; c < channels; c++) out[at + c] += Math.imul(weight[c * 9 + tap], data[from + c]);
        }
      }
    }
  }
  return { rows, columns, channels, data: out };
}

/** `(s + (2^k >> 1)) >> k`, in place; hidden layers are clamped to 0..255. */
function rescale(data: Int32Array, { shift }: ScaleLayer, hidden: boolean): void {
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
  const out = new Int32Array(data.length);
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
