// The frame of the page: the sidebar of a phone, the theme, and the words of buttons.

import { byId, h, icon, iconButton } from "./elements.js";
import { choice, choose } from "./store.js";
import { announce } from "./turns.js";
import { fillWords, pickLanguage, t } from "./words.js";

const THEMES = ["system", "light", "dark"];

export function closeSidebar() {
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

/** Say everything around the turns in the language that was chosen. */
export function showWords() {
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
  for (const [id, name, word] of [
    ["send", "send", "send"],
    ["stop", "stop", "stop"],
    ["latest", "latest", "latest"],
    ["close-settings", "close", "close"],
  ]) {
    byId(id).replaceChildren(icon(name));
    byId(id).setAttribute("aria-label", t(word));
    byId(id).title = t(word);
  }
  byId("open-chats").replaceChildren(iconButton("menu", t("openChats"), openSidebar));
  byId("close-chats").replaceChildren(iconButton("close", t("closeChats"), closeSidebar));
  showTheme();
}

/** Go on to the next theme. */
export function nextTheme() {
  choose("theme", THEMES[(THEMES.indexOf(choice("theme") ?? "system") + 1) % THEMES.length]);
  showTheme();
  announce(byId("theme").title);
}
