// What of the state is shown around the turns.

import { isUndecided } from "./conversation.js";
import { byId, h, icon } from "./elements.js";
import { showChats } from "./panels.js";
import { acts, keep, state } from "./state.js";
import { choose } from "./store.js";
import { sayError } from "./turns.js";
import { t } from "./words.js";

const NEAR_END = 80; // px from the end within which the page follows an answer

export function refresh() {
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
  byId("message").placeholder =
    current.models.length === 1 ? t("messageTo", { model: current.models[0] }) : t("message");
  showModels();
  showEmpty();
}

function showModels() {
  const { current, config } = state;
  const labels = current.models.length === 2 ? ["modelLeft", "modelRight"] : ["model"];
  const shown = [document.documentElement.lang, ...current.models, ...config.models].join("\n");
  if (byId("models").dataset.shown !== shown) {
    byId("models").dataset.shown = shown;
    byId("models").replaceChildren(
      ...current.models.map((chosen, i) => {
        const select = h(
          "select",
          { "aria-label": t(labels[i]) },
          ...config.models.map((model) => h("option", { value: model, selected: model === chosen }, model)),
        );
        select.addEventListener("change", () =>
          setModels(
            current.models.map((model, j) => (i === j ? select.value : model)),
            i,
          ),
        );
        return select;
      }),
    );
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

export function togglePair() {
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
    empty.replaceChildren(
      h(
        "div",
        { class: "ending error" },
        icon("warning"),
        h("p", {}, why),
        h("button", { type: "button", class: "plain", onclick: acts.start }, icon("retry"), t("retry")),
      ),
    );
    return;
  }
  const tries = ["try1", "try2", "try3"].map((name) =>
    h("li", {}, h("button", { type: "button", class: "try", onclick: () => setMessage(t(name)) }, t(name))),
  );
  empty.replaceChildren(
    h("h2", {}, t("emptyTitle")),
    h("p", {}, t(current.models.length === 2 ? "emptyPair" : "emptyText")),
    h("ul", {}, ...tries),
  );
}

function setMessage(text) {
  byId("message").value = text;
  growField();
  byId("message").focus();
}

/** Make the field as high as its text where CSS cannot. */
export function growField() {
  const field = byId("message");
  if (CSS.supports("field-sizing", "content")) return;
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

export function toEnd() {
  const scroll = byId("scroll");
  scroll.scrollTop = scroll.scrollHeight;
}

export function followed() {
  const { scrollHeight, scrollTop, clientHeight } = byId("scroll");
  state.follows = scrollHeight - scrollTop - clientHeight < NEAR_END;
  byId("latest").hidden = state.follows;
}
