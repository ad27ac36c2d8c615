// Lossless files in Node: every sample as it was, also where it is transparent, and refused where anything is wrong.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as aecodec from "../dist/index.js";
import { changed, forged, lossless, losslessExample, withBox } from "./files.mjs";
import { readPng, toRgba } from "./png.mjs";

const FLAGS = 5; // where fields are in the header
const CODING = 6;
const POINT = 8;
const BUNDLE = 9;
const SYMBOL_CRC = 13;
const PAYLOAD = 20;

const RED = [255, 0, 0, 255];

async function refused(bytes, error, message) {
  await assert.rejects(aecodec.decode(bytes), (found) => {
    assert.ok(found instanceof aecodec[error], `${found.name}: ${found.message}`);
    assert.match(found.message, message);
    return true;
  });
}

test("the example of the format decodes", async () => {
  const { image, alpha, header } = await aecodec.decodeDetailed(losslessExample);
  assert.deepEqual([...image.data], [...RED, ...RED]);
  assert.equal(alpha, false);
  assert.deepEqual([header.lossless, header.quality, header.experimental, header.bundleHash, header.modelId],
    [true, undefined, false, "00000000", 1]);
});

for (const { name, bytes, png } of lossless) {
  test(`${name} decodes to exactly the picture that was encoded`, async () => {
    const { image, alpha } = await aecodec.decodeDetailed(bytes);
    const wanted = readPng(png);
    assert.deepEqual([image.width, image.height, alpha], [wanted.width, wanted.height, wanted.channels % 2 === 0]);
    assert.deepEqual(image.data, toRgba(wanted));
  });
}

test("lossless files were looked at", { skip: lossless.length ? false : "AECODEC_TEST_FILES names no folder" }, () => {
  const channels = lossless.map(({ png }) => readPng(png).channels);
  assert.deepEqual([...new Set(channels)].sort(), [1, 2, 3, 4]);
  const hidden = lossless.some(({ png }) => toRgba(readPng(png)).some((alpha, i, samples) =>
    i % 4 === 3 && alpha === 0 && samples[i - 1] !== 0));
  assert.ok(hidden); // colours where nothing is seen
});

test("damage under a checksum that is right is found out by the samples", async () => {
  const files = [{ name: "the example", bytes: losslessExample }, ...lossless];
  let count = 0;
  for (const { name, bytes } of forged(files, 100)) {
    const { data } = await aecodec.decode(bytes).catch((error) => {
      assert.equal(error.name, "CorruptFile", name);
      count++;
      return {};
    });
    const whole = files.find((file) => name.startsWith(file.name));
    if (data) assert.deepEqual(data, (await aecodec.decode(whole.bytes)).data, name); // bits that say nothing
  }
  assert.ok(count > 60, `${count}`);
});

test("a header that contradicts itself or the payload is refused", async () => {
  const file = (at, value) => changed(losslessExample, (bytes) => (bytes[at] = value));
  await refused(file(FLAGS, 4), "UnsupportedVersion", /features/);
  await refused(file(FLAGS, 10), "UnsupportedVersion", /features/);
  await refused(file(CODING, 2), "UnsupportedVersion", /lossless coding 2/);
  await refused(file(POINT, 5), "CorruptFile", /level 5/);
  await refused(file(BUNDLE, 1), "CorruptFile", /names weights/);
  await refused(file(SYMBOL_CRC, 0), "CorruptFile", /samples differ/);
  await refused(file(FLAGS, 3), "CorruptFile", /grey file has colours/);
  await refused(file(FLAGS, 6), "CorruptFile", /samples differ/); // their checksum would be one with alpha
  await refused(file(PAYLOAD, 0), "CorruptFile", /picture's size/);
  await refused(file(PAYLOAD + 1, 2), "CorruptFile", /picture's size/);
  await refused(file(PAYLOAD + 4, 0x20), "CorruptFile", /does not decode/); // a version of the bitstream
  await refused(withBox(losslessExample, "ALPH", Buffer.alloc(3)), "CorruptFile", /alpha in a box/);
  await assert.rejects(aecodec.decode(losslessExample, { limitPixels: 1 }), aecodec.LimitExceeded);
});
