/** What the boxes behind the picture hold: alpha (`ALPH`), ICC profile (`ICCP`), EXIF (`exif`), XMP (`xmp_`) and an HDR
 * gain map (`gmap`). */

import { unfilter } from "./alpha.js";
import type { Box } from "./container.js";
import { CorruptFile } from "./errors.js";
import { MAX_METADATA } from "./format.js";
import { inflate } from "./zlib.js";

const METADATA = { ICCP: "icc", exif: "exif", xmp_: "xmp", gmap: "gainMap" } as const;

export const KNOWN_BOXES: ReadonlySet<string> = new Set(["ALPH", ...Object.keys(METADATA)]);

/** The contents of a file's boxes; what the file lacks is undefined. */
export interface Contents {
  /** `[height, width]`, 0 transparent to 255 opaque. */
  alpha?: Uint8Array;
  icc?: Uint8Array;
  exif?: Uint8Array;
  xmp?: Uint8Array;
  /** A JPEG file. */
  gainMap?: Uint8Array;
}

/** The contents of the boxes that are known. Throws CorruptFile if one does not hold what it should. */
export async function unpack(boxes: readonly Box[], width: number, height: number): Promise<Contents> {
  const contents: Contents = {};
  for (const { kind, data } of boxes) {
    if (kind === "ALPH") {
      const rows = await inflate(data, (width + 1) * height, "the transparency");
      if (rows.length !== (width + 1) * height) {
        throw new CorruptFile("the transparency has too few rows; the file is damaged");
      }
      contents.alpha = unfilter(rows, width, height);
    } else if (kind in METADATA) {
      contents[METADATA[kind as keyof typeof METADATA]] = await inflate(data, MAX_METADATA, `box ${kind}`);
    }
  }
  return contents;
}
