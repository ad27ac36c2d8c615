/** A model on a runtime, from the files that the build puts side by side. */

import { Network } from "./decoder.js";
import type { Model } from "./model.js";
import { fetchBytes } from "./platform.js";
import type { Backend, Runtime } from "./runtime.js";
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

/** A model on the runtime that is asked for, or on WebAssembly if the GPU turns out not to do.
 *
 * @param runtime gives it; with `wasm`, that one.
 *
 * Throws UnknownModel if the weights cannot be had.
 */
export async function loadEngine({ base, weights, graphs }: Sources, runtime: (backend?: Backend) => Promise<Runtime>):
  Promise<Engine> {
  const folder = new URL(graphs ?? "graphs/", base);
  const read = (file: string) => fetchBytes(new URL(file, folder));
  const on = async (ready: Runtime): Promise<Engine> => {
    const network = await Network.load(model, ready, JSON.parse(new TextDecoder().decode(manifest)),
      (name) => read(`${name}.onnx`));
    return { model, network, runtime: ready };
  };
  const [model, ready, manifest] = await Promise.all([loadModel(weights, base), runtime(), read("graphs.json")]);
  if (ready.backend === "wasm" || ready.chosen) return on(ready);
  try {
    const engine = await on(ready);
    await engine.network.warm(); // some GPUs fail only when they compute
    return engine;
  } catch {
    return on(await runtime("wasm"));
  }
}
