// PNG files as arrays, for the tests: 8 bits a sample, not interlaced, as Pillow writes them.

import { inflateSync } from "node:zlib";

const CHANNELS = { 0: 1, 2: 3, 4: 2, 6: 4 }; // by colour type

/** `{ width, height, channels, data }` of a PNG file's bytes. */
export function readPng(bytes) {
  let at = 8;
  let head;
  const parts = [];
  while (at < bytes.length) {
    const length = bytes.readUInt32BE(at);
    const kind = bytes.toString("latin1", at + 4, at + 8);
    const body = bytes.subarray(at + 8, at + 8 + length);
    if (kind === "IHDR") head = body;
    if (kind === "IDAT") parts.push(body);
    at += 12 + length;
  }
  const width = head.readUInt32BE(0);
  const height = head.readUInt32BE(4);
  const channels = CHANNELS[head[9]];
  if (head[8] !== 8 || channels === undefined || head[12] !== 0) throw new Error("a kind of PNG that tests do not read");
  return { width, height, channels, data: unfiltered(inflateSync(Buffer.concat(parts)), width * channels, height, channels) };
}

function unfiltered(rows, stride, height, step) {
  const out = new Uint8Array(stride * height);
  for (let y = 0; y < height; y++) {
    const kind = rows[y * (stride + 1)];
    for (let x = 0; x < stride; x++) {
      const left = x >= step ? out[y * stride + x - step] : 0;
      const up = y ? out[(y - 1) * stride + x] : 0;
      const corner = y && x >= step ? out[(y - 1) * stride + x - step] : 0;
      const p = left + up - corner;
      const [a, b, c] = [Math.abs(p - left), Math.abs(p - up), Math.abs(p - corner)];
      const paeth = a <= b && a <= c ? left : b <= c ? up : corner;
      out[y * stride + x] = rows[y * (stride + 1) + 1 + x] + [0, left, up, (left + up) >> 1, paeth][kind];
    }
  }
  return out;
}

/** As `[height, width, 4]`, as decoders for the web give pictures. */
export function toRgba({ width, height, channels, data }) {
  const out = new Uint8ClampedArray(width * height * 4);
  for (let i = 0; i < width * height; i++) {
    const at = i * channels;
    const grey = channels < 3;
    for (let c = 0; c < 3; c++) out[4 * i + c] = data[at + (grey ? 0 : c)];
    out[4 * i + 3] = channels % 2 === 0 ? data[at + channels - 1] : 255;
  }
  return out;
}
