/** The network at work: from symbols to latents to samples (FORMAT.md, section 8), tile by tile. */

import { HYPER_STRIDE, ORDER, STEPS, STRIDE } from "./format.js";
import { Graph, type Manifest } from "./graph.js";
import type { Model } from "./model.js";
import { type Runtime } from "./runtime.js";
import { cut, paste, type Tile, tiles } from "./tiles.js";

/** Largest sides of tiles, in latents: they bound memory; halos cost time, a tenth to a third of it at these sizes. */
const CONTEXT_TILE = 128;
const SYNTHESIS_TILE = 96;
/** A latent for each step, then two and four for the blocks of the mean decoder: in whole hyper-latents. */
const CONTEXT_HALO = 3 * HYPER_STRIDE;

export interface Symbols {
  /** `[Z, h', w']` */
  z: Int16Array;
  /** `[M, h, w]` */
  y: Int16Array;
}

/** Called between tiles; throws to stop. */
export type Pause = () => Promise<void>;

const GRAPHS = ["features", ...Array.from({ length: STEPS }, (_, step) => `context_${step}`), "synthesis"];

export class Network {
  private constructor(private readonly model: Model, private readonly graphs: Map<string, Graph>) {}

  /**
   * @param manifest what lies beside the graphs.
   * @param read gives the bytes of a graph by name.
   */
  static async load(model: Model, runtime: Runtime, manifest: Manifest, read: (name: string) => Promise<ArrayBuffer>):
    Promise<Network> {
    const bytes = await Promise.all(GRAPHS.map(read));
    const graphs = new Map<string, Graph>();
    for (const [n, name] of GRAPHS.entries()) {
      graphs.set(name, await Graph.load(bytes[n], manifest[name], model, runtime));
    }
    return new Network(model, graphs);
  }

  /** Compute a small picture of nothing: browsers compile what runs often, and had better do so before a picture waits. */
  async warm(): Promise<void> {
    const { hyper, latents } = this.model;
    const nothing = { z: new Int16Array(hyper), y: new Int16Array(latents * HYPER_STRIDE ** 2) };
    await this.decode(nothing, 0, HYPER_STRIDE * STRIDE, HYPER_STRIDE * STRIDE, false, async () => undefined);
  }

  /** The samples `[height, width, 4]` of red, green, blue and, opaque for now, alpha. */
  async decode(symbols: Symbols, point: number, height: number, width: number, grey: boolean, pause: Pause):
    Promise<Uint8ClampedArray<ArrayBuffer>> {
    const rows = Math.ceil(height / STRIDE);
    const columns = Math.ceil(width / STRIDE);
    const samples = new Uint8ClampedArray(height * width * 4);
    const latents = await this.latents(symbols, point, rows, columns, pause);
    const [coarse, fine] = this.model.synthesisBlocks;
    const halo = Math.ceil((coarse + Math.ceil(fine / 2)) / HYPER_STRIDE) * HYPER_STRIDE;
    for (const tile of tiles(rows, columns, SYNTHESIS_TILE, halo)) {
      await pause();
      const pixels = await this.synthesise(cut(latents, this.model.latents, rows, columns, tile.outer), point, tile);
      place(pixels, tile, samples, height, width);
    }
    if (grey) toGrey(samples);
    return samples;
  }

  /** `[M, rows, columns]`, dequantised. */
  async latents(symbols: Symbols, point: number, rows: number, columns: number, pause: Pause): Promise<Float32Array> {
    const { latents: count } = this.model;
    const whole = new Float32Array(count * rows * columns);
    for (const tile of tiles(rows, columns, CONTEXT_TILE, CONTEXT_HALO)) {
      await pause();
      const residual = cut(symbols.y, count, rows, columns, tile.outer);
      scale(residual, this.model.gains("gain", point).map((gain) => 1 / gain));
      const features = await this.features(symbols.z, point, rows, columns, tile);
      paste(await this.context(features, residual, point, tile), tile, whole, count, rows, columns);
    }
    return whole;
  }

  /** `[context width, outer rows, outer columns]`: what the context starts from. */
  private async features(z: Int16Array, point: number, rows: number, columns: number, { outer }: Tile):
    Promise<Float32Array> {
    const { hyper, scales } = this.model;
    const graph = this.graph("features");
    const zRows = Math.ceil(rows / HYPER_STRIDE);
    const zColumns = Math.ceil(columns / HYPER_STRIDE);
    const part = {
      top: outer.top / HYPER_STRIDE, left: outer.left / HYPER_STRIDE,
      bottom: Math.ceil(outer.bottom / HYPER_STRIDE), right: Math.ceil(outer.right / HYPER_STRIDE),
    };
    const dequantised = cut(z, hyper, zRows, zColumns, part);
    scale(dequantised, scales.steps.subarray(point * hyper, (point + 1) * hyper));
    const [high, wide] = [part.bottom - part.top, part.right - part.left];
    const { features } = await graph.run({ z: graph.planes(dequantised, hyper, high, wide) }, point, wide);
    const [, channels, fullRows, fullColumns] = features.dims;
    return cut(features.data as Float32Array, channels, fullRows, fullColumns,
      { top: 0, left: 0, bottom: outer.bottom - outer.top, right: outer.right - outer.left });
  }

