// ICC profiles for the tests, byte by byte (ICC.1:2022, section 7).

const D50 = [0.9642, 1, 0.8249];

const s15 = (value) => {
  const out = Buffer.alloc(4);
  out.writeInt32BE(Math.round(value * 65536));
  return out;
};
const u32 = (value) => {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value);
  return out;
};
const u16 = (value) => Buffer.from([value >> 8, value & 255]);
const join = (...parts) => Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : part)));

export const xyz = (...values) => join("XYZ ", u32(0), ...values.map(s15));
export const gamma = (value) => join("curv", u32(0), u32(1), u16(Math.round(value * 256)));
export const table = (values) => join("curv", u32(0), u32(values.length), ...values.map((v) => u16(Math.round(v * 65535))));
export const parametric = (form, ...values) => join("para", u32(0), u16(form), u16(0), ...values.map(s15));
export const name = (text) => join("desc", u32(0), u32(text.length + 1), text, Buffer.alloc(79));

/** A profile of a colour space such as `RGB `, with tags by their names. */
export function profile(space, tags) {
  const entries = Object.entries(tags);
  const parts = [];
  let at = 132 + 12 * entries.length;
  const index = entries.map(([tag, data]) => {
    const padded = join(data, Buffer.alloc((4 - (data.length % 4)) % 4));
    parts.push(padded);
    const entry = join(tag, u32(at), u32(data.length));
    at += padded.length;
    return entry;
  });
  const head = join(u32(at), Buffer.alloc(4), u32(0x02400000), "mntr", space, "XYZ ", Buffer.alloc(12), "acsp",
    Buffer.alloc(28), ...D50.map(s15), Buffer.alloc(48));
  return join(head, u32(entries.length), ...index, ...parts);
}

const SRGB_CURVE = parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045);
const rgb = (text, colorants, curve) => profile("RGB ", {
  desc: name(text), rXYZ: xyz(...colorants[0]), gXYZ: xyz(...colorants[1]), bXYZ: xyz(...colorants[2]),
  rTRC: curve, gTRC: curve, bTRC: curve,
});

export const SRGB = rgb("sRGB",
  [[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.7141]], SRGB_CURVE);
export const DISPLAY_P3 = rgb("Display P3",
  [[0.51512, 0.2412, -0.00105], [0.29198, 0.69225, 0.04189], [0.1571, 0.06657, 0.78407]], SRGB_CURVE);
export const ADOBE_RGB = rgb("Adobe RGB (1998)",
  [[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74457]], gamma(2.19921875));
export const GREY_GAMMA = profile("GRAY", { desc: name("Grey gamma 1.8"), wtpt: xyz(...D50), kTRC: gamma(1.8) });
export const GREY_TABLE = profile("GRAY", {
  desc: name("Grey table"), wtpt: xyz(...D50), kTRC: table([0, 0.02, 0.1, 0.3, 0.55, 0.8, 1]),
});
