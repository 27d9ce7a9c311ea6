// The page: opening a photo, the buttons, and the requests.
import { Refused, header, post } from "./api.js";
import { receive, save } from "./files.js";
import { Painting } from "./painting.js";
import { listen } from "./keys.js";
import { Keeper, Store } from "./store.js";
import { Tools } from "./tools.js";
import { View } from "./view.js";

const part = (id) => document.getElementById(id);
const tools = part("tools");
const BY_NAME = new Intl.Collator(undefined, { numeric: true }); // 2.jpg before 10.jpg
const info = await (await fetch("api/info")).json();
const store = await Store.open();
const keeper = new Keeper(store, part("kept"));
let works = []; // the open photos, each {file, steps, position, transparent, unsaved}, and once it is shown its size
let current = 0; // index of the one that is shown
let photo = null; // works[current]
let running = null; // the AbortController of the request that can be cancelled

const view = new View(part("view"), part("stack"), () => pointer.showRing());
const painting = new Painting(part("paint"), showState);
const pointer = new Tools({
  view, painting, ring: part("ring"), size: part("size"), onPoint: askSources,
  say: (text) => { part("spoken").textContent = text; },
});

function say(text, kind = "") {
  const message = part("message");
  message.setAttribute("role", kind === "error" ? "alert" : "status");
  message.className = kind;
  message.textContent = text;
}

// Run `work`, which gets an abort signal; show its error. Nothing else runs meanwhile.
async function run(text, work) {
  if (running) return;
  running = new AbortController();
  const started = Date.now();
  let waiting = "";
  const show = () => say(waiting || `${text} … ${Math.round((Date.now() - started) / 1000)} s`, "busy");
  const timer = setInterval(show, 500);
  show();
  showState();
  try {
    const onWait = (what) => { waiting = what; show(); };
    say((await work({ signal: running.signal, onWait })) ?? "");
  } catch (error) {
    if (running.signal.aborted) say("Cancelled.");
    else if (error instanceof Refused) say(error.message, "error");
    else throw error;
  } finally {
    clearInterval(timer);
    running = null;
    showState();
  }
}

function showState() {
  const { fill } = painting;
  pointer.locked = Boolean(running);
  part("undo").disabled = Boolean(running) || !painting.position;
  part("redo").disabled = Boolean(running) || painting.position === painting.steps.length;
  for (const id of ["fill", "invert", "clear", "save-mask", "discard"]) part(id).disabled = Boolean(running);
  part("download").disabled = Boolean(running) || !fill;
  part("original").disabled = !fill;
  part("cancel").hidden = !running;
  part("photos").hidden = works.length < 2;
  part("previous").disabled = Boolean(running) || current === 0;
  part("next").disabled = Boolean(running) || current + 1 >= works.length;
  part("place").textContent = `${current + 1} of ${works.length}: ${photo?.file.name}`;
  const model = info.models.find(({ name }) => name === part("model").value);
  part("sources").hidden = !fill || !model?.sources;
  showLayer(fill);
  keep();
}

function keep() {
  if (photo) keeper.keep(() => [works, current]);
}

// Show the pixels that are filled on the photo.
function showLayer(fill) {
  const layer = part("layer");
  layer.hidden = !fill;
  if (!fill) return;
  fill.url ??= URL.createObjectURL(fill.blob);
  if (layer.src === fill.url) return;
  const scale = painting.canvas.width / photo.width;
  const [left, top] = fill.at;
  Object.assign(layer.style, { left: `${left * scale}px`, top: `${top * scale}px` });
  layer.onload = () => {
    layer.style.width = `${layer.naturalWidth * scale}px`;
    layer.style.height = `${layer.naturalHeight * scale}px`;
  };
  layer.src = fill.url;
}

function mayLeave(question) {
  return !works.some(({ unsaved }) => unsaved) || confirm(`The repaired photo is not downloaded. ${question}`);
}

async function discard() {
  if (!mayLeave("Discard it?")) return;
  await keeper.discard();
  works = [];
  location.reload();
}

