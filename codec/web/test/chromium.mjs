// Headless Chromium for the tests, on pages that this process serves.

import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { makeServer } from "../scripts/serve.mjs";
import { exists } from "./files.mjs";

const CANDIDATES = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
/** The last ones give it a GPU that the CPU plays (SwiftShader). */
const FLAGS = [
  "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
  "--disable-sync", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--use-vulkan=swiftshader",
  "--enable-features=Vulkan", "--enable-unsafe-swiftshader",
];

const PATIENCE = 120_000; // milliseconds: a busy machine is no failure

/** Where Chromium is; undefined if it is not installed. */
export const CHROMIUM = CANDIDATES.find((path) => path && exists(path));

/** A browser and servers; `end()` closes both. */
export class Browser {
  static async start() {
    const made = new Browser();
    made.servers = [];
    made.context = await chromium.launchPersistentContext(mkdtempSync(join(tmpdir(), "aecodec-")), {
      executablePath: CHROMIUM, headless: true, args: FLAGS,
    });
    made.context.setDefaultTimeout(PATIENCE);
    return made;
  }

  /** The address of a server with the options of `makeServer`. */
  async serve(options) {
    const server = makeServer(options);
    await new Promise((resolve) => server.listen(0, "localhost", resolve));
    this.servers.push(server);
    return `http://localhost:${server.address().port}`;
  }

  page() {
    return this.context.newPage();
  }

  async end() {
    await this.context.close();
    for (const server of this.servers) {
      server.closeAllConnections();
      server.close();
    }
  }
}
