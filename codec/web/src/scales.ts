/** The scale decoder: from symbols of z to the table of every latent, in integers (FORMAT.md, section 7).
 *
 * The layers are WebAssembly (scales.wat); here is what goes into them and comes out. It runs strip by strip of rows of z:
 * then its memory does not grow with the picture's height.
 */

import { HYPER_STRIDE, OFFSET_BITS, SCALE_HALO, SCALE_LAYERS, Z_CLAMP } from "./format.js";
import code from "./scales.wat";

export interface ScaleLayer {
  /** `[outputs, inputs]`, or of a depthwise layer `[channels, 9]`. */
  weight: Int8Array;
  bias: Int32Array;
  shift: Uint8Array;
}

export interface ScaleDecoder {
  layers: ScaleLayer[];
  /** `[64 tunes, Z]` */
  steps: Uint8Array;
  /** `[64 tunes, M]` */
  offsets: Int16Array;
  hyper: number;
  latents: number;
}

/** The functions of scales.wat; all arguments that are not numbers of something are addresses. */
interface Kernels extends WebAssembly.Exports {
  memory: WebAssembly.Memory;
  pointwise(input: number, positions: number, row: number, weight: number, bias: number, shift: number, outputs: number,
    output: number): void;
  tables(input: number, positions: number, row: number, weight: number, bias: number, shift: number, offset: number,
    outputs: number, output: number, stride: number): void;
  depthwise(input: number, rows: number, columns: number, channels: number, weight: number, bias: number, shift: number,
    sums: number, output: number): void;
}

/** Activations in the kernels' memory: 16 bits, channels last, `[rows, columns, C]`. */
interface Plane {
  rows: number;
  columns: number;
  channels: number;
  at: number;
}

/** A layer in the kernels' memory. */
interface PlacedLayer {
  weight: number;
  bias: number;
  shift: number;
  outputs: number;
}

const STRIP_AREA = 1024;
const LANES = 8; // 16-bit numbers in a vector
const FOUR = 4; // positions that are computed at once
const PAGE = 65536;

let module: WebAssembly.Module | undefined;

/** `[M, h, w]`: the table of every latent.
 *
 * @param z symbols `[Z, h', w']` with h' = ceil(h / 4), w' = ceil(w / 4).
 * @param area hyper-latents in a strip, as a rule: one has a whole row of them at least.
 */
export function tableIndices(decoder: ScaleDecoder, z: Int16Array, point: number, height: number, width: number,
  area = STRIP_AREA): Uint8Array {
  const rows = Math.ceil(height / HYPER_STRIDE);
  const columns = Math.ceil(width / HYPER_STRIDE);
  const index = new Uint8Array(decoder.latents * height * width);
  const strip = Math.max(Math.ceil(area / columns), 1);
  const run = new Run(decoder, point);
  for (let top = 0; top < rows; top += strip) {
    const first = Math.max(top - SCALE_HALO, 0);
    const last = Math.min(top + strip + SCALE_HALO, rows);
    const tables = run.tables(scaledSymbols(decoder, z, point, rows, columns, first, last), last - first, columns);
    const bottom = Math.min((top + strip) * HYPER_STRIDE, height);
    for (let m = 0; m < decoder.latents; m++) {
      for (let y = top * HYPER_STRIDE; y < bottom; y++) {
        const from = m * tables.stride + (y - first * HYPER_STRIDE) * columns * HYPER_STRIDE;
        index.set(tables.data.subarray(from, from + width), (m * height + y) * width);
      }
    }
  }
  return index;
}

/** `[rows, columns, Z]` with zeros behind Z, up to whole vectors. */
function scaledSymbols({ steps, hyper }: ScaleDecoder, z: Int16Array, point: number, rows: number, columns: number,
  first: number, last: number): Int16Array {
  const positions = (last - first) * columns;
  const channels = whole(hyper, LANES);
  const data = new Int16Array(positions * channels);
  for (let c = 0; c < hyper; c++) {
    const step = steps[point * hyper + c];
    const from = (c * rows + first) * columns;
    for (let p = 0; p < positions; p++) {
      data[p * channels + c] = Math.max(-Z_CLAMP, Math.min(Z_CLAMP, z[from + p] * step));
    }
  }
  return data;
}

/** The kernels with the layers at a point in their memory, which is given back with all of it. */
class Run {
  private readonly kernels: Kernels;
  private readonly layers: PlacedLayer[];
  private readonly offset: number;
  private end = 0; // of what is in the memory

