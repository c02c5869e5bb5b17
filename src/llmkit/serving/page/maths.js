// TeX to MathML: the part of it that answers are made of. A formula with anything else is shown as its source, whole.

import {
  ACCENTS,
  BIG,
  FONTS,
  FUNCTIONS,
  inAlphabet,
  LARGE,
  LETTERS,
  LIMITS,
  MATRICES,
  OPERATORS,
  SIZES,
  SPACES,
} from "./signs.js";

const MATHML = "http://www.w3.org/1998/Math/MathML";
const DEEPEST = 60; // nested groups
const LONGEST = 4_000; // characters of a formula

class Unknown extends Error {}

function m(tag, ...children) {
  const node = document.createElementNS(MATHML, tag);
  node.append(...children);
  return node;
}

function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

const row = (nodes) => (nodes.length === 1 ? nodes[0] : m("mrow", ...nodes));
const fence = (text) => set(m("mo", text), { stretchy: "true", fence: "true" });

class Formula {
  constructor(source) {
    this.parts = source.match(/\\(?:[A-Za-z]+|[\s\S])|\d+(?:\.\d+)?|\s+|[\s\S]/gu) ?? [];
    this.at = 0;
    this.depth = 0;
    this.font = "";
  }

  next() {
    while (this.at < this.parts.length && /^\s+$/.test(this.parts[this.at])) this.at += 1;
    return this.parts[this.at];
  }

  take(expected) {
    const part = this.next();
    if (part === undefined || (expected !== undefined && part !== expected)) throw new Unknown(expected);
    this.at += 1;
    return part;
  }

  /** Nodes up to one of the ends, which is left where it is. */
  until(...ends) {
    if ((this.depth += 1) > DEEPEST) throw new Unknown("depth");
    const nodes = [];
    for (let part = this.next(); !ends.includes(part); part = this.next()) {
      if (part === undefined || part === "}" || part === "&" || part === "\\\\") throw new Unknown(part);
      const node = this.scripted();
      if (node) nodes.push(node);
    }
    this.depth -= 1;
    return nodes;
  }

  /** One atom with what stands below and above it. */
  scripted() {
    const atom = "^_".includes(this.next()) ? m("mrow") : this.atom();
    const found = {};
    for (let part = this.next(); part === "^" || part === "_" || part === "'"; part = this.next()) {
      if (part === "'") {
        let primes = "";
        while (this.next() === "'") primes += (this.at += 1) && "′";
        found["^"] = m("mo", primes);
        continue;
      }
      if (found[part]) throw new Unknown("a second script");
      this.at += 1;
      found[part] = this.argument();
    }
    const { _: below, "^": above } = found;
    if (!below && !above) return atom;
    const base = atom ?? m("mrow");
    const over = base.limits;
    if (below && above) return m(over ? "munderover" : "msubsup", base, below, above);
    return below ? m(over ? "munder" : "msub", base, below) : m(over ? "mover" : "msup", base, above);
  }

  argument() {
    if (this.next() !== "{") {
      const digits = this.next();
      if (/^\d\d/.test(digits ?? "")) {
        // TeX takes one digit: x^12 is x to the 1, and a 2.
        this.parts.splice(this.at, 1, ...digits);
      }
      return this.atom() ?? m("mrow");
    }
    this.take("{");
    const nodes = this.until("}");
    this.take("}");
    return row(nodes);
  }

  /** The words of `\text{...}` as they are. */
  text() {
    this.take("{");
    let text = "";
    for (let depth = 0; ; this.at += 1) {
      const part = this.parts[this.at];
      if (part === undefined || part.startsWith("$")) throw new Unknown("text");
      if (part === "}" && depth === 0) break;
      depth += part === "{" ? 1 : part === "}" ? -1 : 0;
      if (part !== "{" && part !== "}") text += part.startsWith("\\") ? this.escaped(part) : part;
    }
    this.take("}");
    return text;
  }

