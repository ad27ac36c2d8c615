/** Where the weights come from: the page's cache, the network, or the caller. */

import { UnknownModel } from "./errors.js";
import { type Model, readModel } from "./model.js";
import { fetchBytes } from "./platform.js";

/** The model that was built into the package; the build writes it. */
declare const BUILT_MODEL: {
  name: string;
  /** SHA-256 of what decoding depends on. */
  digest: string;
  /** Name of the weights file. */
  file: string;
};

const CACHE = "aecodec";
const KEYS = "/aecodec-weights/"; // no such address is ever asked for: it is the name in the cache alone

/** The model of the given weights, or the one in the folder of the built files. Throws UnknownModel. */
export async function loadModel(weights: string | ArrayBuffer | undefined, base: URL): Promise<Model> {
  if (weights instanceof ArrayBuffer) return readModel(weights);
  if (weights !== undefined) return readModel(await download(new URL(weights)));
  const { name, digest, file } = BUILT_MODEL;
  const key = `${KEYS}${name}/${digest.slice(0, 8)}`;
  const cache = await openCache();
  const kept = await cache?.match(key);
  if (kept) {
    try {
      return readModel(await kept.arrayBuffer(), digest);
    } catch {
      await cache!.delete(key); // damaged where it lay
    }
  }
  const bytes = await download(new URL(file, base));
  const model = readModel(bytes, digest);
  if (cache) await keep(cache, key, bytes, `${KEYS}${name}/`);
  return model;
}

async function download(url: URL): Promise<ArrayBuffer> {
  try {
    return await fetchBytes(url);
  } catch (error) {
    throw new UnknownModel(`the weights at ${url} cannot be loaded (${(error as Error).message}); look whether they ` +
      "are there, or pass others to init");
  }
}

/** The cache, where there is one: not in Node, nor in a page without a secure context. */
async function openCache(): Promise<Cache | undefined> {
  try {
    return await globalThis.caches?.open(CACHE);
  } catch {
    return undefined; // a browser may forbid it, as in a private window
  }
}

/** Keep the weights, and no older ones of the same model. A full disk is no reason to fail. */
async function keep(cache: Cache, key: string, bytes: ArrayBuffer, family: string): Promise<void> {
  try {
    for (const request of await cache.keys()) {
      if (new URL(request.url).pathname.startsWith(family)) await cache.delete(request);
    }
    await cache.put(key, new Response(bytes, { headers: { "Content-Type": "application/octet-stream" } }));
  } catch {
    // They will be downloaded again.
  }
}
