// The photo and what is painted over it. The server sends {photo, keep}; back goes {strokes}, a PNG of the photo's shown
// size in which what is painted is opaque. Each stroke is kept as its path, so that undo is drawing the others again.
const photo = element.querySelector("img");
const canvas = element.querySelector("canvas");
const size = element.querySelector("input");
const [undo, clear] = element.querySelectorAll("button");
const context = canvas.getContext("2d");
let strokes = [];
let current = null;

function draw(stroke) {
  context.lineWidth = stroke.width;
  context.beginPath();
  context.moveTo(...stroke.points[0]);
  for (const point of stroke.points) context.lineTo(...point);
  context.stroke();
}

function redraw() {
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = "#e6007e";
  strokes.forEach(draw);
  undo.disabled = clear.disabled = !strokes.length;
}

function report() {
  props.value = { strokes: strokes.length ? canvas.toDataURL("image/png") : null };
}

function show() {
  const sent = props.value;
  if (sent && "strokes" in sent) return;
  if (!sent?.photo) {
    element.querySelector(".brush").hidden = true;
    return;
  }
  photo.onload = () => {
    const same = canvas.width === photo.naturalWidth && canvas.height === photo.naturalHeight;
    if (!sent.keep || !same) strokes = [];
    canvas.width = photo.naturalWidth;
    canvas.height = photo.naturalHeight;
    element.querySelector(".brush").hidden = false;
    redraw();
    report();
  };
  photo.src = sent.photo;
}

// A stroke's width is in pixels of the screen, its points are in pixels of the canvas.
function place(event) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) * canvas.width) / box.width,
          ((event.clientY - box.top) * canvas.height) / box.height];
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button || current) return;
  canvas.setPointerCapture(event.pointerId);
  const scale = canvas.width / canvas.getBoundingClientRect().width;
  current = { pointer: event.pointerId, width: size.valueAsNumber * scale, points: [place(event)] };
  strokes.push(current);
  redraw();
});
canvas.addEventListener("pointermove", (event) => {
  if (event.pointerId !== current?.pointer) return;
  const events = event.getCoalescedEvents?.() ?? [];
  current.points.push(...(events.length ? events : [event]).map(place));
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

// The cursor is a circle of the brush's size.
function cursor() {
  const d = size.valueAsNumber;
  const ring = (r, colour) => `<circle cx="${d / 2 + 1}" cy="${d / 2 + 1}" r="${r}" fill="none" stroke="${colour}"/>`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${d + 2}" height="${d + 2}">`
    + `${ring(d / 2, "white")}${ring(d / 2 - 1, "black")}</svg>`;
  const url = `data:image/svg+xml,${encodeURIComponent(svg)}`;
  canvas.style.cursor = `url("${url}") ${d / 2 + 1} ${d / 2 + 1}, crosshair`;
}
size.addEventListener("input", cursor);
cursor();
watch("value", show);
show();