  escaped(part) {
    if (/^\\[%$#&_{} ]$/.test(part)) return part[1];
    throw new Unknown(part);
  }

  atom() {
    const part = this.take();
    if (part === "{") {
      const nodes = this.until("}");
      this.take("}");
      return row(nodes);
    }
    if (part.startsWith("\\")) return this.command(part.slice(1));
    if (/^\d/.test(part)) return m("mn", [...part].map((one) => inAlphabet(one, this.font)).join(""));
    if (/^\p{L}$/u.test(part)) return this.letter(part);
    if (part === "~") return this.space(0.25);
    if ("$#%".includes(part)) throw new Unknown(part);
    const sign = m("mo", { "-": "−", "*": "∗" }[part] ?? part);
    return "()[]|/".includes(part) ? set(sign, { stretchy: "false" }) : sign;
  }

  letter(part) {
    const node = m("mi", inAlphabet(part, this.font));
    return this.font === "normal" ? set(node, { mathvariant: "normal" }) : node;
  }

  space(em) {
    return set(m("mspace"), { width: `${em}em` });
  }

  command(name) {
    if (Object.hasOwn(LETTERS, name)) return m("mi", LETTERS[name]);
    if (Object.hasOwn(OPERATORS, name)) return set(m("mo", OPERATORS[name]), { stretchy: "false" });
    if (Object.hasOwn(LARGE, name)) return this.large(m("mo", LARGE[name]), !name.includes("int"));
    if (FUNCTIONS.has(name)) return m("mi", name);
    if (LIMITS.has(name)) return this.large(m("mo", name.replace(/^(lim|arg)(?=...)/, "$1 ")), true);
    if (Object.hasOwn(SPACES, name)) return this.space(SPACES[name]);
    if (SIZES.has(name)) return null;
    if (/^[%$#&_{}]$/.test(name)) return m("mo", name);
    if (name === "|") return m("mo", "‖");
    if (BIG.test(name)) return m("mo", this.delimiter());
    if (Object.hasOwn(ACCENTS, name))
      return set(m("mover", this.argument(), m("mo", ACCENTS[name])), { accent: "true" });
    if (name === "underline") return m("munder", this.argument(), m("mo", "_"));
    if (Object.hasOwn(FONTS, name)) return this.inFont(name);
    if (name === "text" || name === "textbf" || name === "textit" || name === "mbox")
      return m("mtext", this.text().replaceAll(" ", "\u00a0"));
    return this.structure(name);
  }

  large(node, limits) {
    node.limits = limits;
    return node;
  }

  inFont(name) {
    if (name === "mathrm" || name === "operatorname") return set(m("mi", this.text()), { mathvariant: "normal" });
    const before = this.font;
    this.font = FONTS[name];
    const node = this.argument();
    this.font = before;
    return node;
  }

  structure(name) {
    if (["frac", "dfrac", "tfrac", "cfrac"].includes(name)) return m("mfrac", this.argument(), this.argument());
    if (["binom", "dbinom", "tbinom"].includes(name)) {
      const stack = set(m("mfrac", this.argument(), this.argument()), { linethickness: "0" });
      return m("mrow", fence("("), stack, fence(")"));
    }
    if (name === "sqrt") return this.root();
    if (name === "left") return this.fenced();
    if (name === "begin") return this.table();
    if (name === "boxed") return set(m("mrow", this.argument()), { class: "boxed" });
    if (name === "pmod") return m("mrow", this.space(0.5), m("mtext", "(mod\u00a0"), this.argument(), m("mtext", ")"));
    if (name === "bmod" || name === "mod") return m("mo", "mod");
    throw new Unknown(name);
  }

  root() {
    if (this.next() !== "[") return m("msqrt", this.argument());
    this.take("[");
    const degree = row(this.until("]"));
    this.take("]");
    return m("mroot", this.argument(), degree);
  }

  delimiter() {
    const part = this.take();
    if (part === ".") return "";
    if (/^[()[\]|/<>]$/.test(part)) return { "<": "⟨", ">": "⟩" }[part] ?? part;
    const name = part.slice(1);
    if (part === "\\{" || part === "\\}") return name;
    if (part === "\\|") return "‖";
    if (part.startsWith("\\") && Object.hasOwn(OPERATORS, name)) return OPERATORS[name];
    throw new Unknown(part);
  }

  fenced() {
    const nodes = [fence(this.delimiter())];
    for (;;) {
      nodes.push(...this.until("\\right", "\\middle"));
      const end = this.take();
      nodes.push(fence(this.delimiter()));
      if (end === "\\right") return m("mrow", ...nodes);
    }
  }

  table() {
    const name = this.text();
    const [open, close] = MATRICES[Object.hasOwn(MATRICES, name) ? name : ""] ?? [];
    if (open === undefined) throw new Unknown(name);
    if (name === "array") this.text();
    const rows = [[]];
    for (;;) {
      rows.at(-1).push(m("mtd", ...this.until("&", "\\\\", "\\end")));
      const end = this.take();
      if (end === "\\\\") rows.push([]);
      if (end === "\\end") break;
    }
    if (this.text() !== name) throw new Unknown("end");
    if (rows.at(-1).length === 1 && !rows.at(-1)[0].hasChildNodes()) rows.pop();
    const table = m("mtable", ...rows.map((cells) => m("mtr", ...cells)));
    if (!/matrix|array/.test(name))
      table.setAttribute("class", name === "cases" ? "cases" : name.startsWith("gather") ? "gathered" : "aligned");
    if (!open && !close) return table;
    return m("mrow", ...(open ? [fence(open)] : []), table, ...(close ? [fence(close)] : []));
  }
}

/** The formula as `<math>`, or null where it has something that is not known here. */
export function mathml(source, display) {
  if (source.length > LONGEST) return null;
  try {
    const formula = new Formula(source);
    const math = m("math", ...formula.until(undefined));
    if (display) math.setAttribute("display", "block");
    return math;
  } catch (error) {
    if (error instanceof Unknown) return null;
    throw error;
  }
}
