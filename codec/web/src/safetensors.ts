/** The safetensors file: tensors by name, as views of its memory. */

export type DType = "F32" | "F16" | "I8" | "U8" | "I16" | "U16" | "I32";
export type TensorData =
  Float32Array | Uint16Array | Int8Array | Uint8Array | Int16Array | Int32Array;

export interface Tensor {
  dtype: DType;
  shape: number[];
  /** The values; of F16 their bits. */
  data: TensorData;
  bytes: Uint8Array;
}

export interface Safetensors {
  metadata: Record<string, string>;
  tensors: Map<string, Tensor>;
}

const ARRAYS = {
  F32: Float32Array, F16: Uint16Array, I8: Int8Array, U8: Uint8Array, I16: Int16Array, U16: Uint16Array,
  I32: Int32Array,
};

/** Throws RangeError or SyntaxError if the bytes are no such file. */
export function readSafetensors(buffer: ArrayBuffer): Safetensors {
  if (buffer.byteLength < 8) throw new RangeError("too few bytes");
  const view = new DataView(buffer);
  const length = view.getUint32(0, true);
  if (view.getUint32(4, true) !== 0 || 8 + length > buffer.byteLength) throw new RangeError("the header is too long");
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const tensors = new Map<string, Tensor>();
  for (const [name, entry] of Object.entries<{ dtype: DType; shape: number[]; data_offsets: [number, number] }>(header)) {
    if (name === "__metadata__") continue;
    const type = ARRAYS[entry.dtype];
    const [start, end] = entry.data_offsets.map((offset) => 8 + length + offset);
    const count = entry.shape.reduce((product, side) => product * side, 1);
    if (!type || !(start <= end && end <= buffer.byteLength) || count * type.BYTES_PER_ELEMENT !== end - start) {
      throw new RangeError(`the entry of ${name} is wrong`);
    }
    // A view needs its bytes aligned; most writers see to it.
    const aligned = start % type.BYTES_PER_ELEMENT === 0;
    const data = aligned ? new type(buffer, start, count) : new type(buffer.slice(start, end));
    tensors.set(name, { dtype: entry.dtype, shape: entry.shape, data, bytes: new Uint8Array(buffer, start, end - start) });
  }
  return { metadata: header.__metadata__ ?? {}, tensors };
}

/** F16 or F32 as float32; a copy. */
export function toFloat32(tensor: Tensor): Float32Array {
  if (tensor.dtype !== "F16") return Float32Array.from(tensor.data);
  const out = new Float32Array(tensor.data.length);
  const table = halves();
  for (let i = 0; i < out.length; i++) out[i] = table[tensor.data[i]];
  return out;
}

let everyHalf: Float32Array | undefined;

/** `[65536]`: the value of every binary16. */
function halves(): Float32Array {
  if (everyHalf) return everyHalf;
  everyHalf = new Float32Array(1 << 16);
  for (let bits = 0; bits < 1 << 15; bits++) {
    const exponent = bits >> 10;
    const fraction = bits & 1023;
    const value = exponent === 0 ? fraction * 2 ** -24
      : exponent === 31 ? (fraction ? NaN : Infinity)
      : (1024 + fraction) * 2 ** (exponent - 25);
    everyHalf[bits] = value;
    everyHalf[bits | 0x8000] = -value;
  }
  return everyHalf;
}
