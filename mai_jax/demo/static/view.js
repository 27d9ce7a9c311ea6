// The part of the photo that is visible: zoom and position. Lengths of the view are in CSS pixels, those of the photo
// in pixels of the canvas.
const MAX_SCALE = 16; // CSS pixels per pixel

export class View {
  constructor(box, stack, onChange) {
    Object.assign(this, { box, stack, onChange, width: 1, height: 1, scale: 1, x: 0, y: 0, fitted: true });
    new ResizeObserver(() => (this.fitted ? this.fit() : this.place())).observe(box);
  }

  open(width, height) {
    Object.assign(this, { width, height });
    Object.assign(this.stack.style, { width: `${width}px`, height: `${height}px` });
    this.box.style.aspectRatio = `${width} / ${height}`;
    this.fit();
  }

  get smallest() {
    return Math.min(this.box.clientWidth / this.width, this.box.clientHeight / this.height);
  }

  fit() {
    this.scale = this.smallest;
    this.fitted = true;
    this.place();
  }

  // Keep the photo inside the view, or in its middle where it is smaller, and show it.
  place() {
    const within = (at, length, visible) =>
      length <= visible ? (visible - length) / 2 : Math.min(0, Math.max(visible - length, at));
    this.x = within(this.x, this.width * this.scale, this.box.clientWidth);
    this.y = within(this.y, this.height * this.scale, this.box.clientHeight);
    this.stack.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.stack.classList.toggle("near", this.scale > 3);
    this.onChange();
  }

  // Zoom; the point of the photo below (x, y) of the view, by default its middle, stays there.
  zoom(factor, x = this.box.clientWidth / 2, y = this.box.clientHeight / 2) {
    const smallest = this.smallest;
    const scale = Math.min(Math.max(this.scale * factor, smallest), Math.max(MAX_SCALE, smallest));
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.fitted = scale === smallest;
    this.place();
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.place();
  }

  // Return the position of a pointer in the view.
  inside(event) {
    const box = this.box.getBoundingClientRect();
    return [event.clientX - box.left - this.box.clientLeft, event.clientY - box.top - this.box.clientTop];
  }

  // Return the point of the photo below a position of the view, and the reverse.
  toPhoto([x, y]) {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }

  fromPhoto([x, y]) {
    return [x * this.scale + this.x, y * this.scale + this.y];
  }

  // Pan so that a point of the photo is visible.
  reveal(point) {
    const [x, y] = this.fromPhoto(point);
    const margin = 24;
    const missing = (at, visible) => Math.max(margin - at, 0) - Math.max(at - visible + margin, 0);
    this.pan(missing(x, this.box.clientWidth), missing(y, this.box.clientHeight));
  }
}
