/** libwebp in WebAssembly, from jSquash: loaded when the first lossless file asks for it. */

import decode, { init } from "@jsquash/webp/decode.js";
import { AecError } from "./errors.js";
import { fetchBytes } from "./platform.js";

let compiling: Promise<WebAssembly.Module> | undefined;

/** What decodes a WebP file to `[height, width, 4]`, exactly as it is stored, whatever alpha is; it throws Error.
 *
 * It is for one file: each works in a memory of its own, so that nothing is left of one for the next.
 *
 * @param base folder of the built files.
 *
 * Throws AecError if it cannot be loaded.
 */
export async function loadWebp(base: URL): Promise<(file: ArrayBuffer) => Promise<ImageData>> {
  const address = new URL("webp/webp_dec.wasm", base);
  try {
    compiling ??= fetchBytes(address).then((bytes) => WebAssembly.compile(bytes));
    const module = await compiling;
    await init({
      instantiateWasm: (imports: WebAssembly.Imports, use: (instance: WebAssembly.Instance) => void) => {
        const instance = new WebAssembly.Instance(module, imports);
        use(instance);
        return instance.exports;
      },
      printErr: () => undefined, // what goes wrong is told by an error
    });
  } catch (error) {
    compiling = undefined; // it may be tried again
    throw new AecError(`the decoder of lossless files cannot be loaded from ${address} (${(error as Error).message}); ` +
      "serve the folder of the built files as it is");
  }
  return decode;
}
