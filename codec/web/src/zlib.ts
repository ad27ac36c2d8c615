/** zlib streams (RFC 1950) through the platform's own inflate. */

import { CorruptFile } from "./errors.js";
import { IN_NODE, nodeModule } from "./platform.js";

/** What a zlib stream holds. Throws CorruptFile, naming it, if it is damaged, has more bytes than `most`, or other bytes
 * follow it. */
export async function inflate(data: Uint8Array, most: number, name: string): Promise<Uint8Array> {
  try {
    return IN_NODE ? inflateInNode(data, most) : await inflateInBrowser(data, most);
  } catch (error) {
    if (error instanceof TooLong) throw new CorruptFile(`${name} does not end where it should; the file is damaged`);
    throw new CorruptFile(`${name} does not decompress (${error instanceof Error ? error.message : error}); ` +
      "the file is damaged");
  }
}

class TooLong extends Error {}

async function inflateInBrowser(data: Uint8Array, most: number): Promise<Uint8Array> {
  const reader = new Blob([data as BlobPart]).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    length += part.value.length;
    if (length > most) {
      await reader.cancel();
      throw new TooLong();
    }
    parts.push(part.value);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Node's DecompressionStream takes bytes behind the stream's end for nothing; its zlib tells of them. */
function inflateInNode(data: Uint8Array, most: number): Uint8Array {
  const { inflateSync } = nodeModule("node:zlib");
  const options = { maxOutputLength: most + 1, info: true };
  const { buffer, engine } = inflateSync(data, options) as unknown as
    { buffer: Uint8Array; engine: { bytesWritten: number } };
  if (buffer.length > most || engine.bytesWritten !== data.length) throw new TooLong();
  return buffer;
}
