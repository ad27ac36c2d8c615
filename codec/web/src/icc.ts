/** ICC profiles: samples to sRGB where a profile is curves and a matrix, and as they are where it is more than that.
 *
 * Converted are RGB profiles of the matrix and curves kind (ICC.1:2022, 8.3.3: sRGB, Display P3, Adobe RGB and nearly
 * all that cameras and phones write), and grey ones with a curve; colorimetrically, with what sRGB cannot show clipped.
 * Everything else (lookup tables, Lab) leaves the samples untouched, and `conversion` says so.
 */

/** What a profile means for a file's samples. `none`: they are sRGB already. */
export type Conversion = "none" | "srgb" | "untouched";

export interface Profile {
  /** What the profile calls itself, such as `Display P3`. */
  description: string;
  conversion: Conversion;
  /** Convert `[pixels, 4]` samples to sRGB, in place; does nothing unless `conversion` is `srgb`. */
  apply(samples: Uint8ClampedArray): void;
}

type Curve = (x: number) => number;

const SAME = 1.5; // samples that differ by less are the same: how an sRGB profile's own curve is rounded

/** From XYZ of the profile connection space (D50) to linear sRGB: the inverse of sRGB's own colorants. */
const TO_SRGB = [
  [3.1338561, -1.6168667, -0.4906146],
  [-0.9787684, 1.9161415, 0.033454],
  [0.0719453, -0.2289914, 1.4052427],
];

export function readProfile(icc: Uint8Array, grey: boolean): Profile {
  const description = describe(icc);
  let convert: ((rgb: Float64Array) => void) | undefined;
  try {
    convert = grey ? greyConversion(icc) : matrixConversion(icc);
  } catch {
    convert = undefined; // a profile that is cut short says nothing
  }
  if (!convert) return { description, conversion: "untouched", apply: () => undefined };
  const found = convert;
  if (isIdentity(found)) return { description, conversion: "none", apply: () => undefined };
  return { description, conversion: "srgb", apply: (samples) => applyTo(samples, found, grey) };
}

/** A tag's data, by its four-character name. */
function tag(icc: Uint8Array, name: string): DataView | undefined {
  const view = new DataView(icc.buffer, icc.byteOffset, icc.byteLength);
  const count = Math.min(view.getUint32(128), 1000);
  for (let n = 0; n < count; n++) {
    const at = 132 + 12 * n;
    if (text(view, at, 4) === name) {
      return new DataView(icc.buffer, icc.byteOffset + view.getUint32(at + 4), view.getUint32(at + 8));
    }
  }
  return undefined;
}

function text(view: DataView, at: number, length: number): string {
  return String.fromCharCode(...Array.from({ length }, (_, i) => view.getUint8(at + i)));
}

function describe(icc: Uint8Array): string {
  try {
    const data = tag(icc, "desc")!;
    if (text(data, 0, 4) === "mluc") {
      const length = Math.min(data.getUint32(20), 512);
      const at = data.getUint32(24);
      return String.fromCharCode(...Array.from({ length: length >> 1 }, (_, i) => data.getUint16(at + 2 * i)));
    }
    return text(data, 12, Math.max(Math.min(data.getUint32(8), 256) - 1, 0));
  } catch {
    return "";
  }
}

/** Samples 0..1 to linear sRGB, in place; undefined if the profile is no matrix and curves. */
function matrixConversion(icc: Uint8Array): ((rgb: Float64Array) => void) | undefined {
  const view = new DataView(icc.buffer, icc.byteOffset, icc.byteLength);
  if (text(view, 16, 4) !== "RGB " || text(view, 20, 4) !== "XYZ ") return undefined;
  const curves: Curve[] = [];
  const colorants: number[][] = [];
  for (const channel of ["r", "g", "b"]) {
    const curve = tag(icc, `${channel}TRC`);
    const colorant = tag(icc, `${channel}XYZ`);
    if (!curve || !colorant) return undefined;
    curves.push(readCurve(curve));
    colorants.push([0, 1, 2].map((i) => colorant.getInt32(8 + 4 * i) / 65536));
  }
  // Rows: red, green, blue of sRGB; columns: the profile's channels.
  const matrix = TO_SRGB.map((row) => colorants.map((xyz) => row[0] * xyz[0] + row[1] * xyz[1] + row[2] * xyz[2]));
  return (rgb) => {
    const [r, g, b] = curves.map((curve, c) => curve(rgb[c]));
    for (let c = 0; c < 3; c++) rgb[c] = matrix[c][0] * r + matrix[c][1] * g + matrix[c][2] * b;
  };
}

