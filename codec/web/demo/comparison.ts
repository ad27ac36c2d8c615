/** Two pictures in one place, divided by a handle that pointer and keyboard move. */

export class Comparison {
  private width = 0;
  private magnification: number | undefined;

  constructor(private readonly view: HTMLElement, private readonly stage: HTMLElement,
    private readonly picture: HTMLCanvasElement, private readonly other: HTMLCanvasElement,
    private readonly handle: HTMLElement, private readonly slider: HTMLInputElement) {
    slider.addEventListener("input", () => this.split(Number(slider.value)));
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      slider.focus({ preventScroll: true });
      event.preventDefault();
    });
    handle.addEventListener("pointermove", (event) => {
      if (handle.hasPointerCapture(event.pointerId)) this.splitAt(event.clientX);
    });
    stage.addEventListener("click", (event) => {
      if (!handle.hidden && event.target !== handle) this.splitAt(event.clientX);
    });
  }

  /** The picture itself; one with transparency lies on a chequered ground. */
  show(image: ImageData, transparent: boolean): void {
    this.width = this.picture.width = image.width;
    this.picture.height = image.height;
    this.picture.getContext("2d")!.putImageData(image, 0, 0);
    this.stage.classList.toggle("checkered", transparent);
    this.zoom(this.magnification);
  }

  /** What lies right of the handle, of the same size; nothing, without one. */
  against(bitmap: ImageBitmap | undefined): void {
    for (const element of [this.other, this.handle, this.slider]) element.hidden = !bitmap;
    if (!bitmap) return;
    this.other.width = bitmap.width;
    this.other.height = bitmap.height;
    this.other.getContext("2d")!.drawImage(bitmap, 0, 0);
    bitmap.close();
  }

  /** So many of the screen's pixels for one of the picture's, or as many as fit. */
  zoom(times: number | undefined): void {
    const { view, stage } = this;
    const across = (view.scrollLeft + view.clientWidth / 2) / (view.scrollWidth || 1);
    const down = (view.scrollTop + view.clientHeight / 2) / (view.scrollHeight || 1);
    this.magnification = times;
    stage.style.width = times === undefined ? `min(100%, ${Math.max(this.width, 640)}px)`
      : `${(this.width * times) / devicePixelRatio}px`;
    stage.classList.toggle("magnified", times !== undefined && times > 1);
    view.tabIndex = times === undefined ? -1 : 0; // what does not fit, arrow keys scroll
    view.scrollLeft = across * view.scrollWidth - view.clientWidth / 2;
    view.scrollTop = down * view.scrollHeight - view.clientHeight / 2;
  }

  private splitAt(clientX: number): void {
    const { left, width } = this.stage.getBoundingClientRect();
    this.split(((clientX - left) / width) * 100);
  }

  private split(percent: number): void {
    const kept = Math.max(0, Math.min(100, percent));
    this.slider.value = String(kept);
    this.slider.setAttribute("aria-valuetext", `${Math.round(kept)} % aec`);
    this.stage.style.setProperty("--split", `${kept}%`);
  }
}
