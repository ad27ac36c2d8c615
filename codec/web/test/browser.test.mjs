// Files decoded in headless Chromium, under a strict content security policy, workers included; the element, the service
// worker, the page.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Browser, CHROMIUM } from "./chromium.mjs";
import { assertClose } from "./compare.mjs";
import { corrupt, damaged, golden, lossless, losslessExample, MADE, TESTS } from "./files.mjs";
import { readPng, toRgba } from "./png.mjs";

const folders = {
  "/files/": fileURLToPath(new URL("golden/v0/", TESTS)), "/corrupt/": fileURLToPath(new URL("corrupt/", TESTS)),
  "/pages/": fileURLToPath(new URL("pages/", import.meta.url)), ...(MADE && { "/made/": `${MADE}/` }),
};
const skip = CHROMIUM ? false : "Chromium is not installed";
let browser;
let plain; // a server without cross-origin isolation
let isolated;
let shared; // a page that has the package from the plain server: several tests use what it has loaded

before(async () => {
  if (skip) return;
  browser = await Browser.start();
  plain = await browser.serve({ isolated: false, folders });
  isolated = await browser.serve({ isolated: true, folders });
  shared = await withPackage(plain);
});
after(() => browser?.end());

/** A page that has loaded the package as `aecodec`. */
async function withPackage(server) {
  const page = await browser.page();
  const problems = [];
  page.on("pageerror", (error) => problems.push(error.message));
  await page.goto(`${server}/pages/blank.html`);
  await page.evaluate(async () => {
    window.aecodec = await import("/index.js");
    window.bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    window.text = (bytes) => {
      let out = "";
      for (let i = 0; i < bytes.length; i += 8192) out += String.fromCharCode(...bytes.subarray(i, i + 8192));
      return btoa(out);
    };
  });
  return { page, problems };
}

/** What becomes of a file in a page: its samples, or the name of an error. */
async function decodeIn(page, file) {
  const result = await page.evaluate(async (data) => {
    try {
      const { width, height, data: samples } = await window.aecodec.decode(window.bytes(data));
      return { width, height, samples: window.text(samples) };
    } catch (error) {
      return { error: error.name, message: error.message };
    }
  }, Buffer.from(file).toString("base64"));
  return result.samples ? { ...result, samples: Buffer.from(result.samples, "base64") } : result;
}

test("without isolation, on one thread, golden and lossless files decode and damaged ones are refused", { skip }, async () => {
  const { page, problems } = shared;
  const loaded = await page.evaluate(() => window.aecodec.init());
  assert.deepEqual([loaded.backend, loaded.threads], ["wasm", 1]); // not on a GPU that is none
  for (const { name, bytes, png } of golden) {
    const decoded = await decodeIn(page, bytes);
    assert.equal(decoded.error, undefined, `${name}: ${decoded.message}`);
    assertClose(decoded.samples, toRgba(readPng(png)), name);
  }
  // The decoder of lossless files is asked for now; when it does not come, that is told, and the next file tries again.
  const missing = "**/webp_dec.wasm";
  await page.route(missing, (route) => route.abort());
  const without = await decodeIn(page, losslessExample);
  assert.deepEqual([without.error, without.message.match(/cannot be loaded from .*webp_dec\.wasm/)?.length],
    ["AecError", 1]);
  await page.unroute(missing);
  assert.deepEqual(await page.evaluate(async (data) => {
    const bitmap = await window.aecodec.decodeToBitmap(window.bytes(data));
    return [bitmap.constructor.name, bitmap.width, bitmap.height];
  }, losslessExample.toString("base64")), ["ImageBitmap", 2, 1]);
  for (const { name, bytes, png } of lossless) {
    const decoded = await decodeIn(page, bytes);
    assert.equal(decoded.error, undefined, `${name}: ${decoded.message}`);
    assert.deepEqual(Uint8ClampedArray.from(decoded.samples), toRgba(readPng(png)), name);
  }
  for (const { error, name, bytes } of corrupt) {
    assert.equal((await decodeIn(page, bytes)).error, error, name);
  }
  for (const { name, bytes } of damaged(200, 3)) {
    assert.match((await decodeIn(page, bytes)).error ?? "none", /^(NotAec|CorruptFile|UnsupportedVersion)$/, name);
  }
  assert.deepEqual(problems, []);
});

