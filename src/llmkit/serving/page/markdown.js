// Markdown to nodes. marked splits a text into tokens; each becomes an element made here, and every word of the text is
// set as text: there is no HTML for it to be taken as. HTML in the text is shown as it is written.

import { h, icon } from "./elements.js";
import { highlight } from "./highlight.js";
import { lex, unescape } from "./lexer.js";
import { mathml } from "./maths.js";
import { t } from "./words.js";

const SAFE = /^(?:https?:\/\/|mailto:)/i;
const DEEPEST = 40; // quotes and lists in each other

/** Makes nodes of tokens; `cited` says which `[n]` has a source, `onCite` is called with the n of one that is chosen. */
class Nodes {
  constructor({ cited = new Set(), onCite } = {}) {
    this.cited = cited;
    this.onCite = onCite;
    this.level = 2;
  }

  /** A heading under that of the turn, never more than one level below the one before it. */
  heading(token, children) {
    this.level = Math.min(token.depth + 2, this.level + 1, 6);
    return h(`h${this.level}`, { class: `h${token.depth}`, dir: "auto" }, ...children);
  }

  all(tokens, depth = 0) {
    return (tokens ?? []).map((token) => this.one(token, depth)).filter((node) => node !== null);
  }

  one(token, depth = 0) {
    if (depth > DEEPEST) return token.raw;
    const inside = () => this.all(token.tokens, depth + 1);
    switch (token.type) {
      case "space":
      case "def":
      case "checkbox":
        return null;
      case "heading":
        return this.heading(token, inside());
      case "paragraph":
        return h("p", { dir: "auto" }, ...inside());
      case "blockquote":
        return h("blockquote", {}, ...inside());
      case "list":
        return this.list(token, depth);
      case "table":
        return this.table(token, depth);
      case "code":
        return codeBlock(token.text, (token.lang ?? "").trim().split(/\s/)[0]);
      case "hr":
        return h("hr");
      case "strong":
      case "em":
      case "del":
        return h(token.type, {}, ...inside());
      case "codespan":
        return h("code", { dir: "auto" }, token.text);
      case "br":
        return h("br");
      case "link":
        return this.link(token, inside());
      case "image":
        return this.link(token, [`${t("image")}: ${unescape(token.text) || token.href}`]);
      case "maths":
        return formula(token);
      case "cite":
        return this.cite(token);
      case "escape":
        return token.text;
      case "text":
        return token.tokens ? h("span", { dir: "auto" }, ...inside()) : unescape(token.text);
      default:
        return token.raw;
    }
  }

  list(token, depth) {
    const attributes = token.ordered && token.start !== 1 ? { start: token.start } : {};
    return h(
      token.ordered ? "ol" : "ul",
      attributes,
      ...token.items.map((item) => {
        const mark = item.task
          ? [
              h(
                "span",
                { class: "task", role: "img", "aria-label": t(item.checked ? "done" : "open") },
                item.checked ? "☑" : "☐",
              ),
              " ",
            ]
          : [];
        return h(
          "li",
          { dir: "auto", class: item.task ? "task-item" : null },
          ...mark,
          ...this.all(item.tokens, depth + 1),
        );
      }),
    );
  }

  table(token, depth) {
    const cells = (row, tag) =>
      row.map((cell, i) =>
        h(
          tag,
          { dir: "auto", class: token.align[i] ? `to-${token.align[i]}` : null, scope: tag === "th" ? "col" : null },
          ...this.all(cell.tokens, depth + 1),
        ),
      );
    const table = h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ...cells(token.header, "th"))),
      h("tbody", {}, ...token.rows.map((row) => h("tr", {}, ...cells(row, "td")))),
    );
    return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": t("table") }, table);
  }

  /** A link to the web or of mail; any other, and one within our own server, stays what was written. */
  link(token, children) {
    const href = unescape(token.href ?? "");
    if (!SAFE.test(href)) return token.raw;
    return h("a", { href, target: "_blank", rel: "noopener noreferrer nofollow", title: href }, ...children);
  }

  cite(token) {
    if (!this.cited.has(token.n)) return token.raw;
    const onclick = () => this.onCite?.(token.n);
    return h(
      "button",
      { type: "button", class: "cite", "aria-label": t("source", { n: token.n }), onclick },
      `${token.n}`,
    );
  }
}

function formula({ text, display, raw }) {
  const math = mathml(text, display);
  if (math)
    return display
      ? h("div", { class: "scroll maths", tabindex: "0", role: "group", "aria-label": t("formula") }, math)
      : math;
  return h("code", { class: "tex" }, raw.trim());
}

function codeBlock(text, language) {
  const name = language.replace(/[^\w+#.-]/g, "").slice(0, 20);
  const copy = h("button", { type: "button", class: "copy" }, icon("copy"), h("span", {}, t("copy")));
  copy.addEventListener("click", () => copyText(text, copy));
  const code = h(
    "pre",
    { tabindex: "0", role: "group", "aria-label": name ? t("codeIn", { name }) : t("code") },
    h("code", {}, ...highlight(text, name)),
  );
  return h("div", { class: "code", dir: "ltr" }, h("div", { class: "code-head" }, h("span", {}, name), copy), code);
}

/** Copies the text and says so on the button. */
export async function copyText(text, button) {
  const label = button.lastElementChild;
  const before = label.textContent;
  const isCopied = await navigator.clipboard?.writeText(text).then(
    () => true,
    () => false,
  );
  label.textContent = t((isCopied ?? copySelected(text, button)) ? "copied" : "notCopied");
  setTimeout(() => (label.textContent = before), 1500);
}

/** Copies as browsers do that have no clipboard for pages without TLS, which are those of a local network. */
function copySelected(text, button) {
  const field = h("textarea", { class: "hidden" });
  field.value = text;
  button.after(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  button.focus();
  return isCopied;
}

/** A text as it grows: blocks that have ended are made into nodes once, only the last one is made again. */
export class Prose {
  constructor(element, options) {
    this.element = element;
    this.nodes = new Nodes(options);
    this.done = 0;
    this.open = [];
    this.level = this.nodes.level;
  }

  /** Show `text`, which begins with what was shown before. */
  write(text) {
    for (const node of this.open) node.remove();
    this.nodes.level = this.level;
    this.settle(text.slice(this.done, text.lastIndexOf("\n") + 1));
    this.level = this.nodes.level;
    this.open = lex(text.slice(this.done))
      .map((token) => this.nodes.one(token))
      .filter((node) => node !== null);
    this.open = this.open.map((node) => (typeof node === "string" ? document.createTextNode(node) : node));
    this.element.append(...this.open);
  }

  /** Make nodes of the blocks that have ended: all but the last. A line that has not ended may yet be of another kind. */
  settle(lines) {
    const tokens = lines === "" ? [] : lex(lines);
    let last = tokens.length - 1;
    while (last > 0 && tokens[last].type === "space") last -= 1;
    for (const token of tokens.slice(0, Math.max(last, 0))) {
      const node = this.nodes.one(token);
      if (node !== null) this.element.append(node);
      this.done += token.raw.length;
    }
  }

  /** Show a text that is whole, with the sources it cites. */
  finish(text, options = {}) {
    Object.assign(this.nodes, options);
    const tokens = lex(text);
    const isShown = this.done + this.open.length > 0;
    if (isShown && !this.nodes.cited.size && !Object.keys(tokens.links ?? {}).length) return this.write(text);
    this.done = 0;
    this.open = [];
    this.nodes.level = 2;
    return this.element.replaceChildren(...this.nodes.all(tokens));
  }
}
