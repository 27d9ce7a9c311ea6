// The work of a tab in the browser's IndexedDB, so that a reload finds it again.
//
// Store "tabs" has one record for each tab: {id, saved, current, works}. Blobs are in the store "blobs", each written
// once, with the keys "TAB/NAME"; the works have the keys in their place.
const WEEK = 7 * 24 * 3600 * 1000; // milliseconds that the work of a closed tab is kept
const DELAY = 200; // milliseconds
const KEPT = "Kept in this browser, so that you can close or reload the page.";
const BLOBS = ["file", "blob", "strokes"]; // fields of works and of their steps
const STORES = ["tabs", "blobs"];

const random = () => crypto.getRandomValues(new Uint32Array(2)).join("");
const blobsOf = (tab) => IDBKeyRange.bound(`${tab}/`, `${tab}0`); // "0" comes after "/"

export class Store {
  // Return the store of this tab; null if the browser has none, as for some private windows.
  static async open() {
    try {
      const opening = indexedDB.open("repair", 1);
      opening.onupgradeneeded = () => {
        opening.result.createObjectStore("tabs", { keyPath: "id" });
        opening.result.createObjectStore("blobs");
      };
      const store = new Store();
      store.database = await result(opening);
      await store.choose();
      return store;
    } catch {
      return null;
    }
  }

  constructor() {
    this.keys = new WeakMap(); // of the blobs that are stored
  }

  // Choose whose work this tab goes on with: its own, else the latest of a closed tab. Remove what is old.
  async choose() {
    const records = await result(this.database.transaction("tabs").objectStore("tabs").getAll());
    const lost = navigator.locks ? await this.closed(records) : [];
    this.tab = sessionStorage.tab ?? lost.at(-1)?.id ?? random();
    sessionStorage.tab = this.tab;
    navigator.locks?.request(this.tab, () => new Promise(() => {})); // held as long as the tab is open
    for (const { id, saved } of records) if (id !== this.tab && saved < Date.now() - WEEK) await this.remove(id);
  }

  // Return the records of tabs that are not open, the latest last.
  async closed(records) {
    const { held } = await navigator.locks.query();
    const open = new Set(held.map(({ name }) => name));
    return records.filter(({ id }) => !open.has(id)).sort((a, b) => a.saved - b.saved);
  }

  // Return {works, current} of this tab, or undefined.
  async restore() {
    const stores = this.database.transaction(STORES);
    const record = await result(stores.objectStore("tabs").get(this.tab));
    if (!record) return undefined;
    const parts = record.works.flatMap((work) => [work, ...work.steps]);
    const names = parts.flatMap((part) => BLOBS.filter((name) => part[name]).map((name) => [part, name]));
    const found = await Promise.all(names.map(([part, name]) => result(stores.objectStore("blobs").get(part[name]))));
    names.forEach(([part, name], i) => {
      this.keys.set(found[i], part[name]);
      part[name] = found[i];
    });
    return record;
  }

  // Replace the stored work of this tab.
  async save(works, current) {
    const used = new Set();
    const added = [];
    const pack = (part) => {
      const packed = { ...part };
      for (const name of BLOBS.filter((name) => part[name])) {
        if (!this.keys.has(part[name])) {
          added.push([part[name], `${this.tab}/${random()}`]);
          this.keys.set(...added.at(-1));
        }
        packed[name] = this.keys.get(part[name]);
        used.add(packed[name]);
      }
      delete packed.url; // of this page only
      delete packed.image;
      return packed;
    };
    const packed = works.map((work) => ({ ...pack(work), steps: work.steps.map(pack) }));
    try {
      await this.write((tabs, blobs) => {
        for (const [blob, key] of added) blobs.put(blob, key);
        tabs.put({ id: this.tab, saved: Date.now(), current, works: packed });
        blobs.getAllKeys(blobsOf(this.tab)).onsuccess = ({ target }) => {
          for (const key of target.result) if (!used.has(key)) blobs.delete(key);
        };
      });
    } catch (error) {
      for (const [blob] of added) this.keys.delete(blob);
      throw error;
    }
  }

  remove(tab = this.tab) {
    return this.write((tabs, blobs) => {
      tabs.delete(tab);
      blobs.delete(blobsOf(tab));
    });
  }

  // Call `change` with the stores; all its changes are made, or none.
  write(change) {
    return new Promise((resolve, reject) => {
      const transaction = this.database.transaction(STORES, "readwrite");
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
      change(transaction.objectStore("tabs"), transaction.objectStore("blobs"));
    });
  }
}

// Writes the work of a tab to the store a moment after each change, and shows in `note` whether it is kept.
export class Keeper {
  constructor(store, note) {
    Object.assign(this, { store, note });
    this.kept = false; // whether the store has the work as it is
    this.timer = null; // of the next writing
    this.writing = Promise.resolve(); // the last writing
  }

  // `state` returns the works and the index of the current one.
  keep(state) {
    if (!this.store) return;
    this.kept = false;
    this.note.dataset.state = "";
    clearTimeout(this.timer);
    const timer = setTimeout(() => { this.writing = this.writing.then(() => this.write(timer, ...state())); }, DELAY);
    this.timer = timer;
  }

  async write(timer, works, current) {
    const error = await this.store.save(works, current).catch((refused) => refused);
    this.note.textContent = error ? `Not kept, download it before you leave: ${error.message}` : KEPT;
    if (timer !== this.timer) return; // there are changes since
    this.kept = !error;
    this.note.dataset.state = error ? "lost" : "kept";
  }

  async discard() {
    clearTimeout(this.timer);
    await this.writing;
    await this.store?.remove();
  }
}

function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