  constructor({ layers, offsets, latents }: ScaleDecoder, point: number) {
    module ??= new WebAssembly.Module(code as Uint8Array<ArrayBuffer>);
    this.kernels = new WebAssembly.Instance(module).exports as Kernels;
    this.layers = layers.map(({ weight, bias, shift }, n) => ({
      weight: this.put(SCALE_LAYERS[n].depthwise ? byTap(weight) : inVectors(weight, weight.length / bias.length)),
      bias: this.put(bias.map((value, o) => value + ((1 << shift[o]) >> 1))),
      shift: this.put(Int32Array.from(shift)),
      outputs: bias.length,
    }));
    const half = (1 << OFFSET_BITS) >> 1;
    this.offset = this.put(Int32Array.from(offsets.subarray(point * latents, (point + 1) * latents), (v) => v + half));
  }

  /** The tables of positions `[4 rows, 4 columns]`, each latent's `stride` bytes behind those of the one before. The
   * data are overwritten by the next call. */
  tables(symbols: Int16Array, rows: number, columns: number): { data: Uint8Array; stride: number } {
    const { kernels, layers } = this;
    const kept = this.end;
    let plane: Plane = { rows, columns, channels: symbols.length / rows / columns, at: this.put(symbols) };
    this.take(FOUR * plane.channels * 2); // the room behind the symbols
    layers.slice(0, -1).forEach((layer, n) => {
      const { depthwise, shuffle } = SCALE_LAYERS[n];
      plane = depthwise ? this.depthwise(plane, layer) : this.pointwise(plane, layer);
      if (shuffle) plane = this.pixelShuffle(plane);
    });
    const { weight, bias, shift, outputs } = layers[layers.length - 1];
    const positions = plane.rows * plane.columns;
    const stride = whole(positions, FOUR);
    const at = this.take(outputs * stride);
    kernels.tables(plane.at, positions, plane.channels * 2, weight, bias, shift, this.offset, outputs, at, stride);
    this.end = kept;
    return { data: new Uint8Array(kernels.memory.buffer, at, outputs * stride), stride };
  }

  private pointwise({ rows, columns, channels, at }: Plane, { weight, bias, shift, outputs }: PlacedLayer): Plane {
    const output = this.plane(rows, columns, outputs);
    this.kernels.pointwise(at, rows * columns, channels * 2, weight, bias, shift, outputs, output.at);
    return output;
  }

  private depthwise({ rows, columns, channels, at }: Plane, { weight, bias, shift }: PlacedLayer): Plane {
    const sums = this.take(channels * 4);
    const output = this.plane(rows, columns, channels);
    this.kernels.depthwise(at, rows, columns, channels, weight, bias, shift, sums, output.at);
    return output;
  }

  private pixelShuffle({ rows, columns, channels, at }: Plane): Plane {
    const output = this.plane(2 * rows, 2 * columns, channels / 4);
    const data = new Int16Array(this.kernels.memory.buffer);
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) {
        const from = at / 2 + (y * columns + x) * channels;
        for (let phase = 0; phase < 4; phase++) {
          const position = (2 * y + (phase >> 1)) * 2 * columns + 2 * x + (phase & 1);
          const to = output.at / 2 + position * output.channels;
          for (let c = 0; c < output.channels; c++) data[to + c] = data[from + 4 * c + phase];
        }
      }
    }
    return output;
  }

  private plane(rows: number, columns: number, channels: number): Plane {
    return { rows, columns, channels, at: this.take(whole(rows * columns + FOUR, FOUR) * channels * 2) };
  }

  /** The address of a copy of numbers. */
  private put(values: Int16Array | Int32Array): number {
    const at = this.take(values.byteLength);
    new Uint8Array(this.kernels.memory.buffer, at).set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    return at;
  }

  /** The address of so many bytes. Throws RangeError if there is no more memory. */
  private take(bytes: number): number {
    const at = this.end;
    this.end = at + whole(bytes, 2 * LANES);
    const { memory } = this.kernels;
    const missing = this.end - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
    return at;
  }
}

/** Rows of weights as 16-bit numbers, with zeros behind them up to whole vectors. */
function inVectors(weight: Int8Array, inputs: number): Int16Array {
  const row = whole(inputs, LANES);
  const out = new Int16Array((weight.length / inputs) * row);
  for (let from = 0, to = 0; from < weight.length; from += inputs, to += row) {
    out.set(weight.subarray(from, from + inputs), to);
  }
  return out;
}

/** `[channels, 9]` to `[9, channels]`, in 16 bits. */
function byTap(weight: Int8Array): Int16Array {
  const channels = weight.length / 9;
  return Int16Array.from(weight, (_, i) => weight[(i % channels) * 9 + Math.floor(i / channels)]);
}

/** The least multiple of a number that is no smaller. */
function whole(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
