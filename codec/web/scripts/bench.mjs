// npm run bench: how long loading and decoding take in headless Chromium, on one thread and on two, and what is downloaded.
//
//     node scripts/bench.mjs [FILE.aec] [--rounds N] [--large]
//
// Without a file, one of 768x512 is drawn and coded by Python. Decoding takes turns: one thread, two threads, again; so
// what else the machine does falls on both. With --large a picture of 24 megapixels is decoded in Node as well, and the
// largest memory of that process is told.

import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { Browser } from "../test/chromium.mjs";
import { python } from "./python.mjs";

const run = promisify(execFile);
const path = (relative) => fileURLToPath(new URL(`../${relative}`, import.meta.url));
const THREADS = [1, 2];
const LARGE = `
import sys, numpy as np, aecodec
y, x = np.mgrid[:4000, :6000].astype(np.float32)
waves = np.stack([np.sin(x / 40 + y / 90), np.sin(x / 13 - y / 50), np.cos(y / 21)], axis=2)
noise = np.random.default_rng(0).normal(0, 6, waves.shape).astype(np.float32)
open(sys.argv[1], "wb").write(aecodec.encode(np.clip(128 + 90 * waves + noise, 0, 255).astype(np.uint8), quality=40))
`;
const DECODE_LARGE = `
import { readFileSync } from "node:fs";
const { decodeDetailed } = await import(process.argv[1]);
const began = performance.now();
const { header } = await decodeDetailed(readFileSync(process.argv[2]));
const seconds = (performance.now() - began) / 1000;
const peak = process.resourceUsage().maxRSS / 1e6;
console.log(JSON.stringify({ width: header.width, height: header.height, seconds, peak }));
`;

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true, options: { rounds: { type: "string", default: "8" }, large: { type: "boolean" } },
  });
  const folder = await mkdtemp(join(tmpdir(), "aecodec-bench-"));
  try {
    const file = positionals[0] ?? await drawn(folder);
    console.log(`${basename(file)}, ${(await stat(file)).size} bytes; ${availableParallelism()} cores, ` +
      `load ${loadavg()[0].toFixed(1)}`);
    await decodeInChromium(await readFile(file), Number(values.rounds));
    await sizes();
    if (values.large) await large(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function drawn(folder) {
  await run(await python(), [path("scripts/samples.py"), folder, "768"]);
  return join(folder, "island.aec");
}

async function decodeInChromium(bytes, rounds) {
  const found = [];
  for (const threads of THREADS) {
    const browser = await Browser.start(); // a new one: nothing is kept from a visit before
    const address = await browser.serve({ isolated: threads > 1, folders: { "/pages/": path("test/pages/") } });
    const visit = async () => {
      const page = await browser.page();
      await page.goto(`${address}/pages/blank.html`);
      const load = await page.evaluate(async (wanted) => {
        const began = performance.now();
        window.aecodec = await import("/index.js");
        window.loaded = await window.aecodec.init({ backend: "wasm", threads: wanted });
        return performance.now() - began;
      }, threads);
      return { page, load };
    };
    const first = await visit();
    await first.page.close();
    const { page, load } = await visit();
    found.push({ threads, browser, page, loads: [first.load, load], times: [] });
  }
  const data = bytes.toString("base64");
  for (let round = 0; round <= rounds; round++) {
    for (const { page, times } of found) {
      times.push(await page.evaluate(async (text) => {
        const file = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
        const began = performance.now();
        const { header, timings } = await window.aecodec.decodeDetailed(file);
        return { all: performance.now() - began, pixels: header.width * header.height, ...timings };
      }, data));
    }
  }
  table(found);
  for (const { browser } of found) await browser.end();
}

/** Milliseconds, medians but for what happens once. */
function table(found) {
  const heads = ["threads", "load", "again", "first", "decode", "best", "MP/s", "entropy", "scales", "network"];
  console.log(heads.map((head) => head.padStart(9)).join(""));
  const medians = found.map(({ threads, loads, times }) => {
    const [first, ...later] = times;
    const of = (stage) => median(later.map((time) => time[stage]));
    const best = Math.min(...later.map(({ all }) => all));
    const row = [threads, ...loads, first.all, of("all"), best, first.pixels / 1000 / of("all"),
      ...["entropy", "scales", "network"].map(of)];
    console.log(row.map((value) => (value < 10 ? String(+value.toFixed(2)) : value.toFixed(0)).padStart(9)).join(""));
    return { first: first.all, decode: of("all") };
  });
  const [one, two] = medians;
  console.log(`two threads are ${(one.decode / two.decode).toFixed(2)} times as fast as one; the first time ` +
    `${(one.first / two.first).toFixed(2)} times`);
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

/** What a first visit downloads, compressed as the server does it. */
async function sizes() {
  const packed = async (name) => gzipSync(await readFile(path(`dist/${name}`)), { level: 6 }).length;
  const total = async (names) => (await Promise.all(names.map(packed))).reduce((sum, size) => sum + size, 0);
  const files = await readdir(path("dist"));
  const lazy = (name) => name.startsWith("webp-") || name === "sw.js" || name === "element.js";
  const [weights] = files.filter((name) => name.endsWith(".safetensors"));
  const rows = {
    "weights": (await stat(path(`dist/${weights}`))).size,
    "ONNX Runtime": await total(["ort/ort.wasm.min.mjs", "ort/ort-wasm-simd-threaded.mjs", "ort/ort-wasm-simd-threaded.wasm"]),
    "ONNX Runtime with WebGPU": await total(["ort/ort.webgpu.min.mjs", "ort/ort-wasm-simd-threaded.asyncify.mjs",
      "ort/ort-wasm-simd-threaded.asyncify.wasm"]),
    "graphs": await total((await readdir(path("dist/graphs"))).map((name) => `graphs/${name}`)),
    "our code": await total(files.filter((name) => name.endsWith(".js") && !lazy(name))),
    "<aec-img>": await total(["element.js"]),
    "service worker": await total(["sw.js"]),
    "lossless files": await total([...files.filter((name) => name.startsWith("webp-")), "webp/webp_dec.wasm"]),
  };
  for (const [name, size] of Object.entries(rows)) console.log(`${(size / 1000).toFixed(1).padStart(9)} kB ${name}`);
}

async function large(folder) {
  const file = join(folder, "large.aec");
  await run(await python(), ["-c", LARGE, file]);
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", DECODE_LARGE, path("dist/index.js"), file]);
  const { width, height, seconds, peak } = JSON.parse(stdout);
  console.log(`${width}x${height} in Node: ${seconds.toFixed(1)} s, ${peak.toFixed(2)} GB at most`);
}

await main();
