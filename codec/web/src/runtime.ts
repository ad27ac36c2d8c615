/** ONNX Runtime Web, in the build that suits the browser: WebGPU, or WebAssembly with threads where they may be had. */

import type * as Ort from "onnxruntime-common";
import { IN_NODE, threadsAtHand } from "./platform.js";

export type Backend = "webgpu" | "wasm";

export interface Runtime {
  ort: typeof Ort;
  backend: Backend;
  threads: number;
  /** Whether the caller asked for this backend, and no other will do. */
  chosen: boolean;
}

export interface RuntimeOptions {
  /** Address of the folder with ONNX Runtime's files; by default `ort/` among the built files. */
  folder?: string | undefined;
  /** By default `webgpu` where the browser has it, else `wasm`. */
  backend?: Backend | undefined;
  /** Of WebAssembly; by default as many as there are cores, at most 8, and one without cross-origin isolation. */
  threads?: number | undefined;
}

const MOST_THREADS = 8; // more gain nothing at this size of network

/** JavaScript, and the WebAssembly it loads, by what the browser can do. */
const BUILDS = {
  wasm: { script: "ort.wasm.min.mjs", module: "ort-wasm-simd-threaded" },
  webgpu: { script: "ort.webgpu.min.mjs", module: "ort-wasm-simd-threaded.asyncify" },
};

/** @param base folder of the built files. */
export async function loadRuntime(options: RuntimeOptions, base: URL): Promise<Runtime> {
  const threads = options.threads ?? Math.min(threadsAtHand(), MOST_THREADS);
  if (IN_NODE) {
    const ort: typeof Ort = await import("onnxruntime-web" as string);
    ort.env.wasm.numThreads = threads;
    return { ort, backend: "wasm", threads, chosen: true };
  }
  const backend = options.backend ?? ((await hasWebGpu()) ? "webgpu" : "wasm");
  const folder = new URL(options.folder ?? "ort/", base);
  const { script, module } = BUILDS[backend];
  const ort: typeof Ort = await import(new URL(script, folder).href);
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = {
    mjs: new URL(`${module}.mjs`, folder).href, wasm: new URL(`${module}.wasm`, folder).href,
  };
  return { ort, backend, threads, chosen: options.backend !== undefined };
}

/** Whether there is a GPU: an adapter that is no program on the CPU. */
async function hasWebGpu(): Promise<boolean> {
  try {
    const gpu = (navigator as { gpu?: { requestAdapter(): Promise<Adapter | null> } }).gpu;
    const adapter = await gpu?.requestAdapter();
    return Boolean(adapter) && !adapter!.isFallbackAdapter && !adapter!.info?.isFallbackAdapter;
  } catch {
    return false;
  }
}

interface Adapter {
  isFallbackAdapter?: boolean;
  info?: { isFallbackAdapter?: boolean };
}
