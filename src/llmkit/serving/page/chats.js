// Conversations: opened, deleted, read from a file, changed by another tab.

import { byId } from "./elements.js";
import { clearNotices, importRows, notify } from "./panels.js";
import { refresh, toEnd } from "./shown.js";
import { closeSidebar } from "./shell.js";
import { byTime, fresh, keep, state, turns } from "./state.js";
import { load, remove, shownId } from "./store.js";
import { runningOf, stop } from "./talk.js";
import { t } from "./words.js";

export function openChat(conversation) {
  if (!conversation.models.every((model) => state.config.models.includes(model))) conversation.models = fresh().models;
  state.current = conversation;
  shownId(conversation.id);
  closeSidebar();
  clearNotices();
  turns.show(conversation);
  refresh();
  toEnd();
  if (!matchMedia("(pointer: coarse)").matches) byId("message").focus(); // It would open the keyboard of a phone.
}

export async function removeChat(conversation) {
  stop(conversation);
  const at = state.all.indexOf(conversation);
  state.all.splice(at, 1);
  await remove(conversation.id);
  if (conversation === state.current) openChat(fresh());
  else refresh();
  const undo = async () => {
    state.all.splice(at, 0, conversation);
    await keep(conversation);
    refresh();
  };
  notify(t("deleted", { title: conversation.title || t("untitled") }), { undo });
  byId("notices").querySelector("button").focus();
}

/** Take in what another tab has saved or deleted. */
export async function otherTab(id) {
  const mine = state.all.find((conversation) => conversation.id === id);
  if (mine && runningOf(mine).length) return;
  const theirs = await load(id);
  state.all = [...(theirs ? [theirs] : []), ...state.all.filter((conversation) => conversation.id !== id)];
  byTime();
  if (mine && mine === state.current && theirs) {
    state.current = theirs;
    turns.show(theirs);
  }
  refresh();
}

/** Read the conversations of the file that was picked. */
export async function readFile() {
  const [file] = byId("file").files;
  byId("file").value = "";
  if (!file) return;
  const { conversations, said, isError } = await importRows(file, state.config.models.slice(0, 1));
  for (const conversation of conversations) {
    state.all.unshift(conversation);
    await keep(conversation);
  }
  refresh();
  notify(said, { isError });
}

/** Answers that were being written when the page was closed are so no more. */
export function interrupt(conversation) {
  for (const answers of conversation.turns.map((turn) => turn.answers ?? [])) {
    for (const one of answers) if (one.state === "writing") one.state = "interrupted";
  }
}
