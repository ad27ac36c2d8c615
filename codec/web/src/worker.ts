/** The worker: loads weights, runtime and graphs once, and decodes one file after another. */

import { type Engine, loadEngine } from "./engine.js";
import { AecError, toPlain } from "./errors.js";
import { decodeFile } from "./file_decoder.js";
import { loadLossless } from "./lossless.js";
import { parentPort } from "./platform.js";
import type { DecodedPixels, DecodeMessage, InitMessage, Loaded, Request } from "./protocol.js";
import { loadRuntime } from "./runtime.js";

const base = new URL("./", import.meta.url);
const port = parentPort();
const cancelled = new Set<number>();
let engine: Promise<Engine> | undefined;
let settings: InitMessage | undefined;
let queue: Promise<void> = Promise.resolve();

port.onMessage((message: Request) => {
  switch (message.kind) {
    case "cancel":
      cancelled.add(message.id);
      break;
    case "init":
      queue = queue.then(() => init(message));
      break;
    case "decode":
      queue = queue.then(() => decode(message));
  }
});

async function init(message: InitMessage): Promise<void> {
  settings = message;
  engine = undefined;
  try {
    const [{ model, network, runtime }] = await Promise.all([getEngine(), message.lossless && loadLossless(base)]);
    await network.warm();
    const loaded: Loaded = {
      model: model.name, bundleHash: model.digest.slice(0, 8), backend: runtime.backend, threads: runtime.threads,
    };
    port.send({ id: message.id, loaded });
  } catch (error) {
    port.send({ id: message.id, error: toPlain(error) });
  }
}

async function decode({ id, data, limitPixels, convert }: DecodeMessage): Promise<void> {
  const pause = async () => {
    await new Promise((resolve) => setTimeout(resolve, 0)); // lets a message come in
    if (cancelled.has(id)) throw new AecError("decoding was stopped");
  };
  try {
    await pause();
    const decoded: DecodedPixels = await decodeFile(data, getEngine, { base, limitPixels, convert, pause });
    port.send({ id, decoded }, [decoded.samples.buffer]);
  } catch (error) {
    port.send({ id, error: toPlain(error) });
  }
  cancelled.delete(id);
}

function getEngine(): Promise<Engine> {
  if (!engine) {
    const { weights, graphs, runtime } = settings ?? {};
    const loading = loadEngine({ base, weights, graphs }, (backend) =>
      loadRuntime(backend ? { ...runtime, backend } : (runtime ?? {}), base));
    engine = loading;
    loading.catch(() => {
      if (engine === loading) engine = undefined; // what failed may be tried again
    });
  }
  return engine;
}
