// The page: its state, and what happens when a person does something.

import { getConfig, postVote, setAskKey } from "./api.js";
import { goesOn, isUndecided, newAnswer, newConversation, titleOf, voteOf } from "./conversation.js";
import { byId, h, icon, iconButton } from "./elements.js";
import { askKey, clearNotices, exportRows, importRows, notify, openSettings, showChats } from "./panels.js";
import { MOST, choice, choose, load, loadAll, openStore, remove, save } from "./store.js";
import { fill, runningOf, stop } from "./talk.js";
import { Turns, announce, isComposing, sayError } from "./turns.js";
import { fillWords, pickLanguage, t } from "./words.js";

const THEMES = ["system", "light", "dark"];
const NEAR_END = 80; // px from the end within which the page follows an answer

const state = { config: { models: [], votes: false, title: "llmkit" }, all: [], current: null, follows: true, failure: null };

const acts = {
  isLast: (turn) => state.current.turns.at(-1) === turn,
  isBusy: () => runningOf(state.current).length > 0,
  votes: () => state.config.votes,
  retry, edit, label: vote, choose: pick, open: openChat, remove: removeChat,
};
const turns = new Turns(byId("turns"), acts);

// Conversations

function fresh() {
  const { models } = state.config;
  const last = choice("models") ?? [];
  const known = last.filter((model) => models.includes(model));
  return newConversation(known.length ? known : models.slice(0, 1), { system: choice("system") ?? "", sampling: choice("sampling") ?? {} });
}

function openChat(conversation) {
  if (!conversation.models.every((model) => state.config.models.includes(model))) conversation.models = fresh().models;
  state.current = conversation;
  closeSidebar();
  clearNotices();
  turns.show(conversation);
  refresh();
  toEnd();
  byId("message").focus();
}

