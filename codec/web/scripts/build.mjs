// npm run build: everything that is served or published, into dist/.

import { build } from "esbuild";
import { execFile } from "node:child_process";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { withTensorsByName } from "./graphs.mjs";
import { decoderWeights } from "./weights.mjs";

const run = promisify(execFile);
const here = new URL("../", import.meta.url);
const path = (relative) => new URL(relative, here).pathname;
const MODEL = path("../weights/small/");
const GRAPHS = process.env.GRAPHS ?? MODEL;

const ORT_FILES = [
  "ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm",
  "ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm",
];

async function main() {
  const dist = path("dist/");
  await rm(dist, { recursive: true, force: true });
  await mkdir(`${dist}ort`, { recursive: true });
  await mkdir(`${dist}graphs`);
  const weights = await decoderWeights(`${MODEL}weights.safetensors`);
  const file = `${weights.name}-${weights.digest.slice(0, 8)}.safetensors`;
  await writeFile(dist + file, weights.bytes);
  for (const name of ORT_FILES) await cp(path(`node_modules/onnxruntime-web/dist/${name}`), `${dist}ort/${name}`);
  await writeGraphs(`${dist}graphs/`);
  const shared = {
    outdir: dist, bundle: true, minify: true, target: "es2022", logLevel: "warning",
    define: { BUILT_MODEL: JSON.stringify({ name: weights.name, digest: weights.digest, file }) },
  };
  const entry = (name) => path(`src/${name}.ts`);
  await build({
    ...shared, entryPoints: ["index", "worker", "element"].map(entry), format: "esm", splitting: true,
    external: ["onnxruntime-web"],
  });
  await build({
    ...shared, entryPoints: [entry("sw")], format: "iife",
    define: { ...shared.define, "import.meta.url": "location.href" },
  });
  await run(path("node_modules/.bin/tsc"), ["-p", path("tsconfig.json")]).catch((error) => {
    throw new Error(error.stdout);
  });
}

/** The graphs that decoding takes (scales are ours), and a manifest of the tensors that they leave to the weights. */
async function writeGraphs(folder) {
  const { graphs } = JSON.parse(await readFile(`${GRAPHS}/graphs.json`, "utf8"));
  const manifest = {};
  for (const [name, { tensors }] of Object.entries(graphs)) {
    if (!/^(features|context_\d|synthesis)$/.test(name)) continue;
    await writeFile(`${folder}${name}.onnx`, withTensorsByName(await readFile(`${GRAPHS}/${name}.onnx`)));
    manifest[name] = Object.keys(tensors);
  }
  await writeFile(`${folder}graphs.json`, JSON.stringify(manifest));
}

await main();
