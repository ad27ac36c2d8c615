/** Samples as a PNG file, without compression: for a browser to read at once. */

import { crc32 } from "./crc32.js";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10];
const STORED = 65535; // bytes in an uncompressed block of deflate
const ADLER_BASE = 65521;
const ADLER_RUN = 3800; // bytes after which the sums must be reduced

export interface PngOptions {
  grey: boolean;
  alpha: boolean;
  /** An ICC profile for the samples; without it they are marked as sRGB. */
  icc?: Uint8Array | undefined;
}

/** The file's parts, for a Blob or Response, of `[height, width, 4]` samples. */
export function writePng(samples: Uint8ClampedArray, width: number, height: number, options: PngOptions):
  Uint8Array<ArrayBuffer>[] {
  const { grey, alpha, icc } = options;
  const head = new Uint8Array(13);
  const view = new DataView(head.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  head.set([8, (grey ? 0 : 2) + (alpha ? 4 : 0)], 8); // bits, and colour type
  const profile = icc ? chunk("iCCP", join([text("ICC profile"), new Uint8Array(2), stored(icc)]))
    : chunk("sRGB", Uint8Array.of(0));
  return [
    Uint8Array.from(SIGNATURE), chunk("IHDR", head), profile,
    chunk("IDAT", stored(rowsOf(samples, width, height, grey, alpha))), chunk("IEND", new Uint8Array(0)),
  ];
}

/** Rows behind a filter type each, which is 0: none. */
function rowsOf(samples: Uint8ClampedArray, width: number, height: number, grey: boolean, alpha: boolean): Uint8Array {
  const colours = grey ? 1 : 3;
  const channels = colours + (alpha ? 1 : 0);
  const rows = new Uint8Array((width * channels + 1) * height);
  let to = 0;
  for (let y = 0; y < height; y++) {
    to++;
    for (let from = y * width * 4; from < (y + 1) * width * 4; from += 4) {
      for (let c = 0; c < colours; c++) rows[to++] = samples[from + c];
      if (alpha) rows[to++] = samples[from + 3];
    }
  }
  return rows;
}

/** Bytes as a zlib stream that does not compress them. */
function stored(bytes: Uint8Array): Uint8Array {
  const blocks = Math.max(Math.ceil(bytes.length / STORED), 1);
  const out = new Uint8Array(2 + 5 * blocks + bytes.length + 4);
  out.set([0x78, 0x01]);
  let to = 2;
  for (let n = 0; n < blocks; n++) {
    const part = bytes.subarray(n * STORED, (n + 1) * STORED);
    const size = part.length;
    out.set([n === blocks - 1 ? 1 : 0, size & 255, size >> 8, ~size & 255, (~size >> 8) & 255], to);
    out.set(part, to + 5);
    to += 5 + size;
  }
  new DataView(out.buffer).setUint32(to, adler32(bytes));
  return out;
}

function adler32(bytes: Uint8Array): number {
  let a = 1;
  let b = 0;
  for (let start = 0; start < bytes.length; start += ADLER_RUN) {
    const end = Math.min(start + ADLER_RUN, bytes.length);
    for (let i = start; i < end; i++) {
      a += bytes[i];
      b += a;
    }
    a %= ADLER_BASE;
    b %= ADLER_BASE;
  }
  return ((b << 16) | a) >>> 0;
}

function chunk(kind: string, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(data.length + 12);
  const view = new DataView(out.buffer);
  view.setUint32(0, data.length);
  out.set(text(kind), 4);
  out.set(data, 8);
  view.setUint32(data.length + 8, crc32(out.subarray(4, data.length + 8)));
  return out;
}

function text(ascii: string): Uint8Array {
  return new TextEncoder().encode(ascii);
}

function join(parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
