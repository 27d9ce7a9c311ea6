// Files in and out: a file dialog, the clipboard, dropped ones, and downloads.

// Call `open` with photos, and `addMask` with a mask file.
export function receive({ open, addMask }) {
  for (const [id, use] of [["photo", open], ["mask", ([file]) => addMask(file)]]) {
    document.getElementById(id).addEventListener("change", ({ target }) => {
      if (target.files.length) use([...target.files]);
      target.value = ""; // so that the same file can be chosen again
    });
  }
  document.addEventListener("paste", ({ clipboardData }) => {
    if (clipboardData.files.length) open(clipboardData.files);
  });
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const { files } = event.dataTransfer;
    if (event.target.closest?.("#masks") && files.length) addMask(files[0]);
    else if (files.length) open(files);
  });
}

// Download a file.
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
