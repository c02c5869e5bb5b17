// The page: what happens when a person does something, and how it starts.

import { edit, pick, retry, send, vote } from "./answers.js";
import { getConfig, setAskKey } from "./api.js";
import { interrupt, openChat, otherTab, readFile, removeChat } from "./chats.js";
import { byId } from "./elements.js";
import { askKey, exportRows, notify, openSettings } from "./panels.js";
import { closeSidebar, nextTheme, showWords } from "./shell.js";
import { followed, growField, refresh, toEnd, togglePair } from "./shown.js";
import { acts, fresh, keep, state, turns } from "./state.js";
import { choose, loadAll, openStore, shownId } from "./store.js";
import { stop } from "./talk.js";
import { isComposing } from "./turns.js";
import { t } from "./words.js";

function listen() {
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send(byId("message").value);
  });
  byId("message").addEventListener("input", growField);
  byId("message").addEventListener("keydown", (event) => {
    if (isComposing(event)) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      send(byId("message").value);
    }
    if (event.key === "ArrowUp" && event.target.value === "") {
      const last = state.current.turns.findLastIndex((turn) => turn.role === "user");
      if (last >= 0) {
        event.preventDefault();
        turns.edit(last);
      }
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || isComposing(event) || document.querySelector("dialog[open]")) return;
    if (document.body.classList.contains("chats-open")) closeSidebar();
    else stopNow();
  });
  byId("stop").addEventListener("click", stopNow);
  byId("new-chat").addEventListener("click", () => openChat(fresh()));
  byId("shade").addEventListener("click", closeSidebar);
  byId("pair").addEventListener("click", togglePair);
  byId("open-settings").addEventListener("click", () => openSettings(state.current, settingsChanged));
  byId("no-key").addEventListener("click", () => byId("key-dialog").close(""));
  byId("export-all").addEventListener("click", () => exportRows(state.all));
  byId("export-this").addEventListener("click", () => {
    byId("settings").close();
    exportRows([state.current]);
  });
  byId("import").addEventListener("click", () => byId("file").click());
  byId("file").addEventListener("change", readFile);
  byId("latest").addEventListener("click", toEnd);
  byId("scroll").addEventListener("scroll", followed);
  byId("language").addEventListener("change", () => {
    choose("language", byId("language").value);
    showWords();
    turns.show(state.current);
    refresh();
  });
  byId("theme").addEventListener("click", nextTheme);
}

function stopNow() {
  stop(state.current);
  byId("message").focus();
}

function settingsChanged(conversation) {
  choose("system", conversation.system);
  choose("sampling", conversation.sampling);
  if (conversation.turns.length) keep(conversation);
}

async function start() {
  state.failure = null;
  try {
    const config = await getConfig();
    const models = config.models.map((model) => (typeof model === "string" ? model : model.id));
    state.config = { ...config, models, title: config.title || "llmkit" };
  } catch (error) {
    state.failure = "kind" in error ? error : { kind: "unreachable" };
  }
  byId("brand").textContent = state.config.title;
  openChat(
    state.all.find((conversation) => conversation.id === state.current?.id && conversation.turns.length) ?? fresh(),
  );
}

Object.assign(acts, { retry, edit, label: vote, choose: pick, open: openChat, remove: removeChat, start });
showWords();
listen();
setAskKey(askKey);
const isKept = await openStore(otherTab);
state.all = await loadAll();
for (const conversation of state.all) interrupt(conversation);
state.current = state.all.find(({ id }) => id === shownId()) ?? fresh();
await start();
if (!isKept) notify(t("notKept"));
