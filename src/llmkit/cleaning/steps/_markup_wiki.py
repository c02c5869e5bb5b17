"""MediaWiki source to plain text: boxes, tables, references and files go; link texts, lists and code stay.

Nested brackets are matched with a stack in one pass, whatever their depth. See mediawiki.org/wiki/Help:Formatting.
"""

from __future__ import annotations

import re

from llmkit.cleaning.steps._markup_blocks import Kept, replace_spans
from llmkit.cleaning.steps._markup_entities import unescape
from llmkit.cleaning.steps._markup_wiki_templates import expand

MAX_DEPTH = 20
"""Links nested deeper are left out: every level copies what is inside."""

_COMMENT = re.compile("<!--")
_VERBATIM = {
    name: re.compile(rf"<{name}(?:\s[^<>]{{0,500}})?>", re.IGNORECASE)
    for name in ("nowiki", "pre", "syntaxhighlight", "source", "code", "math")
}
_LEFT_OUT = {
    name: re.compile(rf"<{name}(?:\s[^<>]{{0,500}})?(?<!/)>", re.IGNORECASE)
    for name in ("ref", "gallery", "timeline", "imagemap", "score")
}
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,1000}>")
_BREAK = re.compile(r"<br\s{0,9}/?>", re.IGNORECASE)
_BRACKET = re.compile(r"\{\{|\}\}|\{\||\|\}(?!\})|\[\[|\]\]")
_OPENS = {"}}": "{{", "|}": "{|", "]]": "[["}
_NO_TEXT = re.compile(
    r"\s*(?:file|image|media|category|文件|檔案|档案|图像|圖像|图片|圖片|分类|分類|[a-z]{2,3}(?:-[a-z-]{2,12})?)\s*:",
    re.I,
)
_VARIANTS = re.compile(r"-\{(?:[A-Z]\|)?([^{}]{0,1000})\}-")
_EXTERNAL = re.compile(r"\[(?:[a-z]{3,6}:)?//[^\s\[\]]{1,2000}[ \t]{0,9}([^\[\]\n]{0,1000})\]")
_QUOTES = re.compile("'{2,5}")
_HEADING = re.compile(r"(={1,6})[ \t]*([^\n]*?)[ \t]*=+")
_LIST = re.compile(r"[*#:;]+[ \t]*")
_SWITCH = re.compile(r"__[A-Z]{3,30}__")
# What templates leave behind: `Paris (; )`.
_EMPTY = re.compile(r"(?<![A-Za-z0-9_])[ ]?[(（][\s;,，；、]{0,20}[)）]")
_DANGLING = re.compile(r"[;,，；、]\s?(?=[)）])")
_REDIRECT = re.compile(r"\s*#(?:redirect|重定向)\s*:?\s*\[\[", re.IGNORECASE)


def to_text(source: str) -> str:
    """Return the text of a wiki page; nothing for a redirection."""
    if _REDIRECT.match(source):
        return ""
    kept = Kept()
    text = replace_spans(source.replace("\0", ""), _COMMENT, "-->", lambda _, __: "")
    for name, start in _VERBATIM.items():
        text = replace_spans(text, start, f"</{name}>", lambda _, inside: kept.keep(inside.strip("\n")))
    text = re.sub(r"<ref\s?[^<>]{0,500}/>", "", text)
    for name, start in _LEFT_OUT.items():
        text = replace_spans(text, start, f"</{name}>", lambda _, __: "")
    text = _brackets(text)
    text = _VARIANTS.sub(_variant, text)
    text = _EXTERNAL.sub(r"\1", text)
    text = _TAG.sub("", _BREAK.sub("\n", text))
    text = unescape(_QUOTES.sub("", text))
    text = _DANGLING.sub("", _EMPTY.sub("", text))
    lines = [_line(line) for line in _SWITCH.sub("", text).split("\n")]
    return kept.restore(re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n"))


def _brackets(text: str) -> str:
    """Resolve templates, tables and links, innermost first."""
    parts: list[str] = []
    stack: list[tuple[str, int]] = []  # opening brackets, and where in `parts` their content begins
    position = 0
    for match in _BRACKET.finditer(text):
        bracket = match[0]
        parts.append(text[position : match.start()])
        position = match.end()
        if bracket not in _OPENS:
            stack.append((bracket, len(parts)))
        elif stack and stack[-1][0] == _OPENS[bracket]:
            opening, start = stack.pop()
            resolved = _resolve(opening, "".join(parts[start:])) if len(stack) < MAX_DEPTH else ""
            parts[start:] = [resolved]
        elif bracket == "|}":
            parts.append(bracket)
        # Any other closing bracket without its opening one is a slip of the writer and goes.
    return "".join(parts) + text[position:]


def _resolve(opening: str, inside: str) -> str:
    if opening == "[[":
        if _NO_TEXT.match(inside):
            return ""
        target, _, label = inside.partition("|")
        return (label or target.split("#")[0].lstrip(":")).strip()
    return expand(inside) if opening == "{{" else ""


def _variant(match: re.Match[str]) -> str:
    """Choose the simplified form of `-{zh-hans:计算机; zh-hant:電腦}-`; without names the text itself."""
    forms = {
        name.strip(): text.strip()
        for name, found, text in (form.partition(":") for form in match[1].split(";"))
        if found
    }
    return next((forms[name] for name in ("zh-hans", "zh-cn") if name in forms), "") or (
        next(iter(forms.values())) if forms else match[1]
    )


def _line(line: str) -> str:
    if line[:1] == "=" and (heading := _HEADING.fullmatch(line.rstrip())):
        return heading[2]
    if line[:1] in {"*", "#", ":", ";"} and (item := _LIST.match(line)):
        marks = item[0].rstrip()
        return ("- " if marks[-1] in "*#" else "") + line[item.end() :]
    return "" if line.startswith("----") else line.rstrip()