function checkSize(file) {
  if (file.size > info.max_upload) throw new Refused(`${file.name}: more than ${info.max_upload >> 20} MB; reduce it`, 400);
}

// Open photos in place of those that are open.
function open(files) {
  if (!mayLeave("Open others?")) return;
  const opened = [...files].sort((a, b) => BY_NAME.compare(a.name, b.name)).map((file) => ({ file, steps: [], position: 0, transparent: false, unsaved: false }));
  run("Opening", (options) => show(opened, 0, options));
}

// Show one of the photos, with its work, or one beside it if it cannot be opened. They are the open ones from now on.
// Return what could not be opened.
async function show(opened, index, options) {
  const remarks = [];
  for (;;) {
    try {
      await display(opened[index], options);
      break;
    } catch (error) {
      if (error.status !== 400 || opened.length === 1) throw error;
      remarks.push(`${error.message} (left out)`);
      opened = opened.toSpliced(index, 1);
      index = Math.min(index, opened.length - 1);
    }
  }
  for (const work of works.filter((one) => !opened.includes(one))) {
    for (const { url } of work.steps) if (url) URL.revokeObjectURL(url);
  }
  [works, current] = [opened, index];
  return remarks.join("; ");
}

function step(by) {
  run("Opening", (options) => show(works, current + by, options));
}

async function display(work, options) {
  checkSize(work.file);
  const response = await post("api/preview", { image: work.file }, options);
  const picture = part("picture");
  const url = URL.createObjectURL(await response.blob());
  URL.revokeObjectURL(picture.src);
  picture.src = url;
  await picture.decode();
  for (const step of work.steps) if (step.kind === "picture") step.image ??= await createImageBitmap(step.blob);
  [work.width, work.height] = header(response, "X-Size").split(",").map(Number);
  photo = work;
  part("transparency").hidden = header(response, "X-Transparent") !== "1";
  part("transparent").checked = work.transparent;
  part("maps").replaceChildren();
  part("editor").hidden = false;
  document.body.classList.add("opened");
  view.open(picture.naturalWidth, picture.naturalHeight);
  painting.open(picture.naturalWidth, picture.naturalHeight, work);
  pointer.reset();
}

// Return the fields of what was filled before.
function filledBefore(fill) {
  return { image: photo.file, layer: fill?.blob, layer_at: fill?.at.join() };
}

function fillHole() {
  run("Filling", async (options) => {
    const before = painting.fill;
    const transparent = photo.transparent || Boolean(before?.transparent);
    const strokes = await painting.strokes();
    const asked = { grow: part("grow").value, model: part("model").value, transparent: Number(transparent) };
    const started = Date.now();
    const response = await post("api/fill", { ...filledBefore(before), strokes, ...asked }, options);
    const blob = await response.blob();
    photo.unsaved = true;
    painting.add({ kind: "fill", blob, strokes, transparent, asked,
                   at: header(response, "X-Layer-At").split(",").map(Number) });
    part("maps").replaceChildren();
    const share = Number(header(response, "X-Share")) * 100;
    const seconds = ((Date.now() - started) / 1000).toFixed(1);
    return `Filled ${share.toPrecision(2)}% of the photo in ${seconds} s. Paint again to go on from this result.`;
  });
}

function download() {
  run("Encoding", async (options) => {
    const { fill } = painting;
    const asked = { ...filledBefore(fill), transparent: Number(fill.transparent) };
    const response = await post("api/repair", asked, options);
    const name = decodeURIComponent(response.headers.get("Content-Disposition").split("''")[1]);
    save(await response.blob(), name);
    photo.unsaved = false;
    return `Saved as ${name}.`;
  });
}

function addMask(file) {
  if (!photo) return;
  run("Reading the mask", async (options) => {
    checkSize(file);
    const asked = { mask: file, mask_means: part("white").value, size: `${photo.width},${photo.height}` };
    const response = await post("api/mask", asked, options);
    const blob = await response.blob();
    painting.add({ kind: "picture", blob, image: await createImageBitmap(blob), file });
    return header(response, "X-Remark");
  });
}

