/** A service worker that makes `<img src="x.aec">` work: it answers with a PNG of the decoded picture.
 *
 * Register it with `navigator.serviceWorker.register("/sw.js")`. It looks for weights, graphs and runtime beside itself,
 * or in the folder of the parameter `files`, as in `/sw.js?files=/aecodec/`. It is one classic script: no browser lets a
 * service worker start workers or load modules later, so it decodes on its own thread.
 */

import * as ort from "onnxruntime-web/wasm";
import { type Engine, loadEngine } from "./engine.js";
import { decodeFile } from "./file_decoder.js";
import { MAX_PIXELS } from "./format.js";
import { writePng } from "./png.js";
import type { Runtime } from "./runtime.js";

const scope = globalThis as unknown as ServiceWorkerScope;
const base = new URL(new URL(location.href).searchParams.get("files") ?? "./", location.href);
let engine: Promise<Engine> | undefined;
let queue: Promise<unknown> = Promise.resolve();

scope.addEventListener("install", () => void scope.skipWaiting());
scope.addEventListener("activate", (event) => event.waitUntil!(scope.clients.claim()));
scope.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request!.destination === "image" && new URL(request!.url).pathname.endsWith(".aec")) {
    event.respondWith!(answer(request!));
  }
});

/** A PNG, or the response as it is where it is no picture of ours or cannot be read. */
async function answer(request: Request): Promise<Response> {
  // An image's request is one whose answer scripts may not read; the same address may allow to ask otherwise.
  const response = await fetch(request.url, { credentials: "same-origin" }).catch(() => undefined);
  if (!response?.ok) return response ?? fetch(request);
  const bytes = new Uint8Array(await response.clone().arrayBuffer());
  const work = queue.then(() => toPng(bytes)); // one after another: each takes much memory
  queue = work.catch(() => undefined);
  try {
    return new Response(new Blob(await work, { type: "image/png" }), { headers: { "Content-Type": "image/png" } });
  } catch (error) {
    console.warn(`${request.url}: ${error instanceof Error ? error.message : error}`);
    return response;
  }
}

/** The browser looks after colours: the samples stay as they are, and the profile goes with them. */
async function toPng(bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>[]> {
  const { header, samples, icc, alpha } = await decodeFile(bytes, getEngine, {
    base, limitPixels: MAX_PIXELS, convert: false, pause: () => new Promise((resolve) => setTimeout(resolve, 0)),
  });
  return writePng(samples, header.width, header.height, { grey: header.grey, alpha, icc });
}

function getEngine(): Promise<Engine> {
  engine ??= loadEngine({ base, weights: undefined, graphs: undefined }, loadRuntime);
  engine.catch(() => (engine = undefined));
  return engine;
}

async function loadRuntime(): Promise<Runtime> {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { wasm: new URL("ort/ort-wasm-simd-threaded.wasm", base).href };
  return { ort, backend: "wasm", threads: 1, chosen: true };
}

interface ServiceWorkerScope {
  skipWaiting(): Promise<void>;
  clients: { claim(): Promise<void> };
  addEventListener(kind: "install" | "activate" | "fetch", listener: (event: ServiceWorkerEvent) => void): void;
}

interface ServiceWorkerEvent {
  request?: Request;
  respondWith?(response: Promise<Response>): void;
  waitUntil?(work: Promise<unknown>): void;
}
