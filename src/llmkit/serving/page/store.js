// Conversations in the browser's IndexedDB, and the few choices of a person in its localStorage.

export const MOST = 300; // conversations

let database = null;
let channel = null;
const kept = new Set(); // ids of what is stored

const result = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

function transact(mode, work) {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction("conversations", mode);
    let value;
    transaction.oncomplete = () => resolve(value);
    transaction.onabort = () => reject(transaction.error ?? new Error("aborted"));
    work(transaction.objectStore("conversations")).then((found) => (value = found), reject);
  });
}

/** Open the storage; false where the browser keeps nothing. `onChange` hears of what other tabs have saved or deleted. */
export async function openStore(onChange) {
  try {
    const request = indexedDB.open("llmkit", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("conversations", { keyPath: "id" });
    database = await result(request);
  } catch {
    return false;
  }
  channel = new BroadcastChannel("llmkit");
  channel.onmessage = ({ data }) => onChange(data);
  return true;
}

/** Everything that is kept, the latest first. */
export async function loadAll() {
  if (!database) return [];
  const found = await transact("readonly", (store) => result(store.getAll()));
  for (const { id } of found) kept.add(id);
  return found.sort((one, other) => other.changed - one.changed);
}

export async function load(id) {
  return database ? transact("readonly", (store) => result(store.get(id))) : undefined;
}

/** Keep a conversation. Throws an Error named QuotaExceededError where there is no room, TooMany beyond the most. */
export async function save(conversation) {
  if (!database) return;
  if (!kept.has(conversation.id) && kept.size >= MOST) throw Object.assign(new Error(`${MOST}`), { name: "TooMany" });
  await transact("readwrite", (store) => result(store.put(conversation)));
  kept.add(conversation.id);
  channel.postMessage(conversation.id);
}

export async function remove(id) {
  if (!database) return;
  await transact("readwrite", (store) => result(store.delete(id)));
  kept.delete(id);
  channel.postMessage(id);
}

/** A choice like the theme; null where none was made or the browser keeps none. */
export function choice(name) {
  try {
    return JSON.parse(localStorage.getItem(`llmkit.${name}`));
  } catch {
    return null;
  }
}

export function choose(name, value) {
  try {
    localStorage.setItem(`llmkit.${name}`, JSON.stringify(value));
  } catch {
    // A choice that is not kept is made again next time; nothing of a conversation is in it.
  }
}

/** The id of the conversation that this tab shows; with an argument, remember it. */
export function shownId(id) {
  try {
    if (id !== undefined) sessionStorage.setItem("llmkit.shown", id);
    return sessionStorage.getItem("llmkit.shown");
  } catch {
    return null;
  }
}