test("with isolation, threads give the same picture; the weights are kept for the next visit", { skip }, async () => {
  const first = await withPackage(isolated);
  const loaded = await first.page.evaluate(() => window.aecodec.init({ threads: 2, wasm: "/ort/", graphs: "/graphs/" }));
  assert.equal(loaded.threads, 2);
  const { bytes, png, name } = golden.find(({ name }) => name === "small-middle.aec");
  assertClose((await decodeIn(first.page, bytes)).samples, toRgba(readPng(png)), name);
  await first.page.close();
  const second = await withPackage(isolated);
  const asked = [];
  second.page.context().on("request", (request) => asked.push(request.url()));
  await second.page.evaluate(() => window.aecodec.init({ threads: 2 }));
  assert.ok(asked.some((url) => url.endsWith(".onnx")));
  assert.ok(!asked.some((url) => url.endsWith(".safetensors")), asked.join("\n"));
  await second.page.close();
});

test("on a GPU, here one that the CPU plays, the picture is the same", { skip }, async (context) => {
  const { page } = await withPackage(isolated);
  if (!(await page.evaluate(async () => Boolean(await navigator.gpu?.requestAdapter())))) {
    context.skip("this Chromium has no WebGPU");
    return;
  }
  assert.equal((await page.evaluate(() => window.aecodec.init({ backend: "webgpu" }))).backend, "webgpu");
  await page.workers()[0].evaluate(() => {
    globalThis.dispatched = 0;
    const { prototype } = GPUComputePassEncoder;
    for (const name of ["dispatchWorkgroups", "dispatchWorkgroupsIndirect"]) {
      const own = prototype[name];
      prototype[name] = function (...sizes) {
        globalThis.dispatched++;
        return own.apply(this, sizes);
      };
    }
  });
  const { bytes, png, name } = golden.find(({ name }) => name === "small-middle.aec");
  assertClose((await decodeIn(page, bytes)).samples, toRgba(readPng(png)), name);
  assert.ok((await page.workers()[0].evaluate(() => globalThis.dispatched)) > 100); // the network's layers
  await page.close();
});

/** The samples of what an element of a page shows, drawn onto a canvas. */
async function samplesOf(page, selector) {
  return Buffer.from(await page.evaluate((wanted) => {
    const element = document.querySelector(wanted);
    const shown = element.shadowRoot?.querySelector("canvas") ?? element;
    const [width, height] = [element.naturalWidth, element.naturalHeight];
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(shown, 0, 0);
    return window.text(context.getImageData(0, 0, width, height).data);
  }, selector), "base64");
}

test("<aec-img> shows a picture, tells of errors, and has a text for those who do not see it", { skip }, async () => {
  const { page } = shared;
  const outcome = await page.evaluate(async () => {
    await import("/element.js");
    const settled = (element) => new Promise((resolve) => {
      element.addEventListener("load", () => resolve("load"));
      element.addEventListener("error", (event) => resolve(`error: ${event.error.message}`));
    });
    const make = (src) => {
      const element = Object.assign(document.createElement("aec-img"), { src, alt: `a picture at ${src}` });
      element.id = "i";
      document.body.replaceChildren(element);
      return element;
    };
    const missing = await settled(make("/files/none.aec"));
    const element = make("/files/small-wide.aec");
    const there = await settled(element);
    const { width, height } = element.getBoundingClientRect();
    return { missing, there, label: element.getAttribute("aria-label"), role: element.role, width, height };
  });
  assert.deepEqual(outcome, {
    missing: "error: 404 Not Found", there: "load", label: "a picture at /files/small-wide.aec", role: "img",
    width: 300, height: 17,
  });
  assertClose(await samplesOf(page, "aec-img"), toRgba(readPng(golden.find(({ name }) => /wide/.test(name)).png)), "wide");
});

