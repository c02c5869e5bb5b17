"""Markdown (CommonMark with tables, footnotes and front matter) to plain text; code blocks and list marks stay.

A line-by-line reading in linear time rather than a full parser, which takes 30 times as long and has worse cases.
"""

from __future__ import annotations

import re

from llmkit.cleaning.steps._markup_blocks import Kept, replace_spans
from llmkit.cleaning.steps._markup_entities import unescape

_FENCE = re.compile(
    r"(?P<indent>[ \t]*(?:>[ \t]?)*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?)(?P<fence>`{3,}|~{3,})(?P<info>[^\n`]*)"
)
_COMMENT = re.compile("<!--")
_QUOTE = r"(?: {0,3}>[ ]?)"
_QUOTES = re.compile(_QUOTE + "+")
MAX_QUOTES = 100
"""Code in deeper quotations keeps the rest of their marks."""
_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]+|$)")
_CLOSING_MARKS = re.compile(r"(?:^|[ \t])#+[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-{2,})[ \t]*")
_RULE = re.compile(r" {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})")
_TABLE_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")
_DEFINITION = re.compile(r" {0,3}\[(\^)?[^\[\]\n]{1,500}\]:[ \t]*")

# A class that stops at the next opening mark keeps each of these linear.
_CODE = re.compile(r"(?<!`)``(?!`)((?:[^`\n]|`(?!`)){1,500})``(?!`)|(?<!`)`(?!`)([^`]{1,1000})`(?!`)")
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
_AUTOLINK = re.compile(r"<((?:https?|ftp|mailto):[^<>\s]{1,2000}|[\w.+-]{1,64}@[\w.-]{1,255})>")
_TARGET = (
    r"""\((?:<[^<>\n]{0,2000}>|(?:[^()\s]|\([^()\s]{0,500}\)){0,2000})"""
    r"""(?:\s{1,9}(?:"[^"]{0,500}"|'[^']{0,500}'))?\s?\)"""
)
_IMAGE = re.compile(rf"!\[([^\[\]]{{0,1000}})\](?:{_TARGET}|\[[^\[\]]{{0,500}}\])")
_LINK = re.compile(rf"\[([^\[\]]{{0,1000}})\](?:{_TARGET}|\[[^\[\]]{{0,500}}\])")
_FOOTNOTE = re.compile(r"\[\^[^\[\]\s]{1,100}\]")
_TAG = re.compile(
    r"</?(?:a|abbr|b|big|blockquote|br|center|cite|code|dd|del|details|div|dl|dt|em|figure|figcaption|font|h[1-6]|hr|i|img|"
    r"ins|kbd|li|mark|ol|p|picture|pre|q|s|samp|small|source|span|strike|strong|sub|summary|sup|table|tbody|td|th|thead|"
    r"tr|tt|u|ul|var|video)(?:\s+[a-z_:@][^<>]{0,2000})?\s?/?>",
    re.IGNORECASE,
)
_STARS = re.compile(r"(\*{1,3})(?=[^\s*])([^*]{1,1000})(?<!\s)\1(?!\*)")
_UNDERSCORES = re.compile(r"(?<![^\W_])(_{1,3})(?=[^\s_])([^_]{1,1000})(?<!\s)\1(?![^\W])")
_STRUCK = re.compile(r"~~(?=[^\s~])([^~]{1,1000})(?<!\s)~~")


def to_text(source: str) -> str:
    """Return the text of a Markdown document."""
    kept = Kept()
    text = source.replace("\0", "")
    if text.startswith("---\n") and (end := text.find("\n---\n", 3)) >= 0:
        text = text[end + 5 :]
    text = _blocks(text, kept)
    text = _CODE.sub(lambda match: kept.keep((match[1] or match[2]).strip(" ")), text)
    text = _ESCAPE.sub(lambda match: kept.keep(match[1]), text)
    text = replace_spans(text, _COMMENT, "-->", lambda _, __: "")
    text = _AUTOLINK.sub(r"\1", text)
    text = _IMAGE.sub(r"\1", text)
    for _ in range(2):  # a link may have a link's brackets in its text
        text = _LINK.sub(r"\1", text)
    text = _FOOTNOTE.sub("", _TAG.sub("", text))
    for _ in range(2):  # bold within italics and the other way round
        text = _STARS.sub(r"\2", text)
        text = _UNDERSCORES.sub(r"\2", text)
    text = unescape(_STRUCK.sub(r"\1", text))
    return kept.restore(
        re.sub(r"\n{3,}", "\n\n", re.sub(r"(?<![ \t])[ \t]+$", "", text, flags=re.MULTILINE)).strip("\n")
    )


def _blocks(text: str, kept: Kept) -> str:
    """Read the lines; code is set aside."""
    out: list[str] = []
    code: list[str] | None = None
    fence, indent = "", _indent_of("")
    after_text = in_table = False
    for line in text.split("\n"):
        if code is not None:
            if line.strip(" \t>").startswith(fence) and not line.strip(" \t>" + fence[0]):
                out.append(kept.keep("\n".join(code)))
                code = None
            else:
                code.append(indent.sub("", line, count=1))
            continue
        if ("```" in line or "~~~" in line) and (start := _FENCE.fullmatch(line)):
            code, fence, indent = [], start["fence"], _indent_of(start["indent"])
            after_text = False
            continue
        if not after_text and line[:1] in {" ", "\t"} and (line.startswith(("    ", "\t"))) and line.strip():
            out.append(kept.keep(line))  # code, or what goes on in a list item
            continue
        after_text, in_table = _line(line, after_text=after_text, in_table=in_table, out=out)
    if code is not None:
        out.append(kept.keep("\n".join(code)))
    return "\n".join(out)


def _line(line: str, *, after_text: bool, in_table: bool, out: list[str]) -> tuple[bool, bool]:
    """Read one line outside code into `out`; return whether a paragraph may go on, and whether a table does."""
    # All marks at once: one after the other, each would copy the line.
    if quotes := _QUOTES.match(line):
        line = line[quotes.end() :]
    first = line.lstrip(" ")[:1]
    if (after_text and first in {"=", "-"} and _UNDERLINE.fullmatch(line)) or (
        first in {"*", "-", "_"} and _RULE.fullmatch(line)
    ):
        return False, False
    if first == "#" and (heading := _HEADING.match(line)):
        out.append(_CLOSING_MARKS.sub("", line[heading.end() :]))
        return False, False
    if first == "[" and (definition := _DEFINITION.match(line)):
        if definition[1]:
            out.append(line[definition.end() :])
        return bool(definition[1]), False
    if "|" in line and "-" in line and _TABLE_RULE.fullmatch(line):
        if out and "|" in out[-1]:
            out[-1] = _cells(out[-1])
        return False, True
    if in_table and "|" in line:
        out.append(_cells(line))
        return True, True
    out.append(line)
    return bool(line.strip()), False


def _cells(row: str) -> str:
    return "\t".join(cell.strip() for cell in row.strip().removeprefix("|").removesuffix("|").split("|"))


def _indent_of(fence: str) -> re.Pattern[str]:
    """Return what a fence's own indentation takes off the lines of its code: blanks, or the marks of a quotation."""
    depth = min(fence.count(">"), MAX_QUOTES)
    return re.compile(f"{_QUOTE}{{0,{depth}}}" if depth else f"[ \\t]{{0,{min(len(fence), MAX_QUOTES)}}}")
