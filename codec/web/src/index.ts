/** Decode .aec pictures in a browser or in Node: `decode(bytes)`. Everything runs in a worker. */

import { type Header, readHeader } from "./container.js";
import { fromPlain } from "./errors.js";
import { MAX_PIXELS } from "./format.js";
import type { Conversion } from "./icc.js";
import { startWorker, type WorkerPort } from "./platform.js";
import type { DecodedPixels, Loaded, Reply, Timings } from "./protocol.js";
import type { Backend } from "./runtime.js";

export { AecError, CorruptFile, LimitExceeded, NotAec, UnknownModel, UnsupportedVersion } from "./errors.js";
export { readHeader };
export type { Backend, Conversion, Header, Loaded, Timings };

export type Bytes = ArrayBuffer | Uint8Array;

export interface InitOptions {
  /** Weights instead of those beside this file: an address, or the bytes. */
  weights?: string | URL | ArrayBuffer | undefined;
  /** Address of the folder with the model's graphs; by default `graphs/` beside this file. */
  graphs?: string | URL | undefined;
  /** Address of the folder with ONNX Runtime's files; by default `ort/` beside this file. */
  wasm?: string | URL | undefined;
  /** By default WebGPU where the browser has it, else WebAssembly. */
  backend?: Backend | undefined;
  /** Threads of WebAssembly; by default as many as there are cores, at most 8, and one in a page that is not
   * cross-origin isolated. */
  threads?: number | undefined;
  /** Whether to load what lossless files need as well, which else is done when the first of them is decoded. */
  lossless?: boolean | undefined;
}

export interface DecodeOptions {
  /** Stops decoding: the promise is rejected with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Largest width times height that is decoded; by default that of the Python package, 178956970. */
  limitPixels?: number | undefined;
  /** `srgb`, the default, converts samples whose ICC profile is a matrix with curves, and leaves others untouched;
   * `untouched` converts none. */
  colour?: "srgb" | "untouched" | undefined;
}

export interface Decoded {
  image: ImageData;
  header: Header;
  /** Whether the file has transparency. */
  alpha: boolean;
  /** The ICC profile, and what it meant: `none` if its samples are sRGB, `srgb` if they were converted (or would have
   * been), `untouched` if it is of a kind that is left as it is. */
  profile: { description: string; conversion: Conversion } | undefined;
  /** The bytes of ICC profile, EXIF, XMP and HDR gain map (a JPEG file), where the file has them. */
  icc: Uint8Array | undefined;
  exif: Uint8Array | undefined;
  xmp: Uint8Array | undefined;
  gainMap: Uint8Array | undefined;
  /** Milliseconds in the worker, by stage. */
  timings: Timings;
}

interface Waiting {
  resolve(reply: any): void;
  reject(error: unknown): void;
}

let worker: WorkerPort | undefined;
let lastId = 0;
const waiting = new Map<number, Waiting>();

/** Load weights and runtime, from where they are said to be, and warm them up: before the first picture needs them.
 *
 * `decode` does it by itself if this was not called. Throws UnknownModel if the weights cannot be had.
 */
export async function init(options: InitOptions = {}): Promise<Loaded> {
  const address = (given: string | URL | undefined) => given === undefined ? undefined : absolute(given);
  const { weights, graphs, wasm, backend, threads, lossless = false } = options;
  const reply = await request({
    kind: "init",
    weights: weights instanceof ArrayBuffer ? weights : address(weights),
    graphs: address(graphs),
    runtime: { folder: address(wasm), backend, threads }, lossless,
  });
  return reply.loaded;
}

/** The picture of an .aec file.
 *
 * Its samples are sRGB, alpha is not multiplied in; see `DecodeOptions.colour` for files with an ICC profile.
 *
 * Throws NotAec, UnsupportedVersion, UnknownModel, CorruptFile and LimitExceeded.
 */
export async function decode(data: Bytes, options: DecodeOptions = {}): Promise<ImageData> {
  return (await decodeDetailed(data, options)).image;
}

/** The picture of an .aec file as a bitmap, ready to be drawn on a canvas; browsers only. Throws as `decode` does. */
export async function decodeToBitmap(data: Bytes, options: DecodeOptions = {}): Promise<ImageBitmap> {
  return createImageBitmap(await decode(data, options));
}

/** The picture of an .aec file, and what else is known of it. Throws as `decode` does. */
export async function decodeDetailed(data: Bytes, options: DecodeOptions = {}): Promise<Decoded> {
  const { signal } = options;
  signal?.throwIfAborted();
  // A copy of its own: the worker gets these bytes alone, whatever else lies in the caller's buffer.
  const copy = data instanceof Uint8Array ? new Uint8Array(data) : new Uint8Array(data.slice(0));
  const reply = await request({
    kind: "decode", data: copy,
    limitPixels: options.limitPixels ?? MAX_PIXELS,
    convert: options.colour !== "untouched",
  }, signal, [copy.buffer]);
  const { samples, ...rest } = reply.decoded as DecodedPixels;
  return { image: toImageData(samples, rest.header.width, rest.header.height), ...rest };
}

function request(message: { kind: string } & Record<string, unknown>, signal?: AbortSignal,
  transfer: ArrayBuffer[] = []): Promise<any> {
  const port = (worker ??= open());
  const id = ++lastId;
  return new Promise((resolve, reject) => {
    const stop = () => {
      port.send({ kind: "cancel", id });
      settle(id)?.reject(signal!.reason);
    };
    const done = <T>(settleWith: (value: T) => void) => (value: T) => {
      signal?.removeEventListener("abort", stop);
      settleWith(value);
    };
    waiting.set(id, { resolve: done(resolve), reject: done(reject) });
    port.hold(true);
    signal?.addEventListener("abort", stop, { once: true });
    port.send({ ...message, id }, transfer);
  });
}

function settle(id: number): Waiting | undefined {
  const found = waiting.get(id);
  waiting.delete(id);
  if (waiting.size === 0) worker?.hold(false);
  return found;
}

function open(): WorkerPort {
  const port = startWorker(new URL("./worker.js", import.meta.url));
  port.onMessage((reply: Reply) => {
    const found = settle(reply.id);
    if ("error" in reply) found?.reject(fromPlain(reply.error));
    else found?.resolve(reply);
  });
  port.onFailure((error) => {
    port.end();
    worker = undefined; // the next call starts another
    for (const id of [...waiting.keys()]) settle(id)?.reject(error);
  });
  return port;
}

function absolute(address: string | URL): string {
  return new URL(address, globalThis.document?.baseURI ?? globalThis.location?.href ?? import.meta.url).href;
}

/** Node has no ImageData: there it is an object with the same fields. */
function toImageData(data: Uint8ClampedArray<ArrayBuffer>, width: number, height: number): ImageData {
  if (typeof ImageData !== "undefined") return new ImageData(data, width, height);
  return { data, width, height, colorSpace: "srgb" } as ImageData;
}
