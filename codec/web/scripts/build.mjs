// npm run build: everything that is served or published, into dist/.
//
//     node scripts/build.mjs [--draft]
//
// The demo's samples are drawn and coded by Python, in half a minute; a draft takes small ones where there are none, and
// adds what the tests look into.

import { build } from "esbuild";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { promisify } from "node:util";
import wabt from "wabt";
import { forBrowsers } from "./graphs.mjs";
import { python } from "./python.mjs";
import { decoderWeights } from "./weights.mjs";

const run = promisify(execFile);
const here = new URL("../", import.meta.url);
const path = (relative) => new URL(relative, here).pathname;
const MODEL = path("../weights/small/");

const ORT_FILES = [
  "ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm",
  "ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm",
];
const WEBP_FILES = ["dec/webp_dec.wasm", "LICENSE.codec.md"];

async function main() {
  const dist = path("dist/");
  await rm(dist, { recursive: true, force: true });
  await mkdir(`${dist}ort`, { recursive: true });
  await mkdir(`${dist}graphs`);
  const weights = await decoderWeights(`${MODEL}weights.safetensors`);
  const file = `${weights.name}-${weights.digest.slice(0, 8)}.safetensors`;
  await writeFile(dist + file, weights.bytes);
  for (const name of ORT_FILES) await cp(path(`node_modules/onnxruntime-web/dist/${name}`), `${dist}ort/${name}`);
  await mkdir(`${dist}webp`);
  for (const name of WEBP_FILES) await cp(path(`node_modules/@jsquash/webp/codec/${name}`), `${dist}webp/${basename(name)}`);
  await writeGraphs(`${dist}graphs/`);
  const shared = {
    outdir: dist, bundle: true, minify: true, target: "es2022", logLevel: "warning",
    define: { BUILT_MODEL: JSON.stringify({ name: weights.name, digest: weights.digest, file }) }, plugins: [assembly],
  };
  await writeDemo(`${dist}demo/`, weights.digest);
  const entry = (name) => path(`src/${name}.ts`);
  await build({
    ...shared, entryPoints: ["index", "worker", "element"].map(entry), format: "esm", splitting: true,
    external: ["onnxruntime-web"],
  });
  await build({
    ...shared, entryPoints: [entry("sw")], format: "iife",
    define: { ...shared.define, "import.meta.url": "location.href" },
  });
  await build({
    ...shared, entryPoints: [path("demo/demo.ts")], outdir: `${dist}demo`, format: "esm",
    plugins: [assembly, { name: "package", setup: ({ onResolve }) => onResolve({ filter: /src\/index\.js$/ }, () =>
      ({ path: "../index.js", external: true })) }],
  });
  if (process.argv.includes("--draft")) { // what tests look into
    await build({
      ...shared, entryPoints: [path("test/stages.ts")], outdir: `${dist}test`, format: "esm",
      external: ["onnxruntime-web"],
    });
  }
  for (const project of ["tsconfig.json", "demo/tsconfig.json"]) {
    await run(path("node_modules/.bin/tsc"), ["-p", path(project)]).catch((error) => {
      throw new Error(error.stdout || error.message);
    });
  }
}

/** `import code from "./x.wat"`: the bytes of the WebAssembly module that it describes. */
const assembly = {
  name: "assembly",
  setup: ({ onLoad }) => onLoad({ filter: /\.wat$/ }, async ({ path: file }) => {
    const { parseWat } = await wabt();
    const { buffer } = parseWat(basename(file), await readFile(file)).toBinary({});
    return { contents: buffer, loader: "binary" };
  }),
};

/** The page, and its samples: drawn again when the drawing or the model has changed. */
async function writeDemo(folder, digest) {
  await mkdir(folder);
  for (const name of ["index.html", "style.css", "icon.svg"]) await cp(path(`demo/${name}`), folder + name);
  const samples = path("demo/samples/");
  const width = process.argv.includes("--draft") ? ["120"] : [];
  const wanted = createHash("sha256").update(await readFile(path("scripts/samples.py"))).update(digest).digest("hex");
  const [made, draft] = (await readFile(`${samples}made-for`, "utf8").catch(() => "")).split(" ");
  if (made !== wanted || (draft && !width.length)) {
    await rm(samples, { recursive: true, force: true });
    await run(await python(), [path("scripts/samples.py"), samples, ...width]);
    await writeFile(`${samples}made-for`, [wanted, ...width.map(() => "draft")].join(" "));
  }
  await cp(samples, `${folder}samples`, { recursive: true, filter: (source) => !source.endsWith("made-for") });
}

/** The graphs that decoding takes (scales are ours), and a manifest of the tensors that they leave to the weights. */
async function writeGraphs(folder) {
  const { graphs } = JSON.parse(await readFile(`${MODEL}graphs.json`, "utf8"));
  const manifest = {};
  for (const [name, { tensors, vectors, states }] of Object.entries(graphs)) {
    if (!/^(features|context_\d|synthesis)$/.test(name)) continue;
    await writeFile(`${folder}${name}.onnx`, forBrowsers(await readFile(`${MODEL}${name}.onnx`)));
    manifest[name] = { tensors: Object.keys(tensors), vectors, states };
  }
  await writeFile(`${folder}graphs.json`, JSON.stringify(manifest));
}

await main();
