// Stage by stage against the test vectors of the reference decoder: symbols equal, latents and pixels close.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { stages } from "../dist/test/stages.js";
import { differences } from "./compare.mjs";
import { vectors } from "./files.mjs";

const TYPES = { "<i2": Int16Array, "|u1": Uint8Array, "<f4": Float32Array };

/** The values of an `.npy` file, in C order. */
function readNpy(path) {
  const file = readFileSync(path);
  const length = file.readUInt16LE(8);
  const head = file.toString("latin1", 10, 10 + length);
  assert.match(head, /'fortran_order': False/);
  const data = file.subarray(10 + length);
  return new TYPES[/'descr': '([^']+)'/.exec(head)[1]](data.buffer.slice(data.byteOffset, data.byteOffset + data.length));
}

for (const { name, folder } of vectors) {
  test(`${name}: every stage is that of the reference decoder`, async () => {
    const vector = (array) => readNpy(`${folder}/${array}.npy`);
    const found = await stages(readFileSync(`${folder}/file.aec`));
    for (const array of ["z", "index", "y"]) assert.deepEqual(found[array], vector(array), array);
    assert.deepEqual(found.indexByRows, found.index);
    const latents = vector("latents");
    const apart = latents.reduce((most, value, i) => Math.max(most, Math.abs(value - found.latents[i])), 0);
    assert.ok(apart < 1e-3, `latents differ by ${apart}`);
    const pixels = vector("pixels");
    const { channels } = found;
    const own = Uint8Array.from(pixels, (_, i) =>
      found.samples[4 * Math.floor(i / channels) + (channels % 2 === 0 && i % channels === channels - 1 ? 3 : i % channels)]);
    assert.ok(differences(own, pixels).length <= 2);
  });
}

test("test vectors were looked at", { skip: vectors.length ? false : "AECODEC_TEST_FILES names no folder" }, () => {
  assert.ok(vectors.length >= 3);
});
