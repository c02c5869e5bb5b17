// Light highlighting of code: comments, strings, numbers and keywords of common languages. Others stay plain.

import { h } from "./elements.js";

const LONGEST = 50_000; // characters; beyond, colours are not worth their nodes

const words = (text) => new Set(text.split(" "));
const STRING = String.raw`"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'`;
const C_LIKE = String.raw`\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$)`;
const HASH = String.raw`#[^\n]*`;

function language(comment, keywords, string = STRING) {
  const pattern = `(?<comment>${comment})|(?<string>${string})|(?<number>\\b\\d[\\w.]*)|(?<word>[A-Za-z_]\\w*)`;
  return { pattern, keywords: words(keywords) };
}

const PYTHON = language(
  HASH,
  "and as assert async await break case class continue def del elif else except False finally for from global if import in is lambda match None nonlocal not or pass raise return True try while with yield",
  String.raw`"""[\s\S]*?(?:"""|$)|'''[\s\S]*?(?:'''|$)|` + STRING,
);
const SCRIPT = language(
  C_LIKE,
  "async await break case catch class const continue default delete do else enum export extends false finally for from function if implements import in instanceof interface let new null of return static super switch this throw true try type typeof undefined var void while yield",
  STRING + String.raw`|\u0060(?:\\.|[^\u0060\\])*\u0060`,
);
const SYSTEMS = language(
  C_LIKE,
  "auto bool break case catch char class const constexpr continue default defer delete do double else enum extends extern false final fn float for func go if impl import in include inline int interface let long loop match mod mut namespace new nil null nullptr override package private protected pub public return self short signed sizeof static struct super switch template this throw trait true try type typedef union unsigned use using var virtual void volatile where while",
);
const SHELL = language(HASH, "case do done elif else esac export fi for function if in local return then until while");
const SQL = language(
  String.raw`--[^\n]*`,
  "SELECT FROM WHERE AND OR NOT NULL INSERT INTO VALUES UPDATE SET DELETE CREATE TABLE INDEX JOIN LEFT RIGHT INNER OUTER ON AS GROUP BY ORDER HAVING LIMIT UNION ALL DISTINCT WITH CASE WHEN THEN ELSE END IN IS LIKE BETWEEN EXISTS select from where and or not null insert into values update set delete create table index join left right inner outer on as group by order having limit union all distinct with case when then else end in is like between exists",
);
const DATA = language(HASH, "true false null yes no on off");

const LANGUAGES = {
  python: PYTHON,
  py: PYTHON,
  javascript: SCRIPT,
  js: SCRIPT,
  jsx: SCRIPT,
  typescript: SCRIPT,
  ts: SCRIPT,
  tsx: SCRIPT,
  c: SYSTEMS,
  cpp: SYSTEMS,
  "c++": SYSTEMS,
  cs: SYSTEMS,
  csharp: SYSTEMS,
  java: SYSTEMS,
  kotlin: SYSTEMS,
  swift: SYSTEMS,
  go: SYSTEMS,
  rust: SYSTEMS,
  rs: SYSTEMS,
  bash: SHELL,
  sh: SHELL,
  shell: SHELL,
  zsh: SHELL,
  console: SHELL,
  sql: SQL,
  json: DATA,
  yaml: DATA,
  yml: DATA,
  toml: DATA,
};

/** Nodes of the code: text, and spans with a class where the language is known. */
export function highlight(code, name) {
  const known = LANGUAGES[(name ?? "").toLowerCase()];
  if (!known || code.length > LONGEST) return [code];
  const nodes = [];
  let from = 0;
  for (const match of code.matchAll(new RegExp(known.pattern, "g"))) {
    const { comment, string, number, word } = match.groups;
    const kind = comment
      ? "comment"
      : string
        ? "string"
        : number
          ? "number"
          : known.keywords.has(word)
            ? "keyword"
            : null;
    if (!kind) continue;
    if (match.index > from) nodes.push(code.slice(from, match.index));
    nodes.push(h("span", { class: kind }, match[0]));
    from = match.index + match[0].length;
  }
  nodes.push(code.slice(from));
  return nodes;
}
