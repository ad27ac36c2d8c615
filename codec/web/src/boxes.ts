/** What the boxes behind the picture hold: alpha (`ALPH`), ICC profile (`ICCP`), EXIF (`exif`) and XMP (`xmp_`). */

import { unfilter } from "./alpha.js";
import type { Box } from "./container.js";
import { CorruptFile } from "./errors.js";
import { MAX_METADATA } from "./format.js";
import { inflate } from "./zlib.js";

export const KNOWN_BOXES: ReadonlySet<string> = new Set(["ALPH", "ICCP", "exif", "xmp_"]);

/** The contents of a file's boxes; what the file lacks is undefined. */
export interface Contents {
  /** `[height, width]`, 0 transparent to 255 opaque. */
  alpha?: Uint8Array;
  icc?: Uint8Array;
  exif?: Uint8Array;
  xmp?: Uint8Array;
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
    } else if (kind === "ICCP") {
      contents.icc = await inflate(data, MAX_METADATA, "box ICCP");
    } else if (kind === "exif") {
      contents.exif = await inflate(data, MAX_METADATA, "box exif");
    } else if (kind === "xmp_") {
      contents.xmp = await inflate(data, MAX_METADATA, "box xmp_");
    }
  }
  return contents;
}
