/** What differs between browsers and Node: modules, files, threads. */

export const IN_NODE = typeof process !== "undefined" && Boolean(process.versions?.node);

/** One of Node's own modules, without an import that a bundler for browsers would stumble over. */
export function nodeModule<K extends keyof NodeModules>(name: K): NodeModules[K] {
  return process.getBuiltinModule(name) as NodeModules[K];
}

interface NodeModules {
  "node:worker_threads": typeof import("node:worker_threads");
  "node:fs/promises": typeof import("node:fs/promises");
  "node:os": typeof import("node:os");
  "node:zlib": typeof import("node:zlib");
}

/** The bytes at an address. Throws Error if there are none. */
export async function fetchBytes(url: URL): Promise<ArrayBuffer> {
  if (url.protocol === "file:" && IN_NODE) {
    const bytes = await nodeModule("node:fs/promises").readFile(url);
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
  }
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`.trim());
  return response.arrayBuffer();
}

/** How many threads there are to work with; one in a page without cross-origin isolation. */
export function threadsAtHand(): number {
  if (IN_NODE) return nodeModule("node:os").availableParallelism();
  return globalThis.crossOriginIsolated ? (navigator.hardwareConcurrency ?? 1) : 1;
}

/** One end of a connection between two threads. */
export interface Port {
  send(message: unknown, transfer?: ArrayBuffer[]): void;
  onMessage(listener: (message: any) => void): void;
}

/** A worker: the port to it, and how it may fail and be ended. */
export interface WorkerPort extends Port {
  onFailure(listener: (error: Error) => void): void;
  /** Whether it keeps Node from ending. */
  hold(busy: boolean): void;
  end(): void;
}

export function startWorker(url: URL): WorkerPort {
  if (IN_NODE) {
    const worker = new (nodeModule("node:worker_threads").Worker)(url, { execArgv: [] }); // flags may be of a script given as text
    worker.unref();
    return {
      send: (message, transfer = []) => worker.postMessage(message, transfer),
      onMessage: (listener) => worker.on("message", listener),
      onFailure: (listener) => worker.on("error", listener),
      hold: (busy) => (busy ? worker.ref() : worker.unref()),
      end: () => void worker.terminate(),
    };
  }
  const worker = new Worker(url, { type: "module", name: "aecodec" });
  return {
    send: (message, transfer = []) => worker.postMessage(message, transfer),
    onMessage: (listener) => worker.addEventListener("message", (event) => listener(event.data)),
    onFailure: (listener) => worker.addEventListener("error", (event) =>
      listener(new Error(event.message || "the worker could not be started"))),
    hold: () => undefined,
    end: () => worker.terminate(),
  };
}

/** The worker's own end. */
export function parentPort(): Port {
  if (IN_NODE) {
    const port = nodeModule("node:worker_threads").parentPort!;
    return {
      send: (message, transfer = []) => port.postMessage(message, transfer),
      onMessage: (listener) => port.on("message", listener),
    };
  }
  const scope = globalThis as unknown as DedicatedWorkerGlobalScope;
  return {
    send: (message, transfer = []) => scope.postMessage(message, transfer),
    onMessage: (listener) => scope.addEventListener("message", (event) => listener((event as MessageEvent).data)),
  };
}

interface DedicatedWorkerGlobalScope {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  addEventListener(kind: "message", listener: (event: Event) => void): void;
}
