// Text to marked's tokens, with formulas, `[1]` and line breaks beside those of markdown.

import { Marked } from "./vendor/marked.js";

const LONGEST_BLOCK = 100_000; // characters of one paragraph, table or list
const MOST_SIGNS = 4_000; // `*`, `_` and `~` in one: marked takes a time that grows with the square of them

const ENTITIES = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  nbsp: "\u00a0",
  copy: "©",
  hellip: "…",
  mdash: "—",
  ndash: "–",
  times: "×",
  middot: "·",
  deg: "°",
  rarr: "→",
  larr: "←",
  le: "≤",
  ge: "≥",
  ne: "≠",
};

/** `&lt;` and the like, which markdown takes from HTML. */
export function unescape(text) {
  return text.replace(/&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(\w{2,8}));/g, (whole, decimal, hexadecimal, name) => {
    if (name) return Object.hasOwn(ENTITIES, name) ? ENTITIES[name] : whole;
    const code = decimal ? Number(decimal) : parseInt(hexadecimal, 16);
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

const found = (match, display) =>
  match && { type: "maths", raw: match[0], text: (match[1] ?? match[2]).trim(), display };

/** `$...$` as pandoc reads it: no space within the dollars, no digit after them; `$5 and $6` are prices. */
const INLINE = /^(?:\$(?![\s$])((?:\\[\s\S]|[^$\\\n])*?)(?<!\s)\$(?!\d)|\\\(([\s\S]{1,4000}?)\\\))/;
const DISPLAY = /^(?:\$\$([\s\S]{1,4000}?)\$\$|\\\[([\s\S]{1,4000}?)\\\])/;

/** Where one of the signs is next. marked asks at every piece of text: a pattern would make it quadratic. */
const start =
  (...signs) =>
  (text) => {
    const places = signs.map((sign) => text.indexOf(sign)).filter((at) => at >= 0);
    return places.length ? Math.min(...places) : undefined;
  };

// Pieces of text end before `\`, `<` and `[` anyway, so only what begins with a dollar has to be looked for.
const lexer = new Marked({
  breaks: true,
  tokenizer: { html() {}, tag() {} },
  extensions: [
    {
      name: "maths",
      level: "block",
      start: start("\n$$", "\n\\["),
      tokenizer(text) {
        const match = /^ {0,3}(?:\$\$([\s\S]{1,4000}?)\$\$|\\\[([\s\S]{1,4000}?)\\\])[ \t]*(?:\n+|$)/.exec(text);
        return match ? found(match, true) : undefined;
      },
    },
    {
      name: "maths-in-line",
      level: "inline",
      start: start("$"),
      tokenizer: (text) =>
        /^[$\\]/.test(text)
          ? (found(DISPLAY.exec(text), true) ?? found(INLINE.exec(text), false) ?? undefined)
          : undefined,
    },
    {
      name: "br",
      level: "inline",
      tokenizer(text) {
        const match = /^<br ?\/?>/i.exec(text);
        return match ? { type: "br", raw: match[0] } : undefined;
      },
    },
    {
      name: "cite",
      level: "inline",
      tokenizer(text) {
        const match = /^\[(\d{1,3})\](?![(:[])/.exec(text);
        return match ? { type: "cite", raw: match[0], n: Number(match[1]) } : undefined;
      },
    },
  ],
});

/** The tokens of a text, block by block. What marked cannot read, or not in time, is one paragraph as it is written. */
export function lex(text) {
  const plain = [{ type: "paragraph", raw: text, tokens: [{ type: "text", raw: text, text }] }];
  if (text.length > MOST_SIGNS && isTooMuch(text)) return plain;
  try {
    return lexer.lexer(text);
  } catch {
    return plain; // Thousands of quotes in each other, say, are more than its recursion bears.
  }
}

/** Whether a stretch without an empty line is too long, or has more signs of emphasis than marked pairs in time. */
function isTooMuch(text) {
  for (let from = 0; from < text.length; ) {
    const end = text.indexOf("\n\n", from);
    const to = end < 0 ? text.length : end + 2;
    if (to - from > LONGEST_BLOCK) return true;
    if (to - from > MOST_SIGNS && (text.slice(from, to).match(/[*_~]/g)?.length ?? 0) > MOST_SIGNS) return true;
    from = to;
  }
  return false;
}
