// What mouse, fingers, pen and keys do on the photo: paint with the chosen tool, pan, and zoom.
const MIN_WIDTH = 2; // pixels of the canvas: such a disc covers most of a pixel wherever its centre is
const STEP = 10; // CSS pixels that an arrow key moves the brush
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Tools {
  constructor({ view, painting, ring, size, onPoint, say }) {
    Object.assign(this, { view, painting, ring, size, onPoint, say });
    this.tool = "brush";
    this.pointers = new Map(); // the position of each pointer that is down
    this.action = null; // what the pointers do: "paint", "pan", "pinch", or "none" until all are up
    this.start = null; // of a pinch: {distance, scale}
    this.held = false; // the space bar
    this.locked = false; // while a hole is filled, nothing is painted
    this.cursor = null; // the point of the photo where the brush is
    this.corner = null; // of a box, set by a key
    const { box } = view;
    box.addEventListener("pointerdown", (event) => this.down(event));
    box.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) box.addEventListener(end, (event) => this.up(event));
    box.addEventListener("pointerleave", () => { ring.hidden = true; });
    box.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    box.addEventListener("keydown", (event) => this.key(event));
    box.addEventListener("focus", () => this.showRing());
    box.addEventListener("blur", () => { ring.hidden = true; });
  }

  choose(tool) {
    this.tool = tool;
    this.corner = null;
    this.view.box.dataset.tool = tool;
    this.showRing();
  }

  reset() {
    this.cursor = [this.view.width / 2, this.view.height / 2];
    this.corner = null;
  }

  get erase() {
    return this.tool === "eraser";
  }

  down(event) {
    const { box } = this.view;
    const at = this.view.inside(event);
    this.pointers.set(event.pointerId, at);
    box.setPointerCapture(event.pointerId);
    box.focus({ preventScroll: true });
    if (event.button === 1) event.preventDefault(); // no scrolling by the middle button
    if (this.pointers.size === 2) {
      if (this.action === "paint") this.painting.drop(); // two fingers never paint
      this.action = "pinch";
      this.start = { distance: distance(...this.pointers.values()), scale: this.view.scale };
    } else if (this.pointers.size > 2 || event.button > 1) {
      this.action ??= "none";
    } else if (event.button === 1 || this.held || this.locked || this.tool === "move") {
      this.action = "pan";
    } else if (this.tool === "sources") {
      this.action = "none";
      this.onPoint(this.view.toPhoto(at));
    } else {
      this.action = "paint";
      this.begin(this.view.toPhoto(at));
    }
  }

  begin(point) {
    const { erase } = this;
    this.cursor = point;
    if (this.tool === "box") this.painting.add({ kind: "area", points: corners(point, point), erase, from: point });
    else if (this.tool === "lasso") this.painting.add({ kind: "area", points: [point], erase });
    else this.painting.add({ kind: "line", width: this.width, points: [point], erase });
  }

  // The size is in CSS pixels, so that zooming in gives a finer brush.
  get width() {
    return Math.max(this.size.valueAsNumber / this.view.scale, MIN_WIDTH);
  }

  move(event) {
    const at = this.view.inside(event);
    const before = this.pointers.get(event.pointerId);
    this.cursor = this.view.toPhoto(at);
    this.showRing();
    if (!before) return;
    if (this.action === "pan") this.view.pan(at[0] - before[0], at[1] - before[1]);
    if (this.action === "pinch") this.pinch(event.pointerId, at);
    if (this.action === "paint") {
      const events = event.getCoalescedEvents?.() ?? [];
      const points = (events.length ? events : [event]).map((one) => this.view.toPhoto(this.view.inside(one)));
      this.extend(points);
    }
    this.pointers.set(event.pointerId, at);
  }

  extend(points) {
    const { painting } = this;
    const step = painting.steps[painting.position - 1];
    if (step.from) step.points = corners(step.from, points.at(-1));
    else step.points.push(...points);
    if (step.kind === "line") painting.draw(step);
    else painting.changed();
  }

  pinch(moved, at) {
    const other = [...this.pointers].find(([id]) => id !== moved)?.[1];
    const before = this.pointers.get(moved);
    if (!other) return;
    this.view.pan((at[0] - before[0]) / 2, (at[1] - before[1]) / 2);
    const wanted = (this.start.scale * distance(at, other)) / Math.max(this.start.distance, 1);
    this.view.zoom(wanted / this.view.scale, (at[0] + other[0]) / 2, (at[1] + other[1]) / 2);
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    if (this.action === "paint") this.painting.changed();
    if (!this.pointers.size) this.action = null;
    else if (this.action !== "paint") this.action = "none";
    if (event.pointerType === "touch") this.ring.hidden = true;
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode ? 30 : 1;
    this.view.zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)), ...this.view.inside(event));
  }

  // Keys on the photo. The cursor moves over the photo, so a stroke can be painted without a pointer.
  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const arrow = ARROWS[event.key];
    if (!arrow && event.key !== "Enter") return;
    event.preventDefault();
    const { view } = this;
    const tool = this.locked ? "move" : this.tool;
    if (arrow) {
      const from = this.cursor;
      const step = STEP / view.scale;
      const within = (at, length) => Math.min(Math.max(at, 0), length);
      this.cursor = [within(from[0] + arrow[0] * step, view.width), within(from[1] + arrow[1] * step, view.height)];
      view.reveal(this.cursor);
      if (event.shiftKey && (tool === "brush" || tool === "eraser")) this.continueLine(from);
    } else if (tool === "box") {
      if (this.corner) this.painting.add({ kind: "area", points: corners(this.corner, this.cursor) });
      this.corner = this.corner ? null : this.cursor;
    } else if (tool === "sources") {
      this.onPoint(this.cursor);
    } else if (tool === "brush" || tool === "eraser") {
      this.begin(this.cursor);
    }
    this.showRing();
    this.say(`Column ${Math.round(this.cursor[0])}, row ${Math.round(this.cursor[1])}`);
  }

  // Continue the last line if it ends at `from`, so that one Undo removes all of it.
  continueLine(from) {
    const last = this.painting.done.at(-1);
    const continues = last?.kind === "line" && last.erase === this.erase && last.points.at(-1) === from;
    if (!continues) this.begin(from);
    this.extend([this.cursor]);
    this.painting.changed();
  }

  // Show the size of the brush where it is.
  showRing() {
    const paints = this.tool === "brush" || this.tool === "eraser";
    const isKeyboard = this.view.box.matches(":focus");
    this.ring.hidden = !this.cursor || (!paints && !isKeyboard);
    if (this.ring.hidden) return;
    const [x, y] = this.view.fromPhoto(this.cursor);
    const side = `${paints ? this.width * this.view.scale : 6}px`;
    Object.assign(this.ring.style, { left: `${x}px`, top: `${y}px`, width: side, height: side });
  }
}

function distance(a, b) {
  return Math.hypot(a[0] - b[0], a[1] - b[1]);
}

function corners([left, top], [right, bottom]) {
  return [[left, top], [right, top], [right, bottom], [left, bottom]];
}
