/** A model on a runtime, from the files that the build puts side by side. */

import { Network } from "./decoder.js";
import type { Model } from "./model.js";
import { fetchBytes } from "./platform.js";
import type { Runtime } from "./runtime.js";
import { loadModel } from "./weights.js";

export interface Engine {
  model: Model;
  network: Network;
  runtime: Runtime;
}

/** Where things come from. */
export interface Sources {
  /** Folder of the built files. */
  base: URL;
  /** Other weights than those in it: an address, or the bytes. */
  weights: string | ArrayBuffer | undefined;
  /** Another folder of graphs than `graphs/` in it. */
  graphs: string | undefined;
}

/** Throws UnknownModel if the weights cannot be had. */
export async function loadEngine({ base, weights, graphs }: Sources, runtime: Promise<Runtime>): Promise<Engine> {
  const folder = new URL(graphs ?? "graphs/", base);
  const read = (file: string) => fetchBytes(new URL(file, folder));
  const [model, ready, manifest] = await Promise.all([loadModel(weights, base), runtime, read("graphs.json")]);
  const graphInfo = JSON.parse(new TextDecoder().decode(manifest));
  const network = await Network.load(model, ready, graphInfo, (name) => read(`${name}.onnx`));
  return { model, network, runtime: ready };
}
