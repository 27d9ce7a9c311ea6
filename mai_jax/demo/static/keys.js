// Keys that work anywhere on the page, unless a control uses them.
const TOOLS = { b: "brush", e: "eraser", r: "box", l: "lasso", m: "move" };
const ZOOM = { "+": "zoom-in", "=": "zoom-in", "-": "zoom-out", 0: "zoom-fit" };
const PHOTOS = { p: "previous", n: "next" };
const FACTOR = 1.2; // of the brush size, by one key

export function listen({ pointer, act, choose, showOriginal, original, size }) {
  const resize = (up) => {
    const value = size.valueAsNumber;
    size.value = up ? Math.max(value * FACTOR, value + 1) : Math.min(value / FACTOR, value - 1);
    pointer.showRing();
  };
  const isTyping = ({ target }) => target.matches?.("select, textarea, input:not([type=range], [type=radio], [type=file])");
  // Space and Enter press a button that has the focus.
  const isPressing = ({ target }) => target.closest?.("button, summary, label, input, select");

  document.addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    if (event.ctrlKey || event.metaKey) {
      if (key !== "z" && key !== "y") return;
      event.preventDefault();
      if (pointer.action !== "paint") act(key === "y" || event.shiftKey ? "redo" : "undo");
      return;
    }
    if (isTyping(event) || event.altKey) return;
    if (event.target === original && (key === " " || key === "enter")) showOriginal(true);
    else if (key === " " && !isPressing(event)) {
      event.preventDefault();
      pointer.held = true;
    } else if (key === "[" || key === "]") resize(key === "]");
    else if (key === "o") showOriginal(true);
    else if (key === "escape") act("cancel");
    else if (ZOOM[key] ?? PHOTOS[key]) act(ZOOM[key] ?? PHOTOS[key]);
    else if (TOOLS[key]) choose(TOOLS[key]);
  });
  document.addEventListener("keyup", (event) => {
    if (event.key === " ") pointer.held = false;
    if ([" ", "Enter", "o", "O"].includes(event.key)) showOriginal(false);
  });
  window.addEventListener("blur", () => { pointer.held = false; showOriginal(false); });
}
