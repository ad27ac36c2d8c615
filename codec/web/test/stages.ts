/** What tests look into: the stages of decoding, and colours. Not part of the package. */

import { KNOWN_BOXES, unpack } from "../src/boxes.js";
import { operatingPoint, readFile } from "../src/container.js";
import { type Engine, loadEngine } from "../src/engine.js";
import { decodeFile, readSymbols } from "../src/file_decoder.js";
import { loadRuntime } from "../src/runtime.js";
import { tableIndices } from "../src/scales.js";

const base = new URL("../", import.meta.url);
let loading: Promise<Engine> | undefined;

export { readProfile } from "../src/icc.js";

/** What there is between the stages of decoding a file, under the names of the test vectors. */
export async function stages(data: Uint8Array) {
  loading ??= loadEngine({ base, weights: undefined, graphs: undefined }, () => loadRuntime({ threads: 1 }, base));
  const { model, network } = await loading;
  const { header, payload, boxes } = readFile(data, KNOWN_BOXES);
  const rows = Math.ceil(header.height / 16);
  const columns = Math.ceil(header.width / 16);
  const symbols = readSymbols(header, payload, model);
  const pause = async () => undefined;
  const options = { base, limitPixels: Infinity, convert: false, pause };
  const { alpha } = await unpack(boxes, header.width, header.height);
  return {
    ...symbols,
    index: tableIndices(model.scales, symbols.z, operatingPoint(header), rows, columns),
    indexByRows: tableIndices(model.scales, symbols.z, operatingPoint(header), rows, columns, 1),
    latents: await network.latents(symbols, operatingPoint(header), rows, columns, pause),
    samples: (await decodeFile(data, () => loading!, options)).samples,
    channels: (header.grey ? 1 : 3) + (alpha ? 1 : 0),
  };
}