  /** `[M, outer rows, outer columns]`: the latents, known after four steps. */
  private async context(features: Float32Array, residual: Float32Array, point: number, { outer }: Tile):
    Promise<Float32Array> {
    const { latents: count } = this.model;
    const rows = outer.bottom - outer.top;
    const columns = outer.right - outer.left;
    const known = new Float32Array(residual.length);
    let x = this.graph("context_0").planes(features, features.length / (rows * columns), rows, columns);
    for (let step = 0; step < STEPS; step++) {
      const graph = this.graph(`context_${step}`);
      const inputs = { x, above: graph.integer(0), below: graph.integer(0) };
      const made = await graph.run(step === 0 ? inputs
        : { ...inputs, known: graph.planes(known, count, rows, columns) }, point, columns);
      addStep(step, known, residual, made.means.data as Float32Array, count, rows, columns);
      x = made.next;
    }
    return known;
  }

  /** `[16 outer rows, 16 outer columns, 3]` */
  private async synthesise(latents: Float32Array, point: number, { outer }: Tile): Promise<Uint8Array> {
    const graph = this.graph("synthesis");
    const columns = outer.right - outer.left;
    const planes = graph.planes(latents, this.model.latents, outer.bottom - outer.top, columns);
    const { pixels } = await graph.run({ latents: planes }, point, columns);
    return pixels.data as Uint8Array;
  }

  private graph(name: string): Graph {
    return this.graphs.get(name)!;
  }
}

/** Multiply planes by a factor each, in place. */
function scale(planes: Float32Array, factors: ArrayLike<number>): void {
  const area = planes.length / factors.length;
  for (let c = 0; c < factors.length; c++) {
    for (let i = c * area; i < (c + 1) * area; i++) planes[i] *= factors[c];
  }
}

/** Put the latents of a step in their places.
 *
 * @param means `[4, M / 4, rows / 2, columns / 2]`, sides rounded up: for each phase (0, 0), (0, 1), (1, 0) and (1, 1)
 * of the 2x2 lattice those of the channels that become known there.
 */
function addStep(step: number, known: Float32Array, residual: Float32Array, means: Float32Array, count: number,
  rows: number, columns: number): void {
  const size = count / STEPS;
  const halfRows = Math.ceil(rows / 2);
  const halfColumns = Math.ceil(columns / 2);
  for (let phase = 0; phase < 4; phase++) {
    const [row, column] = [phase >> 1, phase & 1];
    const place = ORDER.findIndex(([r, c]) => r === row && c === column);
    const group = (place - step + STEPS) % STEPS;
    for (let k = 0; k < size; k++) {
      const plane = (group * size + k) * rows * columns;
      const from = (phase * size + k) * halfRows * halfColumns;
      for (let y = row; y < rows; y += 2) {
        const mean = from + (y >> 1) * halfColumns;
        const line = plane + y * columns;
        for (let x = column; x < columns; x += 2) known[line + x] = residual[line + x] + means[mean + (x >> 1)];
      }
    }
  }
}

/** The core of a tile's pixels `[16 outer rows, 16 outer columns, 3]` into the picture. */
function place(pixels: Uint8Array, { core, outer }: Tile, samples: Uint8ClampedArray, height: number, width: number):
  void {
  const stride = (outer.right - outer.left) * STRIDE * 3;
  const right = Math.min(core.right * STRIDE, width);
  const bottom = Math.min(core.bottom * STRIDE, height);
  for (let y = core.top * STRIDE; y < bottom; y++) {
    let from = (y - outer.top * STRIDE) * stride + (core.left - outer.left) * STRIDE * 3;
    let to = (y * width + core.left * STRIDE) * 4;
    for (let x = core.left * STRIDE; x < right; x++, from += 3, to += 4) {
      samples[to] = pixels[from];
      samples[to + 1] = pixels[from + 1];
      samples[to + 2] = pixels[from + 2];
      samples[to + 3] = 255;
    }
  }
}

/** The mean of the three planes, rounded. */
function toGrey(samples: Uint8ClampedArray): void {
  for (let i = 0; i < samples.length; i += 4) {
    const grey = ((2 * (samples[i] + samples[i + 1] + samples[i + 2]) + 3) / 6) | 0;
    samples[i] = samples[i + 1] = samples[i + 2] = grey;
  }
}
