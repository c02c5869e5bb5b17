// What stands around the conversation: the list of chats, settings, notices, the key, and files.

import { SAMPLING, conversationOf, rowOf } from "./conversation.js";
import { byId, h, icon, iconButton } from "./elements.js";
import { announce } from "./turns.js";
import { t } from "./words.js";

const SHOWN = 3; // broken lines of a file that are named

/** The list of chats; `acts.open(conversation)`, `acts.remove(conversation)`. */
export function showChats(conversations, current, acts) {
  const items = conversations.map((conversation) => {
    const title = conversation.title || t("untitled");
    const open = h(
      "button",
      {
        type: "button",
        class: "chat",
        "aria-current": conversation === current ? "page" : null,
        title,
        onclick: () => acts.open(conversation),
      },
      h("bdi", {}, title),
    );
    return h(
      "li",
      {},
      open,
      iconButton("trash", t("deleteChat", { title }), () => acts.remove(conversation)),
    );
  });
  byId("chats").replaceChildren(...items);
  byId("no-chats").hidden = conversations.length > 0;
}

/** Show a notice until the next one, or until it is dismissed; `undo` is offered beside it. */
export function notify(text, { undo = null, isError = false } = {}) {
  const close = () => byId("notices").replaceChildren();
  const again =
    undo &&
    h(
      "button",
      {
        type: "button",
        class: "plain",
        onclick: () => {
          close();
          undo();
        },
      },
      t("undo"),
    );
  const notice = h(
    "div",
    { class: isError ? "notice error" : "notice" },
    isError ? icon("warning") : null,
    h("p", {}, text),
    again,
    iconButton("close", t("dismiss"), close),
  );
  byId("notices").replaceChildren(notice);
  announce(text);
}

export function clearNotices() {
  byId("notices").replaceChildren();
}

/** The settings of this conversation; `changed` is called with {system, sampling} after each change that is valid. */
export function openSettings(conversation, changed) {
  const dialog = byId("settings");
  const fields = [["system", byId("system")], ...SAMPLING.map((name) => [name, byId(name)])];
  for (const [name, field] of fields) {
    field.value = name === "system" ? conversation.system : (conversation.sampling[name] ?? "");
    field.oninput = () => {
      if (!field.checkValidity()) return;
      if (name === "system") conversation.system = field.value;
      else conversation.sampling[name] = field.value === "" ? null : Number(field.value);
      changed(conversation);
    };
  }
  byId("reset").onclick = () => {
    for (const [, field] of fields) {
      field.value = "";
      field.oninput();
    }
  };
  dialog.showModal();
}

/** Ask for a key: a promise of it, or of null where the person has none. */
export function askKey(isWrong) {
  const dialog = byId("key-dialog");
  const field = byId("key");
  byId("key-wrong").hidden = !isWrong;
  field.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "use" && field.value.trim() ? field.value.trim() : null);
  });
}

/** Write the rows of these conversations into a file, and say how many had an answer. */
export function exportRows(conversations) {
  const rows = conversations.map(rowOf).filter(Boolean);
  if (!rows.length) return notify(t("nothingToExport"));
  const file = `llmkit-chats-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.jsonl`;
  const blob = new Blob(rows.map(lineOf), { type: "application/x-ndjson" });
  const link = h("a", { href: URL.createObjectURL(blob), download: file });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  return notify(t("exported", { rows: rows.length, all: conversations.length, file }));
}

/** The row as one line for every reader: some end lines at more than a line feed. */
function lineOf(row) {
  const escape = (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return `${JSON.stringify(row).replace(/[\u0085\u2028\u2029]/g, escape)}\n`;
}

/** The conversations of a file, each line a row; what cannot be read is said by its line. */
export async function importRows(file, models) {
  const conversations = [];
  const broken = [];
  const lines = (await file.text()).split("\n");
  for (const [i, line] of lines.entries()) {
    if (!line.trim()) continue;
    try {
      conversations.push(conversationOf(parse(line), models));
    } catch (error) {
      broken.push(t("importFailed", { line: i + 1, why: t(error.message) }));
    }
  }
  const more = broken.length > SHOWN ? [t("more", { n: broken.length - SHOWN })] : [];
  return {
    conversations,
    said: [t("imported", { n: conversations.length }), ...broken.slice(0, SHOWN), ...more].join(" "),
    isError: broken.length > 0,
  };
}

function parse(line) {
  try {
    return JSON.parse(line);
  } catch {
    throw new Error("notJson");
  }
}
