// The hole as a list of steps on the canvas, so that each can be undone: every step is drawn again.
//
// A step is {kind: "line", width, points, erase}, {kind: "area", points, erase}, {kind: "picture", image, ...},
// {kind: "invert"}, {kind: "clear"}, or {kind: "fill", blob, ...}: a filled hole, after which the canvas is empty.
const COLOUR = "#e6007e";

export class Painting {
  constructor(canvas, onChange) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.onChange = onChange;
    this.work = { steps: [], position: 0 }; // of one photo; `position` is the number of steps that are not undone
  }

  // Go on with the work on a photo of that size.
  open(width, height, work) {
    Object.assign(this.canvas, { width, height });
    this.work = work;
    this.changed();
  }

  get steps() {
    return this.work.steps;
  }

  get position() {
    return this.work.position;
  }

  set position(count) {
    this.work.position = count;
  }

  get done() {
    return this.steps.slice(0, this.position);
  }

  // The last filled hole that is not undone.
  get fill() {
    return this.done.findLast((step) => step.kind === "fill") ?? null;
  }

  add(step) {
    this.steps.length = this.position;
    this.steps.push(step);
    this.position += 1;
    this.changed();
  }

  // Remove the last step, which is not to be done again.
  drop() {
    this.position -= 1;
    this.steps.length = this.position;
    this.changed();
  }

  undo() {
    if (this.position) this.position -= 1;
    this.changed();
  }

  redo() {
    if (this.position < this.steps.length) this.position += 1;
    this.changed();
  }

  // Draw the steps since the hole was empty.
  changed() {
    const done = this.done;
    const from = done.findLastIndex((step) => step.kind === "fill" || step.kind === "clear");
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    done.slice(from + 1).forEach((step) => this.draw(step));
    this.onChange();
  }

  draw(step) {
    const { context } = this;
    context.lineCap = context.lineJoin = "round";
    context.strokeStyle = context.fillStyle = COLOUR;
    context.globalCompositeOperation = step.erase ? "destination-out" : "source-over";
    if (step.kind === "line") {
      // A dot at the start: a click has no other point, and browsers need not draw a line of no length.
      context.beginPath();
      context.arc(...step.points[0], step.width / 2, 0, 2 * Math.PI);
      context.fill();
      context.lineWidth = step.width;
      this.trace(step.points);
      context.stroke();
    } else if (step.kind === "area") {
      this.trace(step.points);
      context.fill();
    } else if (step.kind === "picture") {
      context.drawImage(step.image, 0, 0);
    } else if (step.kind === "invert") {
      context.globalCompositeOperation = "source-out";
      context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    }
  }

  trace(points) {
    this.context.beginPath();
    this.context.moveTo(...points[0]);
    for (const point of points) this.context.lineTo(...point);
  }

  // Return a PNG in which the hole is opaque.
  strokes() {
    return new Promise((resolve) => this.canvas.toBlob(resolve, "image/png"));
  }

  // Return a PNG of that size, white in the hole and black elsewhere.
  mask(width, height) {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(this.canvas, 0, 0, width, height);
    const pixels = context.getImageData(0, 0, width, height);
    const values = new Uint32Array(pixels.data.buffer); // alpha is the highest byte
    values.forEach((value, i) => { values[i] = value >>> 31 ? 0xffffffff : 0xff000000; });
    context.putImageData(pixels, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }
}
