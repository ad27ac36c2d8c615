// npm start: serves what the build made, at http://localhost:8080/demo/.
//
//     node scripts/serve.mjs [PORT] [--not-isolated]
//
// Pages are cross-origin isolated, so that WebAssembly may use threads, unless told otherwise.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { createGzip } from "node:zlib";

const ROOT = fileURLToPath(new URL("../dist/", import.meta.url));
const TYPES = {
  ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8", ".json": "application/json", ".wasm": "application/wasm",
  ".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".avif": "image/avif", ".webp": "image/webp",
  ".aec": "image/x-aec", ".onnx": "application/octet-stream", ".safetensors": "application/octet-stream",
};
const COMPRESSED = new Set([".html", ".css", ".js", ".mjs", ".json", ".wasm", ".svg", ".onnx"]);
/** As strict as it may be: WebAssembly, and nothing from elsewhere. Workers obey their own, which comes with their script. */
const POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; " +
  "img-src 'self' blob:; style-src 'self'; base-uri 'none'; form-action 'none'";
const ISOLATION = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/** A server for the built files; `folders` are more of them by their path, such as `/files/`. */
export function makeServer({ isolated = true, folders = {} } = {}) {
  return createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    if (pathname === "/") {
      response.writeHead(302, { Location: "/demo/" }).end();
      return;
    }
    const path = locate(pathname.endsWith("/") ? `${pathname}index.html` : pathname, folders);
    const found = path && (await stat(path).catch(() => undefined));
    if (!found?.isFile()) {
      response.writeHead(404).end("not found");
      return;
    }
    const type = extname(path);
    const packed = COMPRESSED.has(type) && /\bgzip\b/.test(request.headers["accept-encoding"] ?? "");
    response.writeHead(200, {
      "Content-Type": TYPES[type] ?? "application/octet-stream", "Cache-Control": "no-cache",
      "X-Content-Type-Options": "nosniff", "Content-Security-Policy": POLICY, ...(isolated ? ISOLATION : {}),
      ...(packed ? { "Content-Encoding": "gzip" } : { "Content-Length": found.size }),
    });
    const stream = createReadStream(path);
    (packed ? stream.pipe(createGzip({ level: 6 })) : stream).pipe(response);
  });
}

/** The file at a path; undefined if that leads out of the folders. */
function locate(encoded, folders) {
  let pathname;
  try {
    pathname = decodeURIComponent(encoded);
  } catch {
    return undefined;
  }
  for (const [prefix, folder] of [...Object.entries(folders), ["/", ROOT]]) {
    if (!pathname.startsWith(prefix)) continue;
    const path = normalize(join(folder, pathname.slice(prefix.length)));
    return path.startsWith(normalize(folder)) ? path : undefined;
  }
  return undefined;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const isolated = !process.argv.includes("--not-isolated");
  const port = Number(process.argv.slice(2).find((argument) => !argument.startsWith("-")) ?? 8080);
  makeServer({ isolated }).listen(port, "localhost", () => console.log(`http://localhost:${port}/demo/`));
}
