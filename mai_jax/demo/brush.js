// The photo and the brush strokes on it. The server sends {photo, keep}; the page returns {strokes}, a PNG of the
// displayed size in which the strokes are opaque. Each stroke is stored as a path, so that undo draws the others again.
const photo = element.querySelector("img");
const canvas = element.querySelector("canvas");
const size = element.querySelector("input");
const [undo, clear] = element.querySelectorAll("button");
const context = canvas.getContext("2d");
const MIN_WIDTH = 2; // pixels of the canvas
let strokes = [];
let current = null;

function draw(stroke) {
  // A dot at the start: a click has no other point, and browsers need not draw a line of no length.
  context.beginPath();
  context.arc(...stroke.points[0], stroke.width / 2, 0, 2 * Math.PI);
  context.fill();
  context.lineWidth = stroke.width;
  context.beginPath();
  context.moveTo(...stroke.points[0]);
  for (const point of stroke.points) context.lineTo(...point);
  context.stroke();
}

function redraw() {
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = context.fillStyle = "#e6007e";
  strokes.forEach(draw);
  undo.disabled = clear.disabled = !strokes.length;
}

function report() {
  props.value = { strokes: strokes.length ? canvas.toDataURL("image/png") : null };
}

function show() {
  const received = props.value;
  if (received && "strokes" in received) return;
  if (!received?.photo) {
    element.querySelector(".brush").hidden = true;
    return;
  }
  photo.onload = () => {
    const same = canvas.width === photo.naturalWidth && canvas.height === photo.naturalHeight;
    if (!received.keep || !same) strokes = [];
    canvas.width = photo.naturalWidth;
    canvas.height = photo.naturalHeight;
    element.querySelector(".brush").hidden = false;
    redraw();
    report();
  };
  photo.src = received.photo;
}

// Return the position of the pointer in pixels of the canvas.
function position(event) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) * canvas.width) / box.width,
          ((event.clientY - box.top) * canvas.height) / box.height];
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button || current) return;
  canvas.setPointerCapture(event.pointerId);
  // The slider is in pixels of the screen, the stroke in pixels of the canvas. A disc of MIN_WIDTH covers most of at
  // least one pixel wherever its centre is, so that no stroke is without a hole.
  const scale = canvas.width / canvas.getBoundingClientRect().width;
  const width = Math.max(size.valueAsNumber * scale, MIN_WIDTH);
  current = { pointer: event.pointerId, width, points: [position(event)] };
  strokes.push(current);
  redraw();
});
canvas.addEventListener("pointermove", (event) => {
  if (event.pointerId !== current?.pointer) return;
  const events = event.getCoalescedEvents?.() ?? [];
  current.points.push(...(events.length ? events : [event]).map(position));
  draw(current);
});
for (const end of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(end, (event) => {
    if (event.pointerId !== current?.pointer) return;
    current = null;
    report();
  });
}
undo.addEventListener("click", () => { strokes.pop(); redraw(); report(); });
clear.addEventListener("click", () => { strokes = []; redraw(); report(); });

// Show the cursor as a circle of the size of the brush.
function updateCursor() {
  const d = size.valueAsNumber;
  const ring = (r, colour) => `<circle cx="${d / 2 + 1}" cy="${d / 2 + 1}" r="${r}" fill="none" stroke="${colour}"/>`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${d + 2}" height="${d + 2}">`
    + `${ring(d / 2, "white")}${ring(d / 2 - 1, "black")}</svg>`;
  const url = `data:image/svg+xml,${encodeURIComponent(svg)}`;
  canvas.style.cursor = `url("${url}") ${d / 2 + 1} ${d / 2 + 1}, crosshair`;
}
size.addEventListener("input", updateCursor);
updateCursor();
watch("value", show);
show();
