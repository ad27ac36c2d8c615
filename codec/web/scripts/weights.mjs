// The decoder's share of a model's weights: what encoding alone needs is left out (and further decoders, which are
// outside the format's picture). The tensors that stay are the same bytes, so the bundle hash is the same.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";

/** What is outside the bundle hash (FORMAT.md, section 4), by how names start. */
export const LEFT_OUT = ["analysis.", "hyper_analysis.", "rounding.", "decoders.", "encoders.", "training."];

const NUMPY_TYPES = { F32: "<f4", F16: "<f2", I8: "|i1", U8: "|u1", I16: "<i2", U16: "<u2", I32: "<i4" };
const ALIGNMENT = 8;

/** `{ name, digest, bytes }` of the safetensors file at a path. */
export async function decoderWeights(path) {
  const whole = await readFile(path);
  const length = Number(whole.readBigUInt64LE(0));
  const { __metadata__: metadata, ...entries } = JSON.parse(whole.subarray(8, 8 + length).toString());
  const names = Object.keys(entries).filter((name) => !LEFT_OUT.some((prefix) => name.startsWith(prefix))).sort();
  const hash = createHash("sha256");
  const header = {};
  const parts = [];
  let at = 0;
  for (const name of names) {
    const { dtype, shape, data_offsets: [start, end] } = entries[name];
    const data = whole.subarray(8 + length + start, 8 + length + end);
    hash.update(`${name} ${NUMPY_TYPES[dtype]} ${shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`}\n`);
    hash.update(data);
    header[name] = { dtype, shape };
  }
  const digest = hash.digest("hex");
  // Large elements first: then every tensor is aligned without gaps.
  const size = { F32: 4, I32: 4, F16: 2, I16: 2, U16: 2, I8: 1, U8: 1 };
  for (const name of [...names].sort((a, b) => size[header[b].dtype] - size[header[a].dtype])) {
    const [start, end] = entries[name].data_offsets;
    header[name].data_offsets = [at, at + end - start];
    parts.push(whole.subarray(8 + length + start, 8 + length + end));
    at += end - start;
  }
  const { name, id, config } = metadata;
  let head = JSON.stringify({ __metadata__: { name, id, config, bundle: digest }, ...header });
  head = head.padEnd(Math.ceil(head.length / ALIGNMENT) * ALIGNMENT);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(head.length));
  return { name, digest, bytes: Buffer.concat([prefix, Buffer.from(head), ...parts]) };
}
