/** The file: bytes to header, payload and boxes, every checksum compared (FORMAT.md, sections 1 to 3). */

import { crc32 } from "./crc32.js";
import { CorruptFile, LimitExceeded, NotAec, UnsupportedVersion } from "./errors.js";
import {
  EXPERIMENTAL_ID, FLAG_ALPHA, FLAG_GREY, FLAG_LOSSLESS, KNOWN_FLAGS, LEVELS, MAX_BOX, MAX_PAYLOAD, MAX_PIXELS, MAX_SIDE,
  MIN_SIDE, NO_BUNDLE, SIGNATURE, THIN_PIXELS, TUNES, VERSION, WEBP_LOSSLESS,
} from "./format.js";

/** What a file says of itself before its payload. */
export interface Header {
  version: number;
  width: number;
  height: number;
  /** Quality level, 0..63; 0 in a lossless file. */
  level: number;
  /** What the picture was made for: people who look at it, or a small squared error. */
  tune: (typeof TUNES)[number];
  /** Quality 0..100, to one decimal; undefined if nothing was lost. */
  quality: number | undefined;
  grey: boolean;
  /** Whether every pixel is as it was; no model decodes it. */
  lossless: boolean;
  /** Of a lossless file: whether its payload holds alpha, which else is in a box. */
  alpha: boolean;
  /** In a lossless file the coding of its payload; 1 is WebP lossless. */
  modelId: number;
  /** Whether the model may still change until release 1.0. */
  experimental: boolean;
  /** Hexadecimal digits of the first four bytes of the SHA-256 of what decoding depends on. */
  bundleHash: string;
  /** CRC-32 of all symbols; in a lossless file of the samples. */
  symbolCrc: number;
  payloadLength: number;
  /** How many boxes follow the picture. */
  boxes: number;
}

/** A piece of data beside the picture, named by four ASCII letters. */
export interface Box {
  kind: string;
  data: Uint8Array;
}

/** A whole file in its parts. */
export interface AecFile {
  header: Header;
  payload: Uint8Array;
  boxes: Box[];
}

const FIXED = 17; // bytes before the varints
const HEAD = 64; // bytes in which every header ends

class Varints {
  constructor(private readonly bytes: Uint8Array, public at: number) {}

  read(name: string): number {
    let value = 0;
    let factor = 1;
    for (let n = 0; n < 5; n++) {
      if (this.at >= this.bytes.length) {
        throw new CorruptFile(`the file ends inside its header (${name}); get a complete copy of it`);
      }
      const byte = this.bytes[this.at++];
      value += (byte & 0x7f) * factor;
      factor *= 128;
      if (byte < 0x80) {
        if (n > 0 && byte === 0) {
          throw new CorruptFile(`the header's ${name} is not written in its shortest form; the file is damaged`);
        }
        return value;
      }
    }
    throw new CorruptFile(`the header's ${name} is too long; the file is damaged`);
  }
}

function startsAsAec(bytes: Uint8Array): boolean {
  if (bytes.length === 0) return false;
  for (let i = 0; i < Math.min(4, bytes.length); i++) {
    if (bytes[i] !== ((SIGNATURE >>> (24 - 8 * i)) & 255)) return false;
  }
  return true;
}

function readFlags(flags: number, modelId: number): { grey: boolean; lossless: boolean; alpha: boolean } {
  const [grey, lossless, alpha] = [FLAG_GREY, FLAG_LOSSLESS, FLAG_ALPHA].map((flag) => (flags & flag) !== 0);
  if (flags & ~KNOWN_FLAGS || (alpha && !lossless)) {
    throw new UnsupportedVersion(`the file uses features (flags 0x${flags.toString(16)}) of a newer aecodec; ` +
      "upgrade this decoder");
  }
  if (lossless && modelId !== WEBP_LOSSLESS) {
    throw new UnsupportedVersion(`lossless coding ${modelId} is newer than this decoder; upgrade it`);
  }
  return { grey, lossless, alpha };
}

/** The header, and where the payload starts. */
export function parseHeader(data: Uint8Array): { header: Header; payloadAt: number } {
  const bytes = data.subarray(0, HEAD);
  if (!startsAsAec(bytes)) {
    throw new NotAec("not an .aec file (it does not start with the .aec signature)");
  }
  if (bytes.length < FIXED) throw new CorruptFile("the file ends inside its header; get a complete copy of it");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = bytes[4];
  const flags = bytes[5];
  const modelId = view.getUint16(6, true);
  if (version !== VERSION) {
    throw new UnsupportedVersion(`file format version ${version} is newer than this decoder; upgrade it`);
  }
  const { grey, lossless, alpha } = readFlags(flags, modelId);
  const point = bytes[8];
  const level = point % LEVELS;
  const tune = TUNES[Math.floor(point / LEVELS)];
  if (lossless && point) throw new CorruptFile(`a lossless file has no quality level ${point}; the file is damaged`);
  if (!tune) {
    throw new UnsupportedVersion(`the file was made for tune ${Math.floor(point / LEVELS)} of a newer aecodec; upgrade this decoder`);
  }
  const bundleHash = [...bytes.subarray(9, 13)].map((b) => b.toString(16).padStart(2, "0")).join("");
  if (lossless && bundleHash !== NO_BUNDLE) {
    throw new CorruptFile("a lossless file names weights; the file is damaged");
  }
  const varints = new Varints(bytes, FIXED);
  const width = varints.read("width");
  const height = varints.read("height");
  const payloadLength = varints.read("payload length");
  for (const [name, side] of [["width", width], ["height", height]] as const) {
    if (side < 1 || side > MAX_SIDE) {
      throw new CorruptFile(`${name} ${side} is outside 1..${MAX_SIDE}; the file is damaged`);
    }
  }
  if (payloadLength > MAX_PAYLOAD) {
    throw new CorruptFile(`payload length ${payloadLength} is outside 0..${MAX_PAYLOAD}; the file is damaged`);
  }
  const header: Header = {
    version, width, height, level, tune,
    quality: lossless ? undefined : Math.round((level * 1000) / (LEVELS - 1)) / 10,
    grey, lossless, alpha, modelId,
    experimental: !lossless && modelId >= EXPERIMENTAL_ID,
    bundleHash,
    symbolCrc: view.getUint32(13, true),
    payloadLength,
    boxes: flags >> 4,
  };
  return { header, payloadAt: varints.at };
}

