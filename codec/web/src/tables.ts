/** The model's probability tables as the range coder sees them: integers in 24 bits (FORMAT.md, sections 5 and 6). */

import { TABLE_TOTAL } from "./format.js";

export const PRECISION = 24; // bits of the range coder's models
const WHOLE = 1 << PRECISION;

/** One table: slot i, of symbol i - half, takes `bounds[i]..bounds[i + 1] - 1`; the last slot is the escape. */
export interface Table {
  half: number;
  bounds: Int32Array;
  /** `[256]`: the slot that holds the quantile whose upper eight bits are the index and whose others are zero. */
  guess: Uint16Array;
}

/** Tables by number from the model's `tables.counts` and `tables.halves`; none for table 0, "always zero".
 *
 * Throws RangeError if they are not tables.
 */
export function makeTables(counts: Uint16Array, halves: Uint16Array): (Table | null)[] {
  const tables: (Table | null)[] = [null];
  let at = 0;
  for (let t = 1; t < halves.length; t++) {
    const slots = 2 * halves[t] + 2;
    tables.push(makeTable(counts.subarray(at, at + slots), halves[t]));
    at += slots;
  }
  if (at !== counts.length) throw new RangeError("the probability tables are cut short");
  return tables;
}

function makeTable(frequencies: Uint16Array, half: number): Table {
  const slots = frequencies.length;
  const bounds = new Int32Array(slots + 1);
  const factor = (WHOLE - slots) / TABLE_TOTAL;
  let below = 0;
  for (let i = 0; i < slots; i++) {
    // Both factors fit binary64 exactly, and so does their product: fround is the one rounding.
    bounds[i] = Math.floor(Math.fround(below * factor)) + i;
    below += frequencies[i];
  }
  if (below !== TABLE_TOTAL || slots < 2) throw new RangeError("a probability table's frequencies do not add up");
  bounds[slots] = WHOLE;
  const guess = new Uint16Array(256);
  for (let top = 0, slot = 0; top < 256; top++) {
    while (bounds[slot + 1] <= top << (PRECISION - 8)) slot++;
    guess[top] = slot;
  }
  return { half, bounds, guess };
}
