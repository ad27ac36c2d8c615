// The files that tests decode: the golden ones and the damaged ones of the Python package.

import { readdirSync, readFileSync, statSync } from "node:fs";
import { crc32 } from "node:zlib";

export const TESTS = new URL("../../../tests/", import.meta.url);
const GOLDEN = new URL("golden/v0/", TESTS);
const CORRUPT = new URL("corrupt/", TESTS);
const FORMAT = new URL("../../format/FORMAT.md", import.meta.url);

/** `[{ name, bytes, png }]` */
export const golden = readdirSync(GOLDEN).filter((name) => name.endsWith(".aec")).sort().map((name) => ({
  name, bytes: readFileSync(new URL(name, GOLDEN)), png: readFileSync(new URL(name.replace(/aec$/, "png"), GOLDEN)),
}));

/** `[{ error, name, bytes }]`: every file with the name of the error that refuses it. */
export const corrupt = readdirSync(CORRUPT).filter((error) => !["inputs", "valid"].includes(error)).flatMap((error) =>
  readdirSync(new URL(`${error}/`, CORRUPT)).map((name) => ({
    error, name, bytes: readFileSync(new URL(`${error}/${name}`, CORRUPT)),
  })));

/** Files that are right, but made with weights that nobody has, or lossless. */
export const foreign = readdirSync(new URL("valid/", CORRUPT)).map((name) => ({
  name, bytes: readFileSync(new URL(`valid/${name}`, CORRUPT)),
}));

/** Files that the Python package made for these tests, where `$AECODEC_TEST_FILES` names their folder. */
export const MADE = process.env.AECODEC_TEST_FILES;

/** `[{ name, folder }]`: a file, `file.aec`, and the test vectors of the reference decoder (tools/vectors) for it. */
export const vectors = MADE ? readdirSync(`${MADE}/vectors`).map((name) => ({ name, folder: `${MADE}/vectors/${name}` })) : [];

/** `[{ name, bytes, png }]`: lossless files. */
export const lossless = MADE ? readdirSync(`${MADE}/lossless`).filter((name) => name.endsWith(".aec")).map((name) => ({
  name, bytes: readFileSync(`${MADE}/lossless/${name}`),
  png: readFileSync(`${MADE}/lossless/${name.replace(/aec$/, "png")}`),
})) : [];

/** The lossless file that FORMAT.md shows byte by byte: two red pixels. */
export const losslessExample = Buffer.from(readFileSync(FORMAT, "utf8").match(/```text example-lossless\n([^`]*)```/)[1]
  .split("\n").map((line) => line.slice(0, 32).trim()).join("").replaceAll(" ", ""), "hex");

/** Deterministic numbers 0..1 (xorshift). */
export function random(seed) {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** `count` copies of golden files, each with bits flipped or an end cut off. */
export function* damaged(count, seed = 1) {
  const next = random(seed);
  for (let n = 0; n < count; n++) {
    const { name, bytes } = golden[Math.floor(next() * golden.length)];
    const copy = Buffer.from(bytes);
    if (n % 4 === 3) {
      const length = Math.floor(next() * bytes.length);
      yield { name: `${name} cut to ${length}`, bytes: copy.subarray(0, length) };
      continue;
    }
    const at = Math.floor(next() * copy.length);
    const bit = Math.floor(next() * 8);
    copy[at] ^= 1 << bit;
    yield { name: `${name} bit ${bit} of byte ${at}`, bytes: copy };
  }
}

/** `count` copies of files with flips in the payload and a checksum that is right again: what only the symbols, or
 * the samples, can tell. */
export function* forged(files, count, seed = 2) {
  const next = random(seed);
  const plain = files.filter(({ bytes }) => (bytes[5] >> 4) === 0); // without boxes the payload is the end
  for (let n = 0; n < count; n++) {
    const { name, bytes } = plain[Math.floor(next() * plain.length)];
    const at = 24 + Math.floor(next() * (bytes.length - 28));
    const copy = changed(bytes, (file) => (file[at] ^= 1 << Math.floor(next() * 8)));
    yield { name: `${name} byte ${at}, signed again`, bytes: copy };
  }
}

/** A copy of a file without boxes that `change` has changed, with a checksum that is right again. */
export function changed(bytes, change) {
  const copy = Buffer.from(bytes);
  change(copy);
  copy.writeUInt32LE(crc32(copy.subarray(0, copy.length - 4)), copy.length - 4);
  return copy;
}

/** A file that has no boxes with one, of a type and data. */
export function withBox(bytes, kind, data) {
  if (bytes[5] >> 4 !== 0) throw new Error("only a file without boxes ends in the checksum of its picture");
  const end = bytes.length - 4;
  const copy = Buffer.from(bytes);
  copy[5] += 1 << 4;
  copy.writeUInt32LE(crc32(copy.subarray(0, end)), end);
  const body = Buffer.concat([Buffer.from(kind), Buffer.alloc(4), data]);
  body.writeUInt32LE(data.length, 4);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32LE(crc32(body));
  return Buffer.concat([copy, body, checksum]);
}

export function exists(path) {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