async function removeChat(conversation) {
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

async function keep(conversation) {
  try {
    await save(conversation);
  } catch (error) {
    const words = { QuotaExceededError: t("full"), TooMany: t("tooMany", { n: MOST }) };
    notify(words[error.name] ?? t("notSaved", { why: error.message }), { isError: true });
  }
}

/** What another tab has saved or deleted. */
async function otherTab(id) {
  const mine = state.all.find((conversation) => conversation.id === id);
  if (mine && runningOf(mine).length) return;
  const theirs = await load(id);
  state.all = [...(theirs ? [theirs] : []), ...state.all.filter((conversation) => conversation.id !== id)];
  state.all.sort((one, other) => other.changed - one.changed);
  if (mine && mine === state.current && theirs) {
    state.current = theirs;
    turns.show(theirs);
  }
  refresh();
}

// Answers

async function send(text) {
  const conversation = state.current;
  if (!text.trim() || acts.isBusy() || !conversation.models.length) return;
  if (isUndecided(conversation)) {
    notify(t("chooseFirst"));
    return;
  }
  clearNotices();
  byId("message").value = "";
  grow();
  conversation.turns.push({ role: "user", content: text });
  if (!state.all.includes(conversation)) state.all.unshift(conversation);
  conversation.title ||= titleOf(conversation);
  await answer(conversation);
}

/** Have the last message answered, by one model or by two. */
async function answer(conversation) {
  const answers = conversation.models.map(newAnswer);
  const index = conversation.turns.push({ role: "assistant", answers, chosen: null }) - 1;
  if (conversation === state.current) turns.showFrom(index - 1);
  await write(conversation, index, answers);
}

async function write(conversation, index, answers) {
  conversation.changed = Date.now();
  state.all.sort((one, other) => other.changed - one.changed);
  state.follows = true;
  const written = answers.map((one) => fill(conversation, index, one, { grown, save: keep }).then(() => ended(conversation, one)));
  announce(t("writing", { model: conversation.models.join(", ") }));
  refresh();
  toEnd();
  await keep(conversation);
  await Promise.all(written);
}

function grown(one) {
  turns.view(one)?.grow(() => state.follows && toEnd());
}

async function ended(conversation, one) {
  if (conversation === state.current) {
    const { answers } = conversation.turns.find((turn) => turn.answers?.includes(one)) ?? { answers: [] };
    for (const each of answers) turns.view(each)?.paint();
    announce(one.error ? t("answerFailed", { why: sayError(one.error) }) : t("written", { model: one.model, text: one.content.slice(0, 400) }));
    if (state.follows) toEnd();
  }
  await keep(conversation);
  refresh();
}

/** Do something to the turns that can be taken back until the next time. */
async function change(text, work) {
  const conversation = state.current;
  const before = structuredClone(conversation.turns);
  const undo = async () => {
    stop(conversation);
    conversation.turns = before;
    if (conversation === state.current) turns.show(conversation);
    await keep(conversation);
    refresh();
  };
  const worked = work(conversation);
  if (text) notify(text, { undo });
  await worked;
}

async function retry(index) {
  const { answers } = state.current.turns[index];
  const hadText = answers.some(({ content }) => content);
  byId("message").focus();
  await change(hadText && t("retried"), (conversation) => {
    conversation.turns.length = index;
    return answer(conversation);
  });
}

async function edit(index, text) {
  byId("message").focus();
  await change(t("edited"), (conversation) => {
    conversation.turns.splice(index, Infinity, { role: "user", content: text });
    if (index === 0) conversation.title = titleOf(conversation);
    turns.showFrom(index);
    return answer(conversation);
  });
}

// Votes

async function vote(index, label) {
  const [one] = state.current.turns[index].answers;
  one.label = label;
  await castVote(state.current, index, () => delete one.label);
}

/** Go on with one of two answers; where the server keeps votes, it is one. */
async function pick(index, chosen) {
  state.current.turns[index].chosen = chosen;
  byId("message").focus();
  if (state.config.votes) await castVote(state.current, index, () => {});
  else await settled(state.current);
}

async function castVote(conversation, index, takeBack) {
  try {
    await postVote(voteOf(conversation, index));
    notify(t("thanks"));
  } catch (error) {
    takeBack();
    notify(t("voteFailed", { why: sayError(error) }), { isError: true });
  }
  await settled(conversation);
}

async function settled(conversation) {
  if (conversation === state.current) for (const view of turns.views.values()) view.paint();
  await keep(conversation);
  refresh();
}

// What is shown

function refresh() {
  const { current, config } = state;
  const isBusy = acts.isBusy();
  showChats(state.all, current, acts);
  byId("title").textContent = current.title || t("untitled");
  document.title = current.title ? `${current.title} · ${config.title}` : config.title;
  byId("send").hidden = isBusy;
  byId("stop").hidden = !isBusy;
  byId("choose").hidden = !isUndecided(current) || isBusy;
  byId("main").classList.toggle("is-pair", current.models.length === 2);
  byId("main").classList.toggle("is-empty", current.turns.length === 0);
  byId("message").placeholder = current.models.length === 1 ? t("messageTo", { model: current.models[0] }) : t("message");
  showModels();
  showEmpty();
}

function showModels() {
  const { current, config } = state;
  const labels = current.models.length === 2 ? ["modelLeft", "modelRight"] : ["model"];
  const shown = [document.documentElement.lang, ...current.models, ...config.models].join("\n");
  if (byId("models").dataset.shown !== shown) {
    byId("models").dataset.shown = shown;
    byId("models").replaceChildren(...current.models.map((chosen, i) => {
      const select = h("select", { "aria-label": t(labels[i]) }, ...config.models.map((model) => h("option", { value: model, selected: model === chosen }, model)));
      select.addEventListener("change", () => setModels(current.models.map((model, j) => (i === j ? select.value : model)), i));
      return select;
    }));
  }
  byId("pair").setAttribute("aria-pressed", `${current.models.length === 2}`);
  byId("pair").hidden = !config.models.length;
}

function setModels(models, focus = null) {
  state.current.models = models;
  choose("models", models);
  refresh();
  if (focus !== null) byId("models").children[focus].focus();
  if (state.current.turns.length) keep(state.current);
}

function togglePair() {
  const { current, config } = state;
  const [first] = current.models;
  setModels(current.models.length === 2 ? [first] : [first, config.models.find((model) => model !== first) ?? first]);
}

function showEmpty() {
  const { current, config, failure } = state;
  const empty = byId("empty");
  empty.hidden = current.turns.length > 0;
  if (empty.hidden) return;
  if (failure || !config.models.length) {
    const why = failure ? t("noConfig", { why: sayError(failure) }) : t("noModels");
    empty.replaceChildren(h("div", { class: "ending error" }, icon("warning"), h("p", {}, why), h("button", { type: "button", class: "plain", onclick: start }, icon("retry"), t("retry"))));
    return;
  }
  const tries = ["try1", "try2", "try3"].map((name) => h("li", {}, h("button", { type: "button", class: "try", onclick: () => setMessage(t(name)) }, t(name))));
  empty.replaceChildren(h("h2", {}, t("emptyTitle")), h("p", {}, t(current.models.length === 2 ? "emptyPair" : "emptyText")), h("ul", {}, ...tries));
}

function setMessage(text) {
  byId("message").value = text;
  grow();
  byId("message").focus();
}

/** Make the field as high as its text where CSS cannot. */
function grow() {
  const field = byId("message");
  if (CSS.supports("field-sizing", "content")) return;
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

function toEnd() {
  const scroll = byId("scroll");
  scroll.scrollTop = scroll.scrollHeight;
}

function closeSidebar() {
  const wasOpen = document.body.classList.contains("chats-open");
  document.body.classList.remove("chats-open");
  byId("main").inert = false;
  if (wasOpen) byId("open-chats").firstElementChild.focus();
}

function openSidebar() {
  document.body.classList.add("chats-open");
  byId("main").inert = true;
  byId("close-chats").firstElementChild.focus();
}

function showTheme() {
  const theme = choice("theme") ?? "system";
  const button = byId("theme");
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const label = t("theme", { name: t(theme) });
  button.setAttribute("aria-label", label);
  button.title = label;
  button.replaceChildren(icon({ system: "system", light: "sun", dark: "moon" }[theme]));
}

/** Everything whose words depend on the language. */
function showWords() {
  byId("language").value = pickLanguage(choice("language"));
  fillWords();
  const labelled = (id, name, word, title = "") => {
    byId(id).replaceChildren(icon(name), h("span", {}, t(word)));
    if (title) byId(id).title = t(title);
  };
  labelled("new-chat", "plus", "newChat");
  labelled("export-all", "export", "exportAll", "exportHint");
  labelled("import", "import", "importFile", "importHint");
  labelled("export-this", "export", "exportThis");
  labelled("pair", "columns", "sideBySide", "sideBySide");
  labelled("open-settings", "settings", "settings", "settings");
  for (const [id, name, word] of [["send", "send", "send"], ["stop", "stop", "stop"], ["latest", "latest", "latest"], ["close-settings", "close", "close"]]) {
    byId(id).replaceChildren(icon(name));
    byId(id).setAttribute("aria-label", t(word));
    byId(id).title = t(word);
  }
  byId("open-chats").replaceChildren(iconButton("menu", t("openChats"), openSidebar));
  byId("close-chats").replaceChildren(iconButton("close", t("closeChats"), closeSidebar));
  showTheme();
}

// Events

function listen() {
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send(byId("message").value);
  });
  byId("message").addEventListener("input", grow);
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
  byId("theme").addEventListener("click", () => {
    choose("theme", THEMES[(THEMES.indexOf(choice("theme") ?? "system") + 1) % THEMES.length]);
    showTheme();
    announce(byId("theme").title);
  });
}

function stopNow() {
  stop(state.current);
  byId("message").focus();
}

function followed() {
  const { scrollHeight, scrollTop, clientHeight } = byId("scroll");
  state.follows = scrollHeight - scrollTop - clientHeight < NEAR_END;
  byId("latest").hidden = state.follows;
}

function settingsChanged(conversation) {
  choose("system", conversation.system);
  choose("sampling", conversation.sampling);
  if (conversation.turns.length) keep(conversation);
}

async function readFile() {
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

// Start

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
  openChat(state.all.find((conversation) => conversation.id === state.current?.id && conversation.turns.length) ?? fresh());
}

/** Answers that were being written when the page was closed. */
function interrupt(conversation) {
  for (const answers of conversation.turns.map((turn) => turn.answers ?? [])) {
    for (const one of answers) if (one.state === "writing") one.state = "interrupted";
  }
}

showWords();
listen();
setAskKey(askKey);
const isKept = await openStore(otherTab);
state.all = await loadAll();
for (const conversation of state.all) interrupt(conversation);
state.current = state.all.find(({ id }) => id === location.hash.slice(1)) ?? fresh();
await start();
if (!isKept) notify(t("notKept"));
