/** `<aec-img src="x.aec" alt="...">`: a picture as an element of its own. Importing this defines it.
 *
 * It behaves as `<img>` does: `src`, `alt`, `loading="lazy"`, `naturalWidth`, `naturalHeight`, `complete`, `decode()`, and
 * the events `load` and `error`, whose `error` says why. It is as large as its picture, or as CSS makes it; then
 * `object-fit` says how the picture fills it.
 */

import { decode } from "./index.js";

const STYLE = `
:host { display: inline-block; max-width: 100%; vertical-align: bottom; }
:host([hidden]) { display: none; }
canvas { display: block; width: 100%; height: 100%; object-fit: inherit; object-position: inherit; }
canvas[hidden] { display: none; }
`;

export class AecImage extends HTMLElement {
  static readonly observedAttributes = ["src", "alt"];

  private readonly canvas = document.createElement("canvas");
  private readonly caption = document.createElement("span");
  private loading: AbortController | undefined;
  private ready: Promise<void> = Promise.resolve();
  private observer: IntersectionObserver | undefined;

  constructor() {
    super();
    const style = new CSSStyleSheet();
    style.replaceSync(STYLE);
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [style];
    this.canvas.hidden = true;
    this.canvas.width = this.canvas.height = 0;
    this.caption.hidden = true;
    root.append(this.canvas, this.caption);
  }

  get src(): string {
    return this.getAttribute("src") ?? "";
  }

  set src(address: string) {
    this.setAttribute("src", address);
  }

  get alt(): string {
    return this.getAttribute("alt") ?? "";
  }

  set alt(text: string) {
    this.setAttribute("alt", text);
  }

  /** Of the picture, in pixels; 0 until it is there. */
  get naturalWidth(): number {
    return this.canvas.width;
  }

  get naturalHeight(): number {
    return this.canvas.height;
  }

  /** Whether there is nothing more to wait for. */
  get complete(): boolean {
    return this.loading === undefined;
  }

  /** Settles when the picture is there, or cannot be. */
  decode(): Promise<void> {
    return this.ready;
  }

  connectedCallback(): void {
    this.describe();
    if (this.src && this.complete && this.canvas.hidden) this.start();
  }

  disconnectedCallback(): void {
    this.stop();
  }

  attributeChangedCallback(name: string): void {
    if (name === "alt") this.describe();
    else if (this.isConnected) this.start();
  }

  private describe(): void {
    this.caption.textContent = this.alt;
    if (this.hasAttribute("alt") && this.alt === "") this.setAttribute("role", "presentation");
    else this.setAttribute("role", "img");
    this.setAttribute("aria-label", this.alt);
  }

  private stop(): void {
    this.loading?.abort();
    this.loading = undefined;
    this.observer?.disconnect();
  }

  private start(): void {
    this.stop();
    const loading = (this.loading = new AbortController());
    this.ready = this.load(loading.signal).then(() => this.finish(loading, "load"), (error: unknown) => {
      if (loading.signal.aborted) return;
      this.canvas.hidden = true;
      this.caption.hidden = false; // as `<img>` shows its text
      this.finish(loading, "error", error);
      throw error;
    });
    this.ready.catch(() => undefined); // told by the event
  }

  private finish(loading: AbortController, kind: "load" | "error", error?: unknown): void {
    if (this.loading !== loading) return;
    this.loading = undefined;
    const message = error instanceof Error ? error.message : String(error ?? "");
    this.dispatchEvent(kind === "load" ? new Event("load") : new ErrorEvent("error", { error, message }));
  }

  private async load(signal: AbortSignal): Promise<void> {
    if (this.getAttribute("loading") === "lazy") await this.nearby(signal);
    if (!this.src) throw new Error("there is no src");
    const response = await fetch(new URL(this.src, document.baseURI), { signal });
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`.trim());
    const image = await decode(await response.arrayBuffer(), { signal });
    this.canvas.width = image.width;
    this.canvas.height = image.height;
    this.canvas.getContext("2d")!.putImageData(image, 0, 0);
    this.canvas.hidden = false;
    this.caption.hidden = true;
  }

  /** Settles when the element comes near the part of the page that is seen. */
  private nearby(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      this.observer = new IntersectionObserver((entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        this.observer?.disconnect();
        resolve();
      }, { rootMargin: "50%" });
      this.observer.observe(this);
    });
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "aec-img": AecImage;
  }
}

if (!customElements.get("aec-img")) customElements.define("aec-img", AecImage);
