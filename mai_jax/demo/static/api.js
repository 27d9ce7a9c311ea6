// Requests to the server. Each contains the whole photo, because the server keeps nothing.
export class Refused extends Error { // the message is for the user
  constructor(message, status = 0) {
    super(message);
    this.status = status; // 400: the file or a field cannot be used
  }
}

const RETRY = 2000; // milliseconds between two attempts while the server is busy
const POLL = 700; // milliseconds between two questions about the queue

// Post the fields that are not null; return the response. `onWait` receives what the request waits for, as text.
export async function post(path, fields, { signal, onWait = () => {} } = {}) {
  const ticket = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("");
  const form = new FormData();
  for (const [name, value] of Object.entries({ ...fields, ticket })) {
    if (value !== null && value !== undefined) form.append(name, value);
  }
  const timer = setInterval(() => askQueue(ticket, onWait), POLL);
  try {
    for (;;) {
      const response = await attempt(path, form, signal);
      if (response?.ok) return response;
      if (response && response.status !== 503) throw new Refused(await response.text(), response.status);
      onWait("The server is busy; trying again");
      await pause(RETRY, signal);
    }
  } finally {
    clearInterval(timer);
  }
}

// Return the response; null if the server closed the connection because it is busy.
async function attempt(path, form, signal) {
  try {
    return await fetch(path, { method: "POST", body: form, signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    const alive = await fetch("api/queue", { signal }).catch(() => null);
    if (!alive) throw new Refused("The server does not answer. Is it still running?");
    return null;
  }
}

async function askQueue(ticket, onWait) {
  const response = await fetch(`api/queue?ticket=${ticket}`).catch(() => null);
  const before = response?.ok ? (await response.json()).before : null;
  if (before) onWait(`Waiting: ${before} before you`);
  else if (before === 0) onWait("");
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); });
  });
}

// Return the text of a header.
export function header(response, name) {
  return decodeURIComponent(response.headers.get(name) ?? "");
}