test("with the service worker, plain <img> shows pictures", { skip }, async () => {
  const { page } = await withPackage(plain);
  await page.evaluate(async () => {
    await navigator.serviceWorker.register("/sw.js");
    await navigator.serviceWorker.ready;
    while (!navigator.serviceWorker.controller) await new Promise((resolve) => setTimeout(resolve, 20));
  });
  for (const name of ["small-middle", "small-grey", "small-grey-alpha"]) {
    const size = await page.evaluate(async (file) => {
      const picture = Object.assign(new Image(), { src: file });
      document.body.replaceChildren(picture);
      await picture.decode();
      return [picture.naturalWidth, picture.naturalHeight];
    }, `/files/${name}.aec`);
    const wanted = readPng(golden.find((file) => file.name === `${name}.aec`).png);
    assert.deepEqual(size, [wanted.width, wanted.height]);
    if (wanted.channels % 2) assertClose(await samplesOf(page, "img"), toRgba(wanted), name); // a canvas rounds alpha
  }
  if (lossless.length) {
    await page.evaluate(async () => {
      const picture = Object.assign(new Image(), { src: "/made/lossless/rgb.aec" });
      document.body.replaceChildren(picture);
      await picture.decode();
    });
    const wanted = toRgba(readPng(lossless.find(({ name }) => name === "rgb.aec").png));
    assert.deepEqual(Uint8ClampedArray.from(await samplesOf(page, "img")), wanted);
  }
  const outcome = await page.evaluate(() => {
    const picture = Object.assign(new Image(), { src: "/corrupt/CorruptFile/cut-in-the-payload.aec" });
    return picture.decode().then(() => "shown", () => "not shown");
  });
  assert.equal(outcome, "not shown");
  await page.evaluate(async () => (await navigator.serviceWorker.getRegistration()).unregister());
  await page.close();
});

test("the page decodes samples and files without asking for anything after it has loaded", { skip }, async () => {
  const page = await browser.page();
  const asked = [];
  const problems = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  await page.setViewportSize({ width: 390, height: 844 });
  await page.goto(`${plain}/demo/`);
  await page.waitForSelector("html[data-ready]", { state: "attached" });
  page.context().on("request", (request) => request.url().startsWith("blob:") || asked.push(request.url()));
  const shown = async (action) => {
    await action();
    await page.waitForFunction(() => document.getElementById("figure").dataset.state !== "decoding");
    return page.getAttribute("#figure", "data-state");
  };
  for (const button of await page.$$("#samples button")) {
    assert.equal(await shown(async () => {
      await button.click();
      await page.waitForFunction((one) => one.getAttribute("aria-pressed") === "true", button);
    }), "ready");
    assert.match(await page.textContent("#other-label"), /^JPEG \d/);
  }
  // The keyboard moves the handle, and chooses another format.
  await page.focus("#slider");
  const at = () => page.evaluate(() => document.getElementById("stage").style.getPropertyValue("--split"));
  await page.keyboard.press("Home");
  assert.equal(await at(), "0%");
  await page.keyboard.press("ArrowRight");
  assert.equal(await at(), "1%");
  await page.focus("#compare input:checked");
  await page.keyboard.press("ArrowRight");
  await page.waitForFunction(() => document.getElementById("other-label").textContent.startsWith("AVIF"));
  // Magnified, it is scrolled by arrow keys; afterwards it fits again.
  await page.check("#zoom input[value='4']");
  await page.focus("#view");
  const scrolled = () => page.evaluate(() => document.getElementById("view").scrollLeft);
  const before = await scrolled();
  await page.keyboard.press("ArrowRight");
  await page.waitForFunction((left) => document.getElementById("view").scrollLeft > left, before);
  await page.check("#zoom input[value='fit']");
  // A file of the visitor's, then one that is damaged.
  const alpha = golden.find(({ name }) => name === "small-alpha.aec");
  const give = (name, buffer) => page.setInputFiles("#file", { name, mimeType: "image/x-aec", buffer });
  await give("mine.aec", alpha.bytes);
  await page.waitForFunction(() => document.getElementById("size").textContent === "47 × 33");
  assert.equal(await page.getAttribute("#picture", "aria-label"), "mine.aec");
  assert.equal(await page.isVisible("#other-label"), false);
  await give("red.aec", losslessExample);
  await page.waitForFunction(() => document.getElementById("quality").textContent === "Lossless");
  await give("cut.aec", alpha.bytes.subarray(0, 100));
  await page.waitForSelector("#figure[data-state=error]");
  assert.match(await page.textContent("#status"), /^cut\.aec: the file is cut short/);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(overflow, 0); // nothing is wider than a phone
  assert.deepEqual(asked, []);
  assert.deepEqual(problems, []);
  await page.close();
});