/** What a model is told of a file's level and tune. */
export function operatingPoint({ level, tune }: Header): number {
  return LEVELS * TUNES.indexOf(tune) + level;
}

/** What a file says of itself; its first 64 bytes are enough, and no weights are needed.
 *
 * Throws NotAec, UnsupportedVersion and CorruptFile. No checksum is compared: `decode` does that.
 */
export function readHeader(data: Uint8Array | ArrayBuffer): Header {
  return parseHeader(data instanceof Uint8Array ? data : new Uint8Array(data)).header;
}

/** Throws LimitExceeded if a picture has more than `limit` pixels. A long and thin one counts as 64 pixels thick. */
export function checkPixels(width: number, height: number, limit: number = MAX_PIXELS): void {
  const thick = Math.max(width, MIN_SIDE) * Math.max(height, MIN_SIDE);
  const millions = (pixels: number) => (pixels / 1e6).toFixed(0);
  if (width * height > limit) {
    throw new LimitExceeded(`${width}x${height} is ${millions(width * height)} megapixels, above the limit of ` +
      `${millions(limit)}; if you trust the file, raise limitPixels`);
  }
  if (thick > limit && thick > THIN_PIXELS) {
    throw new LimitExceeded(`${width}x${height} is long and thin, and takes the memory of ${millions(thick)} ` +
      `megapixels, above the limit of ${millions(limit)}; if you trust the file, raise limitPixels`);
  }
}

/** A file in its parts, which share its memory.
 *
 * @param known the box types that the caller understands; another one that must be understood is refused.
 *
 * Throws NotAec, UnsupportedVersion and CorruptFile.
 */
export function readFile(data: Uint8Array, known: ReadonlySet<string>): AecFile {
  const { header, payloadAt } = parseHeader(data);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const end = payloadAt + header.payloadLength;
  if (data.length < end + 4) {
    throw new CorruptFile(`the file is cut short: ${data.length} of at least ${end + 4} bytes; ` +
      "get a complete copy of it");
  }
  if (crc32(data.subarray(0, end)) !== view.getUint32(end, true)) {
    throw new CorruptFile("the file is damaged (checksum of the picture); get another copy of it");
  }
  const boxes: Box[] = [];
  let at = end + 4;
  for (let n = 0; n < header.boxes; n++) {
    const box = readBox(data, view, at, `it has ${n} of ${header.boxes} boxes`);
    if (boxes.some((other) => other.kind === box.kind)) {
      throw new CorruptFile(`box ${box.kind} occurs twice; the file is damaged`);
    }
    if (/^[A-Z]/.test(box.kind) && !known.has(box.kind)) {
      throw new UnsupportedVersion(`the file needs box ${box.kind}, which is unknown to this decoder; upgrade it`);
    }
    boxes.push(box);
    at += 12 + box.data.length;
  }
  if (at < data.length) {
    throw new CorruptFile(`${data.length - at} bytes follow the end of the file; get another copy of it`);
  }
  return { header, payload: data.subarray(payloadAt, end), boxes };
}

function readBox(data: Uint8Array, view: DataView, at: number, progress: string): Box {
  if (data.length - at < 12) {
    throw new CorruptFile(`the file is cut short: ${progress}; get a complete copy of it`);
  }
  const length = view.getUint32(at + 4, true);
  const stop = at + 8 + length;
  if (length > MAX_BOX || stop + 4 > data.length) {
    throw new CorruptFile("a box reaches beyond the end of the file; get another copy of it");
  }
  if (crc32(data.subarray(at, stop)) !== view.getUint32(stop, true)) {
    throw new CorruptFile("the file is damaged (checksum of a box); get another copy of it");
  }
  const kind = String.fromCharCode(...data.subarray(at, at + 4));
  if (!/^[A-Za-z_]{4}$/.test(kind)) {
    throw new CorruptFile(`box type ${JSON.stringify(kind)} is not four ASCII letters; the file is damaged`);
  }
  return { kind, data: data.subarray(at + 8, stop) };
}
