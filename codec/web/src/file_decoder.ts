/** From the bytes of a file to its picture: all stages in their order. */

import { KNOWN_BOXES, unpack } from "./boxes.js";
import { checkPixels, type Header, operatingPoint, readFile } from "./container.js";
import type { Pause, Symbols } from "./decoder.js";
import type { Engine } from "./engine.js";
import { CorruptFile, LimitExceeded, UnknownModel } from "./errors.js";
import { HYPER_STRIDE, STRIDE, TUNES } from "./format.js";
import { readProfile } from "./icc.js";
import { decodeLossless } from "./lossless.js";
import type { Model } from "./model.js";
import type { DecodedPixels, Timings } from "./protocol.js";
import { RangeDecoder } from "./range_decoder.js";
import { tableIndices } from "./scales.js";
import { decodeSymbols, symbolCrc } from "./symbols.js";

export interface FileOptions {
  /** Folder of the built files. */
  base: URL;
  /** Largest width times height. */
  limitPixels: number;
  /** Whether samples with an ICC profile are converted to sRGB. */
  convert: boolean;
  /** Called now and then; throws to stop. */
  pause: Pause;
}

type Watch = (stage: keyof Timings | undefined) => void;

/** The picture of a file.
 *
 * @param engine asked for only when the file has turned out to be whole, and to need a model.
 *
 * Throws NotAec, UnsupportedVersion, UnknownModel, CorruptFile and LimitExceeded.
 */
export async function decodeFile(data: Uint8Array, engine: () => Promise<Engine>, options: FileOptions):
  Promise<DecodedPixels> {
  const timings: Timings = { file: 0, entropy: 0, scales: 0, network: 0, lossless: 0, colour: 0 };
  const watch = stopwatch(timings);
  const { header, payload, boxes } = readFile(data, KNOWN_BOXES);
  const { width, height, grey } = header;
  checkPixels(width, height, options.limitPixels);
  if (header.lossless && boxes.some(({ kind }) => kind === "ALPH")) {
    throw new CorruptFile("a lossless file has alpha in a box; the file is damaged");
  }
  const { alpha, icc, exif, xmp, gainMap } = await unpack(boxes, width, height);
  watch("file");
  try {
    const samples = header.lossless ? await decodeLossless(header, payload, options.base)
      : await decodeLearned(header, payload, engine, options.pause, watch);
    watch(header.lossless ? "lossless" : "network");
    if (alpha) for (let i = 0; i < alpha.length; i++) samples[4 * i + 3] = alpha[i];
    const profile = icc && readProfile(icc, grey);
    if (options.convert) profile?.apply(samples);
    watch("colour");
    return {
      header, samples, alpha: header.alpha || alpha !== undefined, icc, exif, xmp, gainMap, timings,
      profile: profile && { description: profile.description, conversion: profile.conversion },
    };
  } catch (error) {
    throw isOutOfMemory(error) ? new LimitExceeded(`${width}x${height} takes more memory than there is here (` +
      `${(error as Error).message}); decode it with the Python package`) : error;
  }
}

/** The samples `[height, width, 4]` that a model makes of a payload. */
async function decodeLearned(header: Header, payload: Uint8Array, engine: () => Promise<Engine>, pause: Pause,
  watch: Watch): Promise<Uint8ClampedArray<ArrayBuffer>> {
  const { model, network } = await engine();
  checkModel(header, model);
  await pause();
  watch(undefined); // what loading took is no part of decoding
  const symbols = readSymbols(header, payload, model, watch);
  return network.decode(symbols, operatingPoint(header), header.height, header.width, header.grey, pause);
}

/** All symbols of a file. Throws CorruptFile if they are not those that were encoded. */
export function readSymbols(header: Header, payload: Uint8Array, model: Model,
  watch: Watch = () => undefined): Symbols {
  const rows = Math.ceil(header.height / STRIDE);
  const columns = Math.ceil(header.width / STRIDE);
  const area = Math.ceil(rows / HYPER_STRIDE) * Math.ceil(columns / HYPER_STRIDE);
  const point = operatingPoint(header);
  const zTables = new Uint8Array(model.hyper * area);
  for (let c = 0; c < model.hyper; c++) {
    zTables.fill(model.zIndex[point * model.hyper + c], c * area, (c + 1) * area);
  }
  const decoder = new RangeDecoder(payload);
  const z = decodeSymbols(decoder, model.tables, zTables);
  watch("entropy");
  const index = tableIndices(model.scales, z, point, rows, columns);
  watch("scales");
  const y = decodeSymbols(decoder, model.tables, index);
  if (symbolCrc(z, y) !== header.symbolCrc) {
    throw new CorruptFile("the symbols differ from those that were encoded: the file was forged, or its encoder " +
      "computed other table indices");
  }
  watch("entropy");
  return { z, y };
}

function checkModel(header: Header, model: Model): void {
  if (header.modelId !== model.id) {
    throw new UnknownModel(`the file was made with model 0x${header.modelId.toString(16)}, not with ${model.name}; ` +
      "upgrade this decoder, or pass the model's weights to init");
  }
  if (header.bundleHash !== model.digest.slice(0, 8)) {
    throw new UnknownModel(`the file was made with other weights of model ${model.name} (${header.bundleHash}, here ` +
      `${model.digest.slice(0, 8)}); use the release of aecodec that made it`);
  }
  if (TUNES.indexOf(header.tune) >= model.tunes) {
    throw new CorruptFile(`the file names the tune ${header.tune}, which its model does not have; it is damaged`);
  }
}

function isOutOfMemory(error: unknown): boolean {
  return error instanceof RangeError ||
    (error instanceof Error && /bad_alloc|out of memory|memory access|failed to allocate/i.test(error.message));
}

/** Adds the milliseconds since its last call to a stage, or to none. */
function stopwatch(timings: Timings): Watch {
  let began = performance.now();
  return (stage) => {
    const now = performance.now();
    if (stage) timings[stage] += now - began;
    began = now;
  };
}
