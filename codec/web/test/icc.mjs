// Colours: profiles against what LittleCMS makes of the same samples (relative colorimetric, to sRGB), and in files.

import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateSync } from "node:zlib";
import * as aecodec from "../dist/index.js";
import { readProfile } from "../dist/test/stages.js";
import { golden, withBox } from "./files.mjs";
import { ADOBE_RGB, DISPLAY_P3, GREY_GAMMA, GREY_TABLE, profile, SRGB } from "./profiles.mjs";

const SAMPLES = [[0, 0, 0], [255, 255, 255], [200, 100, 50], [20, 180, 90], [60, 70, 220], [128, 128, 128],
  [250, 20, 30], [10, 5, 3]];
const GREYS = [0, 10, 40, 90, 128, 180, 230, 255];

/** What LittleCMS 2 gives, through Pillow's ImageCms. */
const EXPECTED = {
  "Display P3": [[0, 0, 0], [255, 255, 255], [215, 93, 31], [0, 183, 78], [57, 70, 229], [128, 128, 128], [255, 0, 0],
    [11, 5, 3]],
  "Adobe RGB (1998)": [[0, 0, 0], [255, 255, 255], [227, 100, 42], [0, 181, 83], [52, 68, 225], [129, 129, 129],
    [255, 12, 24], [3, 1, 0]],
  "Grey gamma 1.8": [0, 10, 53, 109, 146, 193, 235, 255].map((v) => [v, v, v]),
  "Grey table": [0, 15, 37, 99, 150, 205, 241, 255].map((v) => [v, v, v]),
};

const rgba = (samples) => Uint8ClampedArray.from(samples.flatMap((sample) => [...sample, 200]));

for (const [icc, grey] of [[DISPLAY_P3, false], [ADOBE_RGB, false], [GREY_GAMMA, true], [GREY_TABLE, true]]) {
  const found = readProfile(icc, grey);
  test(`${found.description} becomes sRGB`, () => {
    assert.equal(found.conversion, "srgb");
    const samples = rgba(grey ? GREYS.map((v) => [v, v, v]) : SAMPLES);
    found.apply(samples);
    const wanted = rgba(EXPECTED[found.description]);
    assert.ok(samples.every((sample, i) => Math.abs(sample - wanted[i]) <= 1), `${samples}\n${wanted}`);
  });
}

test("sRGB stays as it is, and so does what is more than curves and a matrix", () => {
  assert.deepEqual([readProfile(SRGB, false).conversion, readProfile(SRGB, false).description], ["none", "sRGB"]);
  const lookup = profile("RGB ", { A2B0: Buffer.from("mft2") });
  const nonsense = [lookup, DISPLAY_P3.subarray(0, 200), Buffer.alloc(3), Buffer.from("not a profile")];
  for (const icc of nonsense) {
    const found = readProfile(icc, false);
    const samples = rgba(SAMPLES);
    found.apply(samples);
    assert.equal(found.conversion, "untouched");
    assert.deepEqual(samples, rgba(SAMPLES));
  }
  assert.equal(readProfile(DISPLAY_P3, true).conversion, "untouched"); // a profile for colours on a grey picture
});

test("a file's profile is followed, or left to the caller", async () => {
  const plain = golden.find(({ name }) => name === "small-middle.aec").bytes;
  const wide = withBox(plain, "ICCP", deflateSync(DISPLAY_P3));
  const asItIs = await aecodec.decode(plain);
  const converted = await aecodec.decodeDetailed(wide);
  const untouched = await aecodec.decodeDetailed(wide, { colour: "untouched" });
  assert.deepEqual(converted.profile, { description: "Display P3", conversion: "srgb" });
  assert.deepEqual(untouched.image.data, asItIs.data);
  const wanted = Uint8ClampedArray.from(asItIs.data);
  readProfile(DISPLAY_P3, false).apply(wanted);
  assert.deepEqual(converted.image.data, wanted);
  assert.notDeepEqual(wanted, asItIs.data);
  assert.deepEqual(Buffer.from(untouched.icc), DISPLAY_P3);
});
