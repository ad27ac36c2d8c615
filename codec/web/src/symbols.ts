/** Symbols out of the payload, table by table (FORMAT.md, section 6), and their checksum (section 7). */

import { crc32 } from "./crc32.js";
import { CorruptFile } from "./errors.js";
import { ESCAPE_LENGTHS, SYMBOL_MAX } from "./format.js";
import type { RangeDecoder } from "./range_decoder.js";
import type { Table } from "./tables.js";

/** One of the payload's two arrays, in the shape of `index`, which holds the table of every symbol.
 *
 * The decoder is left where the array ends. Throws CorruptFile.
 */
export function decodeSymbols(decoder: RangeDecoder, tables: readonly (Table | null)[],
  index: Uint8Array): Int16Array {
  const symbols = new Int16Array(index.length);
  const starts = new Int32Array(tables.length + 1); // where each table's positions start; table 0 has none
  for (let i = 0; i < index.length; i++) starts[index[i] + 1]++;
  starts[1] = 0;
  for (let t = 1; t < tables.length; t++) starts[t + 1] += starts[t];
  const positions = new Int32Array(starts[tables.length]);
  const next = starts.slice();
  for (let i = 0; i < index.length; i++) {
    if (index[i] !== 0) positions[next[index[i]]++] = i;
  }
  for (let t = 1; t < tables.length; t++) {
    const table = tables[t];
    if (table) decodeGroup(decoder, table, positions.subarray(starts[t], starts[t + 1]), symbols);
  }
  return symbols;
}

function decodeGroup(decoder: RangeDecoder, table: Table, positions: Int32Array, symbols: Int16Array): void {
  const { half } = table;
  const escaped: number[] = [];
  for (let k = 0; k < positions.length; k++) {
    const symbol = decoder.slot(table) - half;
    if (symbol > half) escaped.push(positions[k]);
    else symbols[positions[k]] = symbol;
  }
  const lengths = escaped.map(() => decoder.uniform(ESCAPE_LENGTHS));
  escaped.forEach((position, k) => {
    const beyond = 2 ** lengths[k] + (lengths[k] > 0 ? decoder.uniform(2 ** lengths[k]) : 0) - 1;
    const size = Math.floor(beyond / 2) + half + 1;
    if (size > SYMBOL_MAX) throw new CorruptFile("the payload holds a value out of range; the file is damaged");
    symbols[position] = beyond % 2 === 1 ? -size : size;
  });
}

/** CRC-32 of the symbols of z, then of the latents, as little-endian 16-bit integers. */
export function symbolCrc(z: Int16Array, y: Int16Array): number {
  return crc32(littleEndian(y), crc32(littleEndian(z)));
}

/** The bytes of the symbols; every platform with WebAssembly is little-endian. */
function littleEndian(symbols: Int16Array): Uint8Array {
  return new Uint8Array(symbols.buffer, symbols.byteOffset, symbols.byteLength);
}
