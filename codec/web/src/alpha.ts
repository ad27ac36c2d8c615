/** Transparency without loss: PNG's row filters undone (PNG specification, section 9; one byte per pixel). */

import { CorruptFile } from "./errors.js";

/** `[height, 1 + width]`, each row behind its filter type, to `[height, width]`. Throws CorruptFile. */
export function unfilter(rows: Uint8Array, width: number, height: number): Uint8Array {
  const plane = new Uint8Array(width * height);
  let above = new Uint8Array(width);
  for (let y = 0; y < height; y++) {
    const at = y * (width + 1);
    const row = plane.subarray(y * width, (y + 1) * width);
    row.set(rows.subarray(at + 1, at + 1 + width));
    undo(rows[at], row, above);
    above = row;
  }
  return plane;
}

function undo(kind: number, row: Uint8Array, above: Uint8Array): void {
  switch (kind) {
    case 0:
      return;
    case 1:
      for (let x = 1; x < row.length; x++) row[x] += row[x - 1];
      return;
    case 2:
      for (let x = 0; x < row.length; x++) row[x] += above[x];
      return;
    case 3:
      for (let x = 0; x < row.length; x++) row[x] += ((x ? row[x - 1] : 0) + above[x]) >> 1;
      return;
    case 4:
      for (let x = 0; x < row.length; x++) row[x] += x ? paeth(row[x - 1], above[x], above[x - 1]) : above[x];
      return;
    default:
      throw new CorruptFile(`the transparency has a row of filter type ${kind}, which does not exist; ` +
        "the file is damaged");
  }
}

function paeth(left: number, up: number, corner: number): number {
  const toLeft = Math.abs(up - corner);
  const toUp = Math.abs(left - corner);
  const toCorner = Math.abs(left + up - 2 * corner);
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}
