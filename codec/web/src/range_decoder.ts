/** The range decoder (FORMAT.md, section 6): 32-bit words, 64-bit state, models in 24 bits.
 *
 * A 64-bit number is a pair of doubles: the upper 40 bits and the lower 24. All sums and products below stay under
 * 2^53 and are exact; BigInt would take some thirty times as long. What is kept of the state is the range R and
 * D = P - L, the point's distance from the lower end, since nothing else depends on P and L.
 */

import { CorruptFile } from "./errors.js";
import { PRECISION, type Table } from "./tables.js";

const LOW = 2 ** 24;
const PER_LOW = 2 ** -24;
const WHOLE = 1 << PRECISION;

export class RangeDecoder {
  private readonly bytes: Uint8Array;
  private at = 0;
  private scale = 2 ** 40 - 1; // R >> 24: all of R that counts once a slot has been taken
  private high: number; // of D
  private low: number;

  constructor(payload: Uint8Array) {
    this.bytes = payload;
    const first = this.word();
    const second = this.word();
    this.high = first * 256 + (second >>> 24);
    this.low = second & 0xffffff;
  }

  /** The next 32-bit word; zeros after the end. */
  private word(): number {
    const { bytes, at } = this;
    this.at += 4;
    if (at + 4 <= bytes.length) {
      return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
    }
    let word = 0;
    for (let i = at; i < bytes.length; i++) word |= bytes[i] << (8 * (i - at));
    return word >>> 0;
  }

  /** Where in 0..2^24 the point lies; it may be one too small or too large, by the rounding of the quotient. */
  private quantile(): number {
    return Math.floor((this.high * LOW + this.low) / this.scale);
  }

  /** Take the slot `lower..upper - 1` if the point lies in it.
   *
   * @returns 0 if it was taken, -1 if the point lies below, 1 if above.
   */
  private take(lower: number, upper: number): number {
    const scaleHigh = Math.floor(this.scale * PER_LOW);
    const scaleLow = this.scale - scaleHigh * LOW;
    const start = scaleLow * lower;
    const startCarry = Math.floor(start * PER_LOW);
    let low = this.low - (start - startCarry * LOW);
    let high = this.high - (scaleHigh * lower + startCarry);
    if (low < 0) {
      low += LOW;
      high--;
    }
    if (high < 0) return -1;
    const width = upper - lower;
    const size = scaleLow * width;
    const sizeCarry = Math.floor(size * PER_LOW);
    const rangeLow = size - sizeCarry * LOW;
    const rangeHigh = scaleHigh * width + sizeCarry;
    if (high > rangeHigh || (high === rangeHigh && low >= rangeLow)) return 1;
    if (rangeHigh < 256) {
      const word = this.word();
      this.scale = (rangeHigh * LOW + rangeLow) * 256;
      this.high = (high * LOW + low) * 256 + (word >>> 24);
      this.low = word & 0xffffff;
    } else {
      this.scale = rangeHigh;
      this.high = high;
      this.low = low;
    }
    return 0;
  }

  /** The next slot of a table. Throws CorruptFile. */
  slot({ bounds, guess }: Table): number {
    const quantile = Math.min(this.quantile(), WHOLE - 1);
    let i = guess[quantile >>> (PRECISION - 8)];
    while (bounds[i + 1] <= quantile) i++;
    for (;;) {
      const side = this.take(bounds[i], bounds[i + 1]);
      if (side === 0) return i;
      i += side;
      if (i === bounds.length - 1) throw undecodable();
    }
  }

  /** The next of `values` equally likely values. Throws CorruptFile. */
  uniform(values: number): number {
    const share = Math.floor(WHOLE / values);
    let i = Math.min(Math.floor(this.quantile() / share), values - 1);
    for (;;) {
      const side = this.take(i * share, i === values - 1 ? WHOLE : (i + 1) * share);
      if (side === 0) return i;
      i += side;
      if (i === values) throw undecodable();
    }
  }
}

function undecodable(): CorruptFile {
  return new CorruptFile("the payload does not decode; the file is damaged");
}
