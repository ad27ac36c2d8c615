// How far samples are from those of the Python package.

import assert from "node:assert/strict";

/** How many samples differ by how much: `[equal, by one, by two, ...]`. */
export function differences(got, wanted) {
  assert.equal(got.length, wanted.length);
  const counts = [];
  for (let i = 0; i < wanted.length; i++) {
    const by = Math.abs(got[i] - wanted[i]);
    counts[by] = (counts[by] ?? 0) + 1;
  }
  return counts;
}

/** Samples `[height, width, 4]` are within one of those wanted, and alpha is the same. */
export function assertClose(got, wanted, name) {
  const counts = differences(got, wanted);
  assert.ok(counts.length <= 2, `${name}: samples by difference: ${counts}`);
  for (let i = 3; i < wanted.length; i += 4) assert.equal(got[i], wanted[i], `${name}: alpha`);
}