function greyConversion(icc: Uint8Array): ((rgb: Float64Array) => void) | undefined {
  const view = new DataView(icc.buffer, icc.byteOffset, icc.byteLength);
  const data = tag(icc, "kTRC");
  if (text(view, 16, 4) !== "GRAY" || !data) return undefined;
  const curve = readCurve(data);
  return (rgb) => void rgb.fill(curve(rgb[0]));
}

/** `curveType` or `parametricCurveType` (ICC.1:2022, 10.6 and 10.18). Throws RangeError. */
function readCurve(data: DataView): Curve {
  const kind = text(data, 0, 4);
  if (kind === "curv") {
    const count = data.getUint32(8);
    if (count === 0) return (x) => x;
    if (count === 1) {
      const gamma = data.getUint16(12) / 256;
      return (x) => x ** gamma;
    }
    const values = Float64Array.from({ length: count }, (_, i) => data.getUint16(12 + 2 * i) / 65535);
    return (x) => {
      const at = x * (count - 1);
      const below = Math.min(Math.floor(at), count - 2);
      return values[below] + (values[below + 1] - values[below]) * (at - below);
    };
  }
  if (kind !== "para") throw new RangeError(`a curve of type ${kind}`);
  const form = data.getUint16(8);
  const parameters = [1, 3, 4, 5, 7][form];
  if (!parameters) throw new RangeError(`a parametric curve of form ${form}`);
  const [g, a = 1, b = 0, c = 0, d = 0, e = 0, f = 0] =
    Array.from({ length: parameters }, (_, i) => data.getInt32(12 + 4 * i) / 65536);
  switch (form) {
    case 0: return (x) => x ** g;
    case 1: return (x) => (x >= -b / a ? (a * x + b) ** g : 0);
    case 2: return (x) => (x >= -b / a ? (a * x + b) ** g + c : c);
    default: return (x) => (x >= d ? (a * x + b) ** g + e : c * x + f);
  }
}

/** Linear 0..1 to samples 0..255 (IEC 61966-2-1). */
function encode(linear: number): number {
  const x = Math.max(0, Math.min(1, linear));
  return 255 * (x <= 0.0031308 ? 12.92 * x : 1.055 * x ** (1 / 2.4) - 0.055);
}

function isIdentity(convert: (rgb: Float64Array) => void): boolean {
  const levels = [0, 32, 96, 160, 224, 255];
  for (const r of levels) {
    for (const g of levels) {
      for (const b of levels) {
        const rgb = Float64Array.of(r / 255, g / 255, b / 255);
        convert(rgb);
        if ([r, g, b].some((sample, c) => Math.abs(encode(rgb[c]) - sample) >= SAME)) return false;
      }
    }
  }
  return true;
}

function applyTo(samples: Uint8ClampedArray, convert: (rgb: Float64Array) => void, grey: boolean): void {
  const rgb = new Float64Array(3);
  if (grey) {
    const table = Uint8ClampedArray.from({ length: 256 }, (_, v) => {
      convert(rgb.fill(v / 255));
      return encode(rgb[0]);
    });
    for (let i = 0; i < samples.length; i += 4) samples[i] = samples[i + 1] = samples[i + 2] = table[samples[i]];
    return;
  }
  // The conversion is linear after a curve a channel: three tables of 256 hold all of it.
  const parts = [0, 1, 2].map((channel) => {
    const part = new Float64Array(256 * 3);
    const black = Float64Array.of(0, 0, 0);
    convert(black);
    for (let v = 0; v < 256; v++) {
      rgb.fill(0);
      rgb[channel] = v / 255;
      convert(rgb);
      for (let c = 0; c < 3; c++) part[v * 3 + c] = rgb[c] - (channel === 0 ? 0 : black[c]);
    }
    return part;
  });
  const [fromRed, fromGreen, fromBlue] = parts;
  const size = 8192; // steps of linear light: the steepest part of sRGB's curve takes 12.92 of 255 over 32 of them
  const encoded = Float32Array.from({ length: size + 2 }, (_, i) => encode(i / size));
  for (let i = 0; i < samples.length; i += 4) {
    const r = samples[i] * 3, g = samples[i + 1] * 3, b = samples[i + 2] * 3;
    for (let c = 0; c < 3; c++) {
      const linear = Math.max(0, Math.min(1, fromRed[r + c] + fromGreen[g + c] + fromBlue[b + c])) * size;
      const below = linear | 0;
      samples[i + c] = encoded[below] + (encoded[below + 1] - encoded[below]) * (linear - below);
    }
  }
}
