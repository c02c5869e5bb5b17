// The turns of a conversation on the page. What a person does with one is handed to `acts`, see app.js.

import { byId, h, icon, iconButton } from "./elements.js";
import { Prose, copyText } from "./markdown.js";
import { t } from "./words.js";

const OFTEN = 40; // ms between two paintings of a growing text, if painting is quick
const SHARE = 4; // a painting that takes 10 ms is followed by a rest of 4 times 10 ms

/** What went wrong, in the server's words where it said any. */
export function sayError({ kind, status, words, wait }) {
  if (kind !== "refused") return t(kind);
  return `${t("refused", { status, words })}${wait ? ` ${t("wait", { n: wait })}` : ""}`;
}

/** One answer: its text, how it ended, its sources, and what can be done with it. */
class AnswerView {
  constructor(answer, turn, index, acts) {
    Object.assign(this, { answer, turn, index, acts, timer: 0, rest: OFTEN });
    this.body = h("div", { class: "prose" });
    this.foot = h("div", { class: "foot" });
    this.prose = new Prose(this.body, { onCite: (n) => this.showSource(n) });
    const name = h(
      "h2",
      { class: "who" },
      h("span", { class: "hidden" }, `${t("answer")}: `),
      h("bdi", {}, answer.model),
    );
    this.element = h("article", { class: "answer", tabindex: "-1" }, name, this.body, this.foot);
    this.paint();
  }

  /** Paint soon: never so often that painting fills the time, however long the text is. */
  grow(painted) {
    this.timer ||= setTimeout(() => {
      this.timer = 0;
      const began = performance.now();
      this.prose.write(this.answer.content);
      painted();
      this.rest = Math.max(OFTEN, SHARE * (performance.now() - began));
    }, this.rest);
  }

  paint() {
    clearTimeout(this.timer);
    this.timer = 0;
    const { answer } = this;
    const isWriting = answer.state === "writing";
    this.element.setAttribute("aria-busy", `${isWriting}`);
    this.element.classList.toggle("writing", isWriting);
    if (isWriting) this.prose.write(answer.content);
    else this.prose.finish(answer.content, { cited: new Set(answer.citations.map(({ n }) => n)) });
    this.paintFoot();
  }

  /** What stands below the text: it depends on the turns that follow, too. */
  paintFoot() {
    const { answer, turn } = this;
    this.element.classList.toggle("chosen", turn.answers.length === 2 && turn.answers[turn.chosen] === answer);
    this.foot.replaceChildren(
      ...(answer.state === "writing" ? [] : [this.ending(), this.sources(), this.actions()].filter(Boolean)),
    );
  }

  ending() {
    const { answer } = this;
    const { state, error, content } = answer;
    const { answers } = this.turn;
    if (state === "done") return null;
    const isError = state === "failed" || state === "lost";
    const words = isError
      ? sayError(error)
      : t({ length: "cutOff", stopped: "stopped", interrupted: "interrupted" }[state]);
    const note = content === "" && answers.length === 1 ? h("small", {}, t("notPart")) : null;
    const retry = this.acts.isLast(this.turn)
      ? h(
          "button",
          { type: "button", class: "plain", onclick: () => this.acts.retry(this.index, answers.indexOf(answer)) },
          icon("retry"),
          t("retry"),
        )
      : null;
    return h(
      "div",
      { class: isError ? "ending error" : "ending" },
      isError ? icon("warning") : null,
      h("p", {}, words, note),
      isError || state === "interrupted" ? retry : null,
    );
  }

  sources() {
    const { citations } = this.answer;
    if (!citations.length) return null;
    const items = citations.map(({ n, title, source, text }) => {
      const address =
        source && source !== title
          ? [
              h(
                "cite",
                { dir: "auto" },
                /^https?:\/\//i.test(source)
                  ? h("a", { href: source, target: "_blank", rel: "noopener noreferrer" }, source)
                  : source,
              ),
            ]
          : [];
      const summary = h(
        "summary",
        {},
        h("span", { class: "number" }, `${n}`),
        h("span", { dir: "auto" }, title || source || t("source", { n })),
      );
      return h(
        "li",
        {},
        h("details", { "data-n": n }, summary, ...address, h("blockquote", { dir: "auto" }, text ?? "")),
      );
    });
    return h(
      "div",
      { class: "sources", role: "group", "aria-label": t("sources") },
      h("h3", {}, t("sources")),
      h("ol", {}, ...items),
    );
  }

  showSource(n) {
    const details = this.foot.querySelector(`details[data-n="${Number(n)}"]`);
    if (!details) return;
    details.open = true;
    details.scrollIntoView({ block: "nearest" });
    details.firstElementChild.focus();
  }