// Read the mask again after a change of what white means, if it was the last step.
function readAgain() {
  const last = painting.done.at(-1);
  if (last?.kind !== "picture") return;
  painting.drop();
  addMask(last.file);
}

async function saveMask() {
  const name = photo.file.name.replace(/\.[^.]*$/, "");
  save(await painting.mask(photo.width, photo.height), `${name}_mask.png`);
}

// Show which parts of the photo were used at a point of the hole that was filled last.
function askSources([x, y]) {
  const [before, fill] = [null, ...painting.done.filter(({ kind }) => kind === "fill")].slice(-2);
  run("Looking for the sources", async (options) => {
    const at = `${x / painting.canvas.width},${y / painting.canvas.height}`;
    const asked = { ...filledBefore(before), strokes: fill.strokes, ...fill.asked, result: fill.blob, result_at: fill.at.join(), at };
    const found = await (await post("api/sources", asked, options)).json();
    part("maps").replaceChildren(...found.map(({ title, picture }) => {
      const figure = document.createElement("figure");
      const image = Object.assign(document.createElement("img"), { src: picture, alt: `${title}: sources of the point` });
      figure.append(image, Object.assign(document.createElement("figcaption"), { textContent: title }));
      return figure;
    }));
  });
}

function choose(tool) {
  for (const radio of tools.querySelectorAll("input")) radio.checked = radio.value === tool;
  part("ask").setAttribute("aria-pressed", tool === "sources");
  pointer.choose(tool);
}

function showOriginal(shown) {
  part("stack").classList.toggle("original", shown && !part("original").disabled);
}

function clearHole() {
  painting.add({ kind: "clear" });
}

receive({ open, addMask });
window.addEventListener("beforeunload", (event) => {
  if (!keeper.kept && works.some(({ unsaved }) => unsaved)) event.preventDefault();
});

const actions = {
  fill: fillHole, download, invert: () => painting.add({ kind: "invert" }), clear: clearHole, "save-mask": saveMask,
  undo: () => painting.undo(), redo: () => painting.redo(), cancel: () => running?.abort(),
  "zoom-in": () => view.zoom(1.5), "zoom-out": () => view.zoom(1 / 1.5), "zoom-fit": () => view.fit(),
  ask: () => choose("sources"), discard, previous: () => step(-1), next: () => step(1),
};
for (const [id, act] of Object.entries(actions)) part(id).addEventListener("click", act);
tools.addEventListener("change", ({ target }) => choose(target.value));
part("transparent").addEventListener("change", ({ target }) => { photo.transparent = target.checked; keep(); });
part("white").addEventListener("change", readAgain);
part("model").addEventListener("change", showState);
part("size").addEventListener("input", () => pointer.showRing());
part("grow").addEventListener("input", ({ target }) => { part("grown").textContent = `${target.value} px`; });
for (const [event, shown] of [["pointerdown", true], ["pointerup", false], ["pointerleave", false], ["blur", false]]) {
  part("original").addEventListener(event, () => showOriginal(shown));
}
listen({ pointer, act: (id) => { if (!part(id).disabled && !part(id).hidden) actions[id](); }, choose, showOriginal,
         original: part("original"), size: part("size") });

part("about").textContent = `Loaded: ${info.models.map(({ description }) => description).join("; ")}. ${info.privacy}`;
part("model").replaceChildren(...info.models.map(({ name }) => new Option(name, name)));
part("models").hidden = info.models.length < 2;
Object.assign(part("grow"), { min: -info.max_growth, max: info.max_growth });
choose("brush");
showState();
const found = await store?.restore().catch(() => null);
if (found) {
  run("Opening", async (options) => {
    const remark = await show(found.works, found.current, options);
    return remark || "Your last work is open again. Discard removes it from this browser.";
  });
}
document.documentElement.dataset.ready = "";
