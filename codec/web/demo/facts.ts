/** What is told of a decoded picture: numbers, the header, and where the time went. */

import type { Decoded, Loaded } from "../src/index.js";

/** Bytes as people read them. */
export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 999_500 ? `${(bytes / 1000).toPrecision(3)} kB` : `${(bytes / 1e6).toPrecision(3)} MB`;
}

export function showFacts(decoded: Decoded, bytes: number, loaded: Loaded): void {
  const { header, timings } = decoded;
  const pixels = header.width * header.height;
  const milliseconds = Object.values(timings).reduce((sum, time) => sum + time, 0);
  const where = header.lossless ? "on one thread" : loaded.backend === "webgpu" ? "on the GPU"
    : `on ${loaded.threads === 1 ? "one thread" : `${loaded.threads} threads`}`;
  text("bytes", size(bytes));
  text("bits", `${((8 * bytes) / pixels).toPrecision(3)} bits a pixel`);
  text("size", `${header.width} × ${header.height}`);
  text("pixels", `${(pixels / 1e6).toPrecision(2)} megapixels${header.grey ? ", grey" : ""}`);
  text("quality", header.lossless ? "Lossless" : String(header.quality));
  text("level", header.lossless ? "every pixel as it was" : `level ${header.level} of 63`);
  text("time", milliseconds < 1000 ? `${milliseconds.toFixed(0)} ms` : `${(milliseconds / 1000).toFixed(2)} s`);
  text("speed", `${where}, ${(pixels / 1000 / milliseconds).toPrecision(2)} MP/s`);
  const bar = Object.values(timings).map((time) => {
    const part = document.createElement("i");
    part.style.setProperty("--share", String(time));
    part.hidden = time === 0;
    return part;
  });
  document.getElementById("bar")!.replaceChildren(...bar);
  document.getElementById("header")!.replaceChildren(...rows(decoded, loaded).flatMap(([name, value]) => {
    const group = document.createElement("div");
    const [term, description] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    description.textContent = value;
    group.append(term, description);
    return [group];
  }));
}

function rows({ header, timings, profile, alpha, exif, xmp, gainMap }: Decoded, loaded: Loaded): [string, string][] {
  const conversions = { none: "is sRGB", srgb: "converted to sRGB", untouched: "left as it is" };
  const hexadecimal = (value: number, digits: number) => value.toString(16).padStart(digits, "0");
  const model = `${loaded.model} (0x${hexadecimal(header.modelId, 4)})${header.experimental ? ", experimental" : ""}`;
  const stages: [string, number][] = header.lossless ? [["WebP decoder", timings.lossless]]
    : [["Range decoder", timings.entropy], ["Scale decoder", timings.scales], ["Network", timings.network]];
  return [
    ["Format version", String(header.version)],
    ...(header.lossless ? [["Coding", "WebP lossless"], ["Sample CRC", hexadecimal(header.symbolCrc, 8)]]
      : [["Model", model], ["Tune", header.tune], ["Bundle hash", header.bundleHash], ["Symbol CRC", hexadecimal(header.symbolCrc, 8)]]),
    ["Payload", `${header.payloadLength} bytes`],
    ["Boxes", String(header.boxes)],
    ["Transparency", alpha ? "yes" : "no"],
    ["Colour profile", profile ? `${profile.description || "unnamed"}, ${conversions[profile.conversion]}` : "none: sRGB"],
    ["Metadata", [exif && "EXIF", xmp && "XMP", gainMap && "HDR gain map"].filter(Boolean).join(", ") || "none"],
    ["File and checksums", time(timings.file)],
    ...stages.map(([name, milliseconds]) => [name, time(milliseconds)]),
    ["Colour", time(timings.colour)],
  ] as [string, string][];
}

function time(milliseconds: number): string {
  return `${milliseconds.toFixed(1)} ms`;
}

function text(id: string, value: string): void {
  document.getElementById(id)!.textContent = value;
}