  actions() {
    const { answer, turn, acts } = this;
    const isPair = turn.answers.length === 2;
    const buttons = [];
    if (isPair && answer.content && turn.answers.every(({ content, state }) => content && state !== "writing"))
      buttons.push(this.better());
    if (answer.content) {
      const copy = h(
        "button",
        { type: "button", class: "plain", "aria-label": t("copy") },
        icon("copy"),
        h("span", {}, t("copy")),
      );
      copy.addEventListener("click", () => copyText(answer.content, copy));
      buttons.push(copy);
    }
    const isEnded = !["failed", "lost", "interrupted"].includes(answer.state);
    if (acts.isLast(turn) && isEnded)
      buttons.push(iconButton("retry", t("retry"), () => acts.retry(this.index, turn.answers.indexOf(answer))));
    if (!isPair && acts.votes() && answer.content) {
      for (const [name, label] of [
        ["up", true],
        ["down", false],
      ]) {
        buttons.push(
          iconButton(name, t(label ? "good" : "bad"), () => acts.label(this.index, label), {
            "aria-pressed": `${answer.label === label}`,
            disabled: answer.label !== undefined,
          }),
        );
      }
    }
    if (answer.tokens) buttons.push(h("span", { class: "figures" }, figures(answer)));
    return h("div", { class: "actions" }, ...buttons);
  }

  better() {
    const { turn, answer, acts } = this;
    const isChosen = turn.answers[turn.chosen] === answer;
    if (isChosen) return h("span", { class: "badge" }, icon("check"), t("chosen"));
    if ((turn.chosen ?? null) !== null) return null;
    return h(
      "button",
      { type: "button", class: "primary better", onclick: () => acts.choose(this.index, turn.answers.indexOf(answer)) },
      t("better"),
    );
  }
}

function figures({ tokens, seconds }) {
  const shown = new Intl.NumberFormat(document.documentElement.lang, { maximumSignificantDigits: 3 });
  const speed = seconds > 0.2 ? ` · ${t("perSecond", { n: shown.format(tokens / seconds) })}` : "";
  return (
    t(tokens === 1 ? "oneToken" : "tokens", {
      n: new Intl.NumberFormat(document.documentElement.lang).format(tokens),
    }) + speed
  );
}

/** All turns of one conversation. */
export class Turns {
  constructor(element, acts) {
    Object.assign(this, { element, acts, views: new Map() });
  }

  show(conversation) {
    this.conversation = conversation;
    this.views.clear();
    this.element.replaceChildren(...conversation.turns.map((turn, i) => this.turn(turn, i)));
  }

  /** Show the turns from this one on anew; those before it stay as they are. */
  showFrom(index) {
    while (this.element.children.length > index) this.element.lastElementChild.remove();
    const turns = this.conversation.turns.slice(index);
    this.element.append(...turns.map((turn, i) => this.turn(turn, index + i)));
    for (const [answer, view] of this.views) if (!view.element.isConnected) this.views.delete(answer);
    for (const answer of this.conversation.turns[index - 1]?.answers ?? []) this.view(answer)?.paintFoot();
  }

  turn(turn, index) {
    if (turn.role === "user") return this.user(turn, index);
    const views = turn.answers.map((answer) => {
      const view = new AnswerView(answer, turn, index, this.acts);
      this.views.set(answer, view);
      return view.element;
    });
    return views.length === 2 ? h("div", { class: "pair" }, ...views) : views[0];
  }

  user(turn, index) {
    const bubble = h("div", { class: "bubble", dir: "auto" }, turn.content);
    const edit = iconButton("edit", t("edit"), () => this.edit(index));
    return h("article", { class: "user", tabindex: "-1" }, h("h2", { class: "hidden" }, t("you")), edit, bubble);
  }

  /** Let the person change what was said in this turn. */
  edit(index) {
    const turn = this.conversation.turns[index];
    const article = this.element.children[index];
    if (turn?.role !== "user" || !article || this.acts.isBusy()) return;
    const field = h("textarea", {
      "aria-label": t("editing"),
      rows: Math.min(12, turn.content.split("\n").length + 1),
      dir: "auto",
    });
    field.value = turn.content;
    const close = () => {
      article.replaceWith(this.user(turn, index));
      this.element.children[index].querySelector("button").focus();
    };
    const save = (event) => {
      event.preventDefault();
      if (!field.value.trim()) return;
      if (field.value === turn.content) close();
      else this.acts.edit(index, field.value);
    };
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !isComposing(event)) save(event);
      if (event.key === "Escape" && !isComposing(event)) {
        event.stopPropagation();
        close();
      }
    });
    const buttons = [
      h("button", { type: "button", class: "plain", onclick: close }, t("cancel")),
      h("button", { type: "submit", class: "primary" }, t("save")),
    ];
    article.replaceChildren(
      h("h2", { class: "hidden" }, t("you")),
      h("form", { class: "edit", onsubmit: save }, field, h("div", { class: "buttons" }, ...buttons)),
    );
    field.focus();
  }

  view(answer) {
    return this.views.get(answer);
  }
}

/** Whether a key belongs to an input method: Enter takes its candidate then, and sends nothing. Safari says so by 229. */
export function isComposing(event) {
  return event.isComposing || event.keyCode === 229;
}

/** Say something to a screen reader, after what it is saying. */
export function announce(text) {
  const region = byId("said");
  region.textContent = "";
  setTimeout(() => (region.textContent = text), 50);
}
