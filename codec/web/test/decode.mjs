// Files decoded in Node, through the package as it is published.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { before, test } from "node:test";
import { gzipSync } from "node:zlib";
import * as aecodec from "../dist/index.js";
import { assertClose } from "./compare.mjs";
import { changed, corrupt, damaged, foreign, forged, golden } from "./files.mjs";
import { readPng, toRgba } from "./png.mjs";

const DIST = new URL("../dist/", import.meta.url);
const SECONDS = 20; // no file of these takes longer, on whatever machine
const MOST_MEMORY = 600e6; // bytes

before(() => aecodec.init({ threads: 1 }));

/** The name of the error that a file is refused with. */
async function refusal(bytes, name) {
  const signal = AbortSignal.timeout(SECONDS * 1000);
  try {
    await aecodec.decode(bytes, { signal });
  } catch (error) {
    assert.ok(error instanceof aecodec.AecError, `${name}: ${error.name}: ${error.message}`);
    return error.name;
  }
  return assert.fail(`${name} was decoded`);
}

for (const { name, bytes, png } of golden) {
  test(`${name} decodes to the picture that Python makes of it`, async () => {
    const { image } = await aecodec.decodeDetailed(bytes);
    const wanted = readPng(png);
    assert.deepEqual([image.width, image.height], [wanted.width, wanted.height]);
    assertClose(image.data, toRgba(wanted), name);
  });
}

for (const { error, name, bytes } of corrupt) {
  test(`${error}/${name} is refused`, async () => assert.equal(await refusal(bytes, name), error));
}

test("files of other weights are refused as such", async () => {
  for (const { name, bytes } of foreign) {
    const { lossless, width } = aecodec.readHeader(bytes); // which needs none
    if (lossless) assert.equal((await aecodec.decode(bytes)).width, width, name);
    else assert.equal(await refusal(bytes, name), "UnknownModel", name);
  }
});

test("1000 flips and cuts are refused", async () => {
  const counts = {};
  for (const { name, bytes } of damaged(1000)) {
    const error = await refusal(bytes, name);
    counts[error] = (counts[error] ?? 0) + 1;
  }
  assert.ok(counts.CorruptFile > 500);
});

test("all of that took no more memory than is said", () => {
  const { maxRSS } = process.resourceUsage(); // kilobytes, of all that ran in this process until now
  assert.ok(maxRSS < MOST_MEMORY / 1000, `${maxRSS} kB`);
});

test("forged payloads are refused by their symbols, or decode to the same ones", async () => {
  let refused = 0;
  for (const { bytes } of forged(golden, 60)) {
    try {
      await aecodec.decode(bytes);
    } catch (error) {
      assert.equal(error.name, "CorruptFile");
      refused++;
    }
  }
  assert.ok(refused > 40);
});

test("the header is read from 64 bytes", () => {
  const { bytes } = golden.find(({ name }) => name === "small-grey.aec");
  const header = aecodec.readHeader(bytes.subarray(0, 64));
  assert.deepEqual({ width: header.width, height: header.height, grey: header.grey, level: header.level },
    { width: 50, height: 40, grey: true, level: 31 });
  assert.equal(header.quality, 49.2);
  assert.match(header.bundleHash, /^[0-9a-f]{8}$/);
  assert.throws(() => aecodec.readHeader(new Uint8Array(0)), aecodec.NotAec);
});

test("a tune that the model lacks is damage, and one that is not known needs a newer reader", async () => {
  const { bytes } = golden.find(({ name }) => name === "small-middle.aec");
  const made = (tune) => changed(bytes, (file) => (file[8] += 64 * tune));
  assert.deepEqual([aecodec.readHeader(bytes).tune, aecodec.readHeader(made(1)).tune], ["visual", "psnr"]);
  assert.equal(aecodec.readHeader(made(1)).level, aecodec.readHeader(bytes).level);
  assert.equal(await refusal(made(1), "psnr"), "CorruptFile");
  assert.equal(await refusal(made(2), "tune 2"), "UnsupportedVersion");
});

test("a limit in pixels holds", async () => {
  const { bytes } = golden.find(({ name }) => name === "small-middle.aec"); // 83x61
  await assert.rejects(aecodec.decode(bytes, { limitPixels: 83 * 61 - 1 }), aecodec.LimitExceeded);
  await aecodec.decode(bytes, { limitPixels: 83 * 61 });
});

test("an ArrayBuffer is as good as bytes, and stays the caller's", async () => {
  const { bytes } = golden.find(({ name }) => name === "small-one-pixel.aec");
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  const first = await aecodec.decode(buffer);
  assert.equal(buffer.byteLength, bytes.length);
  assert.deepEqual((await aecodec.decode(bytes)).data, first.data);
});

test("a signal stops decoding, and the next file decodes", async () => {
  const { bytes } = golden.find(({ name }) => name === "small-wide.aec");
  await assert.rejects(aecodec.decode(bytes, { signal: AbortSignal.abort(new Error("enough")) }), /enough/);
  const stop = new AbortController();
  const running = aecodec.decode(bytes, { signal: stop.signal });
  stop.abort(new Error("enough"));
  await assert.rejects(running, /enough/);
  assert.equal((await aecodec.decode(bytes)).width, 300);
});

test("weights that are not there, or damaged, are told of; the right ones load afterwards", async () => {
  await assert.rejects(aecodec.init({ weights: new URL("nothing.safetensors", import.meta.url) }), aecodec.UnknownModel);
  await assert.rejects(aecodec.init({ weights: new ArrayBuffer(100) }), aecodec.UnknownModel);
  const file = readFileSync(new URL(readdirSync(DIST).find((name) => name.endsWith(".safetensors")), DIST));
  file[file.length >> 1] ^= 1;
  await assert.rejects(aecodec.init({ weights: file.buffer.slice(file.byteOffset, file.byteOffset + file.length) }),
    /SHA-256/);
  file[file.length >> 1] ^= 1;
  const loaded = await aecodec.init({ weights: file.buffer.slice(file.byteOffset, file.byteOffset + file.length) });
  assert.equal(loaded.backend, "wasm");
  assert.equal((await aecodec.decode(golden[0].bytes)).width, aecodec.readHeader(golden[0].bytes).width);
});

test("the package is as small as it says", () => {
  const size = (name) => readFileSync(new URL(name, DIST));
  const own = readdirSync(DIST).filter((name) => /\.js$/.test(name) && !/^(sw|webp-)/.test(name)); // those hold others' too
  const packed = own.reduce((sum, name) => sum + gzipSync(size(name), { level: 9 }).length, 0);
  assert.ok(packed < 60_000, `our code takes ${packed} bytes`);
  const weights = readdirSync(DIST).filter((name) => name.endsWith(".safetensors"));
  assert.equal(weights.length, 1);
  assert.ok(size(weights[0]).length <= 8_000_000);
});
