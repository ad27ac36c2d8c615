/** What the page and its worker say to each other. */

import type { Header } from "./container.js";
import type { PlainError } from "./errors.js";
import type { Conversion } from "./icc.js";
import type { Backend, RuntimeOptions } from "./runtime.js";

/** Milliseconds of the stages of decoding. */
export interface Timings {
  /** Reading, checksums, alpha. */
  file: number;
  /** Range decoder. */
  entropy: number;
  /** Scale decoder. */
  scales: number;
  /** From symbols to samples, on ONNX Runtime. */
  network: number;
  /** All of these three, of a lossless file. */
  lossless: number;
  /** ICC. */
  colour: number;
}

export interface InitMessage {
  kind: "init";
  id: number;
  weights: string | ArrayBuffer | undefined;
  graphs: string | undefined;
  runtime: RuntimeOptions;
  lossless: boolean;
}

export interface DecodeMessage {
  kind: "decode";
  id: number;
  data: Uint8Array;
  limitPixels: number;
  convert: boolean;
}

export interface CancelMessage {
  kind: "cancel";
  id: number;
}

export type Request = InitMessage | DecodeMessage | CancelMessage;

export interface Loaded {
  model: string;
  bundleHash: string;
  backend: Backend;
  threads: number;
}

export interface DecodedPixels {
  header: Header;
  /** `[height, width, 4]` */
  samples: Uint8ClampedArray<ArrayBuffer>;
  /** Whether the file has transparency; else the samples are opaque. */
  alpha: boolean;
  profile: { description: string; conversion: Conversion } | undefined;
  icc: Uint8Array | undefined;
  exif: Uint8Array | undefined;
  xmp: Uint8Array | undefined;
  gainMap: Uint8Array | undefined;
  timings: Timings;
}

export type Reply =
  | { id: number; loaded: Loaded }
  | { id: number; decoded: DecodedPixels }
  | { id: number; error: PlainError };
