/** Lossless files: a payload of WebP's lossless bitstream instead of a range coder's (FORMAT.md, section 9). */

import type { Header } from "./container.js";
import { crc32 } from "./crc32.js";
import { CorruptFile } from "./errors.js";

/** What decodes one WebP file, downloaded now if it has not been. */
export async function loadLossless(base: URL): Promise<(file: ArrayBuffer) => Promise<ImageData>> {
  return (await import("./webp.js")).loadWebp(base);
}

/** `[height, width, 4]` of a file whose header says `lossless`; opaque, where the payload holds no alpha.
 *
 * @param base folder of the built files.
 *
 * Throws CorruptFile if the payload does not decode, or not to what the header says, and AecError if the decoder of WebP
 * cannot be loaded.
 */
export async function decodeLossless(header: Header, payload: Uint8Array, base: URL):
  Promise<Uint8ClampedArray<ArrayBuffer>> {
  const { width, height, grey, alpha } = header;
  const size = streamSize(payload);
  if (size?.[0] !== width || size[1] !== height) {
    throw new CorruptFile("the lossless stream is not of the picture's size; the file is damaged");
  }
  const samples = await decodeStream(payload, base);
  if (samples.length !== width * height * 4) {
    throw new CorruptFile("the lossless stream is not of the picture's size; the file is damaged");
  }
  if (!alpha) for (let i = 3; i < samples.length; i += 4) samples[i] = 255;
  if (grey && !isGrey(samples)) throw new CorruptFile("a grey file has colours; the file is damaged");
  if (samplesCrc(samples, width, grey, alpha) !== header.symbolCrc) {
    throw new CorruptFile("the samples differ from those that were encoded; get another copy of the file");
  }
  return samples;
}

/** Width and height of a bitstream, which start it (RFC 9649, section 3.4). */
function streamSize(payload: Uint8Array): [number, number] | undefined {
  if (payload.length < 5 || payload[0] !== 0x2f) return undefined;
  const fields = payload[1] | (payload[2] << 8) | (payload[3] << 16) | (payload[4] << 24);
  return [1 + (fields & 0x3fff), 1 + ((fields >>> 14) & 0x3fff)];
}

async function decodeStream(payload: Uint8Array, base: URL): Promise<Uint8ClampedArray<ArrayBuffer>> {
  const decode = await loadLossless(base);
  try {
    return (await decode(webpFile(payload))).data as Uint8ClampedArray<ArrayBuffer>;
  } catch (error) {
    throw new CorruptFile(`the lossless stream does not decode (${(error as Error).message}); the file is damaged`);
  }
}

/** The payload with the head of a WebP file before it. */
function webpFile(payload: Uint8Array): ArrayBuffer {
  const padded = payload.length + (payload.length % 2);
  const file = new Uint8Array(20 + padded);
  const view = new DataView(file.buffer);
  for (const [at, name] of [[0, "RIFF"], [8, "WEBP"], [12, "VP8L"]] as const) {
    file.set(new TextEncoder().encode(name), at);
  }
  view.setUint32(4, padded + 12, true);
  view.setUint32(16, payload.length, true);
  file.set(payload, 20);
  return file.buffer;
}

function isGrey(samples: Uint8ClampedArray): boolean {
  for (let i = 0; i < samples.length; i += 4) {
    if (samples[i] !== samples[i + 1] || samples[i] !== samples[i + 2]) return false;
  }
  return true;
}

/** CRC-32 of the samples that the file holds, row by row: grey or red, green and blue; then alpha, if it has that. */
function samplesCrc(samples: Uint8ClampedArray, width: number, grey: boolean, alpha: boolean): number {
  const colours = grey ? 1 : 3;
  const row = new Uint8Array(width * (colours + (alpha ? 1 : 0)));
  let crc = 0;
  for (let from = 0; from < samples.length;) {
    for (let to = 0; to < row.length; from += 4) {
      for (let c = 0; c < colours; c++) row[to++] = samples[from + c];
      if (alpha) row[to++] = samples[from + 3];
    }
    crc = crc32(row, crc);
  }
  return crc;
}
