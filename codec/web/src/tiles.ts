/** Large pictures in tiles, each computed with a margin that its neighbours share: then every value comes out as in the
 * whole picture, and memory does not grow with it. */

/** Latent rows and columns; `core` is what a tile is for, `outer` what it is computed from. */
export interface Tile {
  core: Rectangle;
  outer: Rectangle;
}

export interface Rectangle {
  top: number;
  left: number;
  bottom: number;
  right: number;
}

const ALIGNMENT = 4; // whole hyper-latents, and whole 2x2 lattices

/** Tiles of about equal size.
 *
 * @param most largest side of a core, a multiple of 4.
 * @param halo width of the margin, a multiple of 4.
 */
export function tiles(height: number, width: number, most: number, halo: number): Tile[] {
  const out: Tile[] = [];
  for (const [top, bottom] of spans(height, most)) {
    for (const [left, right] of spans(width, most)) {
      out.push({
        core: { top, left, bottom, right },
        outer: {
          top: Math.max(top - halo, 0), left: Math.max(left - halo, 0),
          bottom: Math.min(bottom + halo, height), right: Math.min(right + halo, width),
        },
      });
    }
  }
  return out;
}

function spans(length: number, most: number): [number, number][] {
  const count = Math.ceil(length / most);
  const size = Math.ceil(length / count / ALIGNMENT) * ALIGNMENT;
  const out: [number, number][] = [];
  for (let start = 0; start < length; start += size) out.push([start, Math.min(start + size, length)]);
  return out;
}

/** Copy a rectangle of planes `[channels, height, width]` as float32 `[channels, rows, columns]`. */
export function cut(planes: Int16Array | Float32Array, channels: number, height: number, width: number,
  { top, left, bottom, right }: Rectangle): Float32Array {
  const rows = bottom - top;
  const columns = right - left;
  const out = new Float32Array(channels * rows * columns);
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < rows; y++) {
      const from = (c * height + top + y) * width + left;
      out.set(planes.subarray(from, from + columns), (c * rows + y) * columns);
    }
  }
  return out;
}

/** Copy the core out of a tile's planes `[channels, outer rows, outer columns]` into `[channels, height, width]`. */
export function paste(tile: Float32Array, { core, outer }: Tile, planes: Float32Array, channels: number,
  height: number, width: number): void {
  const rows = outer.bottom - outer.top;
  const columns = outer.right - outer.left;
  const length = core.right - core.left;
  for (let c = 0; c < channels; c++) {
    for (let y = core.top; y < core.bottom; y++) {
      const from = (c * rows + y - outer.top) * columns + core.left - outer.left;
      planes.set(tile.subarray(from, from + length), (c * height + y) * width + core.left);
    }
  }
}
