// The page: opening a photo, the buttons, and the requests.
import { Refused, header, post } from "./api.js";
import { Painting } from "./painting.js";
import { listen } from "./keys.js";
import { Tools } from "./tools.js";
import { View } from "./view.js";

const part = (id) => document.getElementById(id);
const tools = part("tools");
const info = await (await fetch("api/info")).json();
let photo = null; // {file, width, height}: the original and its size
let running = null; // the AbortController of the request that can be cancelled
let unsaved = false;

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
  for (const id of ["fill", "invert", "clear", "save-mask"]) part(id).disabled = Boolean(running);
  part("download").disabled = Boolean(running) || !fill;
  part("original").disabled = !fill;
  part("cancel").hidden = !running;
  const model = info.models.find(({ name }) => name === part("model").value);
  part("sources").hidden = !fill || !model?.sources;
  showLayer(fill);
}

// Show the pixels that are filled on the photo.
function showLayer(fill) {
  const layer = part("layer");
  layer.hidden = !fill;
  if (!fill || layer.src === fill.url) return;
  const scale = painting.canvas.width / photo.width;
  const [left, top] = fill.at;
  Object.assign(layer.style, { left: `${left * scale}px`, top: `${top * scale}px` });
  layer.onload = () => {
    layer.style.width = `${layer.naturalWidth * scale}px`;
    layer.style.height = `${layer.naturalHeight * scale}px`;
  };
  layer.src = fill.url;
}

function isTooLarge(file) {
  if (file.size <= info.max_upload) return false;
  say(`${file.name}: more than ${info.max_upload >> 20} MB; reduce it`, "error");
  return true;
}

function open(file) {
  if (isTooLarge(file)) return;
  if (unsaved && !confirm("The repaired photo is not downloaded. Open another one?")) return;
  run("Opening", async (options) => {
    const response = await post("api/preview", { image: file }, options);
    const picture = part("picture");
    picture.src = URL.createObjectURL(await response.blob());
    await picture.decode();
    const [width, height] = header(response, "X-Size").split(",").map(Number);
    for (const { url } of painting.steps) if (url) URL.revokeObjectURL(url);
    photo = { file, width, height };
    unsaved = false;
    part("transparency").hidden = header(response, "X-Transparent") !== "1";
    part("transparent").checked = false;
    part("maps").replaceChildren();
    part("editor").hidden = false;
    document.body.classList.add("opened");
    view.open(picture.naturalWidth, picture.naturalHeight);
    painting.open(picture.naturalWidth, picture.naturalHeight);
    pointer.reset();
  });
}

// Return the fields of what was filled before.
function filledBefore(fill) {
  return { image: photo.file, layer: fill?.blob, layer_at: fill?.at.join() };
}

function fillHole() {
  run("Filling", async (options) => {
    const before = painting.fill;
    const transparent = part("transparent").checked || Boolean(before?.transparent);
    const asked = { ...filledBefore(before), strokes: await painting.strokes(), grow: part("grow").value,
                    model: part("model").value, transparent: Number(transparent) };
    const started = Date.now();
    const response = await post("api/fill", asked, options);
    const blob = await response.blob();
    painting.add({ kind: "fill", blob, url: URL.createObjectURL(blob), transparent, asked,
                   at: header(response, "X-Layer-At").split(",").map(Number) });
    unsaved = true;
    part("maps").replaceChildren();
    const share = Number(header(response, "X-Share")) * 100;
    const seconds = ((Date.now() - started) / 1000).toFixed(1);
    return `Filled ${share.toPrecision(2)}% of the photo in ${seconds} s. Paint again to go on from this result.`;
  });
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function download() {
  run("Encoding", async (options) => {
    const { fill } = painting;
    const asked = { ...filledBefore(fill), transparent: Number(fill.transparent) };
    const response = await post("api/repair", asked, options);
    const name = decodeURIComponent(response.headers.get("Content-Disposition").split("''")[1]);
    save(await response.blob(), name);
    unsaved = false;
    return `Saved as ${name}.`;
  });
}

function addMask(file) {
  if (!photo || isTooLarge(file)) return;
  run("Reading the mask", async (options) => {
    const asked = { mask: file, mask_means: part("white").value, size: `${photo.width},${photo.height}` };
    const response = await post("api/mask", asked, options);
    painting.add({ kind: "picture", image: await createImageBitmap(await response.blob()), file });
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
  const { fill } = painting;
  run("Looking for the sources", async (options) => {
    const at = `${x / painting.canvas.width},${y / painting.canvas.height}`;
    const asked = { ...fill.asked, result: fill.blob, result_at: fill.at.join(), at };
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

// Files from a file dialog, the clipboard, and dropped ones.
for (const [id, use] of [["photo", open], ["mask", addMask]]) {
  part(id).addEventListener("change", ({ target }) => {
    if (target.files.length) use(target.files[0]);
    target.value = ""; // so that the same file can be chosen again
  });
}
document.addEventListener("paste", ({ clipboardData }) => {
  if (clipboardData.files.length) open(clipboardData.files[0]);
});
document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
document.addEventListener("dragleave", ({ relatedTarget }) => {
  if (!relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const [file] = event.dataTransfer.files;
  if (file) (event.target.closest?.("#masks") && photo ? addMask : open)(file);
});
window.addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });

const actions = {
  fill: fillHole, download, invert: () => painting.add({ kind: "invert" }), clear: clearHole, "save-mask": saveMask,
  undo: () => painting.undo(), redo: () => painting.redo(), cancel: () => running?.abort(),
  "zoom-in": () => view.zoom(1.5), "zoom-out": () => view.zoom(1 / 1.5), "zoom-fit": () => view.fit(),
  ask: () => choose("sources"),
};
for (const [id, act] of Object.entries(actions)) part(id).addEventListener("click", act);
tools.addEventListener("change", ({ target }) => choose(target.value));
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
document.documentElement.dataset.ready = "";
