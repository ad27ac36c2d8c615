/** The demo page: samples or a file of the visitor's, decoded here, beside another format at the same size.
 *
 * Everything is fetched when the page opens; after that it asks for nothing.
 */

import { type Decoded, decodeDetailed, init, type Loaded, readHeader } from "../src/index.js";
import { Comparison } from "./comparison.js";
import { showFacts, size } from "./facts.js";

interface Sample {
  name: string;
  title: string;
  bytes: Record<Format, number>;
}

type Format = "aec" | "jpg" | "avif";

interface Loading {
  sample: Sample;
  files: Record<Format, Blob>;
  button: HTMLButtonElement;
}

const NAMES: Record<string, string> = { jpg: "JPEG", avif: "AVIF" };

const $ = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const comparison = new Comparison($("view"), $("stage"), $("picture"), $("other"), $("handle"), $("slider"));

let loaded: Loaded;
let samples: Loading[] = [];
let current: Loading | undefined;
let latest: AbortController | undefined;

function show(state: "loading" | "decoding" | "ready" | "error", message = ""): void {
  $("figure").dataset.state = state;
  $("status").textContent = message;
}

/** Decode bytes and show what they are; what was being decoded before is dropped. */
async function open(bytes: ArrayBuffer, title: string, from: Loading | undefined): Promise<void> {
  latest?.abort();
  const { signal } = (latest = new AbortController());
  for (const { button } of samples) button.setAttribute("aria-pressed", String(button === from?.button));
  try {
    const { width, height } = readHeader(bytes);
    show("decoding", `Decoding ${width} × ${height} …`);
    const decoded = await decodeDetailed(bytes, { signal });
    if (signal.aborted) return;
    current = from;
    present(decoded, bytes.byteLength, title);
    await compare();
    show("ready");
  } catch (error) {
    if (signal.aborted) return;
    show("error", error instanceof Error ? `${title}: ${error.message}` : String(error));
  }
}

function present(decoded: Decoded, bytes: number, title: string): void {
  comparison.show(decoded.image, decoded.alpha);
  $("picture").setAttribute("aria-label", title);
  setLabel($("label"), "aec", bytes);
  showFacts(decoded, bytes, loaded);
}

/** Put the chosen other format beside the picture, if there is one of it. */
async function compare(): Promise<void> {
  const format = document.querySelector<HTMLInputElement>("input[name=compare]:checked")!.value as Format | "";
  $<HTMLFieldSetElement>("compare").disabled = !current;
  const file = format ? current?.files[format] : undefined;
  const bitmap = file ? await createImageBitmap(file).catch(() => undefined) : undefined;
  comparison.against(bitmap);
  $("other-label").hidden = !bitmap;
  if (bitmap && file) setLabel($("other-label"), NAMES[format], file.size);
}

function setLabel(label: HTMLElement, name: string, bytes: number): void {
  const strong = document.createElement("b");
  strong.textContent = name;
  label.replaceChildren(strong, ` ${size(bytes)}`);
}

async function fetchSamples(): Promise<Loading[]> {
  const list: Sample[] = await (await fetch("samples/samples.json")).json();
  return Promise.all(list.map(async (sample) => {
    const fetched = await Promise.all((["aec", "jpg", "avif"] as const).map(async (format) =>
      [format, await (await fetch(`samples/${sample.name}.${format}`)).blob()] as const));
    const thumbnail = await (await fetch(`samples/${sample.name}.webp`)).blob();
    const loading: Loading = {
      sample, files: Object.fromEntries(fetched) as Record<Format, Blob>, button: button(sample, thumbnail),
    };
    loading.button.addEventListener("click", () => void openSample(loading));
    return loading;
  }));
}

function button({ title }: Sample, thumbnail: Blob): HTMLButtonElement {
  const element = document.createElement("button");
  element.type = "button";
  element.setAttribute("aria-pressed", "false");
  const picture = new Image();
  picture.alt = "";
  picture.src = URL.createObjectURL(thumbnail);
  const name = document.createElement("span");
  name.textContent = title;
  element.append(picture, name);
  return element;
}

async function openSample(loading: Loading): Promise<void> {
  await open(await loading.files.aec.arrayBuffer(), loading.sample.title, loading);
}

async function openFile(file: File | undefined | null): Promise<void> {
  if (file) await open(await file.arrayBuffer(), file.name, undefined);
}

function listen(): void {
  const input = $<HTMLInputElement>("file");
  $("open").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    void openFile(input.files?.[0]);
    input.value = ""; // so that the same file may be chosen again
  });
  let depth = 0; // of elements that the pointer has entered while it drags
  const over = (by: number) => {
    depth = Math.max(depth + by, 0);
    $("drop").hidden = depth === 0;
  };
  addEventListener("dragenter", (event) => (event.preventDefault(), over(1)));
  addEventListener("dragleave", () => over(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    over(-depth);
    void openFile(event.dataTransfer?.files[0]);
  });
  addEventListener("paste", (event) => void openFile(event.clipboardData?.files[0]));
  $("compare").addEventListener("change", () => void compare());
  $("zoom").addEventListener("change", (event) => {
    const { value } = event.target as HTMLInputElement;
    comparison.zoom(value === "fit" ? undefined : Number(value));
  });
}

async function start(): Promise<void> {
  listen();
  const backend = new URLSearchParams(location.search).get("backend") as "wasm" | "webgpu" | null;
  try {
    [samples, loaded] = await Promise.all([fetchSamples(), init({ lossless: true, ...(backend && { backend }) })]);
  } catch (error) {
    show("error", error instanceof Error ? error.message : String(error));
    return;
  }
  $("samples").append(...samples.map(({ button }) => button));
  await openSample(samples[0]);
  document.documentElement.dataset.ready = "";
}

void start();
