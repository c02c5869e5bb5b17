"""Manual pages (roff with the man or mdoc macros) to plain text.

Fills paragraphs as `man` does, a paragraph a line, and lines of Chinese, Japanese or Thai without blanks between them;
literal blocks keep their lines. Macros: groff_man(7), groff_mdoc(7); escapes: groff(7), groff_char(7).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from llmkit.cleaning.steps._markup_mdoc import INLINE, Mdoc
from llmkit.cleaning.steps._markup_roff_escapes import STRINGS, unescape
from llmkit.text.characters import unspaced_class

_TITLE = re.compile(r"^\.(?:TH|Dt)[ \t]", re.MULTILINE)
_SECTION = re.compile(r"^\.S[Hh](?:[ \t]|$)", re.MULTILINE)
_PARAGRAPH = re.compile(r"^\.(?:PP|TP|LP|IP|Pp|BR?)(?:[ \t]|$)", re.MULTILINE)
_CONTROL = re.compile(r"\.[ \t]*([^\s\\]*)[ \t]*(.*)|'[ \t]*([a-z]{2})(?![\w'])[ \t]*(.*)", re.DOTALL)
_COMMENT = re.compile(r"(?<!\\)(?:\\\\){0,4}(\\[\"#].*)", re.DOTALL)
_ARGUMENT = re.compile(r'"((?:[^"]|"")*)"?|((?:\\ |\S)+)')
_CONDITION = re.compile(r"(!?)([nt]|\S+)[ \t]*(.*)", re.DOTALL)
_MARKER = re.compile(r"[-*+·•–—o○]|\(?\d{1,3}[.)]?")

_FONTS = {"B", "I", "SM", "SB"}
_MIXED_FONTS = {"BI", "BR", "IB", "IR", "RB", "RI"}
_PARAGRAPHS = {"PP", "LP", "P", "HP", "Pp", "sp", "Sp", "bp", "Lp"}
_BREAKS = {"br", "RS", "RE", "in", "ti", "ce", "Bl", "El", "YS", "Rs", "Re"}
_LITERAL = {"nf", "EX", "Vb", "CS", "DS"}
_FILLED = {"fi", "EE", "Ve", "CE", "DE", "Ed"}
_IGNORED = {"IX", "PD", "DT", "UC", "AT", "Dd", "Os", "TE", "Sm", "Bk", "Ek", "AS", "BS", "BE", "VS", "VE"}
"""Macros whose arguments are no text."""
_SKIPPED_TO = {"de": "..", "de1": "..", "am": "..", "ig": ".."}


def to_text(source: str) -> str:
    """Return the text of a manual page."""
    page = _Page()
    lines = iter(source.split("\n"))
    for line in lines:
        page.line(line, lines)
    page.flush()
    return "\n".join(page.lines).strip("\n")


@functools.cache
def _unspaced() -> re.Pattern[str]:
    """Return the pattern of characters between which a line end is no blank, East Asian punctuation included."""
    return re.compile(f"[{unspaced_class()}\u3000-\u303f\uff01-\uff65]")


def looks_like(text: str) -> bool:
    """Tell whether a text is a manual page: it begins with a title and a section, or a section and a paragraph."""
    head = text[:20_000]
    if ".S" not in head:
        return False
    section = _SECTION.search(head)
    return section is not None and bool(_TITLE.search(head) or _PARAGRAPH.search(head, section.end()))


class _Page:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.fill: list[str] = []
        self.gap = False
        self.literal = False
        self.alone = False  # the next line of text is a heading or a tag
        self.otherwise = False  # what `.el` decides
        self.skipping = 0  # open braces of a branch not taken
        self.url = ""
        self.strings = dict(STRINGS)
        self.mdoc = Mdoc()

    def line(self, line: str, lines: Iterator[str]) -> None:
        """Process one line; a macro that spans lines takes them from `lines`."""
        if self.skipping:
            self.skipping = max(0, self.skipping + line.count("\\{") - line.count("\\}"))
            return
        if "\\" in line and (comment := _COMMENT.search(line)):
            line = line[: comment.start(1)]
            if not line.strip(" .'"):
                return
        control = _CONTROL.match(line) if line[:1] in {".", "'"} else None
        if control is None:
            self.text(line)
        else:
            name, rest = (control[1], control[2]) if control[1] is not None else (control[3], control[4])
            if len(name) > 3 and not name.isupper():  # `.service files`: no macro, but a line that begins with a dot
                self.text("\\&" + line)
            else:
                self.control(name, rest, lines)

    def control(self, name: str, rest: str, lines: Iterator[str]) -> None:
        """Process a request or macro call."""
        if name in _SKIPPED_TO:
            for line in lines:
                if line.startswith(_SKIPPED_TO[name]):
                    break
        elif name in {"if", "ie", "el"}:
            self.condition(name, rest, lines)
        elif name in {"ds", "as"}:
            key, _, value = rest.partition(" ")
            self.strings[key] = unescape(value.strip(" ").removeprefix('"'), self.strings)[:200]
        elif name in _PARAGRAPHS:
            self.paragraph()
        elif name in _BREAKS:
            self.flush()
        elif name in _LITERAL or (name == "Bd" and "-filled" not in rest):
            self.paragraph()
            self.literal = True
        elif name in _FILLED:
            self.paragraph()
            self.literal = False
        elif name == "TS":
            self.table(lines)
        elif name[:1].isupper():
            self.macro(name, [unescape((a or b).replace('""', '"'), self.strings) for a, b in _ARGUMENT.findall(rest)])

    def macro(self, name: str, args: list[str]) -> None:
        """Process a macro that prints its arguments; all others whose names begin with a capital letter do as well."""
        if name in {"SH", "SS", "Sh", "Ss"}:
            self.paragraph()
            self.literal, self.alone = False, True
            self.words(" ".join(args))
        elif name in {"TH", "Dt"}:
            self.words(f"{args[0]}({args[1]})" if len(args) > 1 else " ".join(args))
            self.paragraph()
        elif name in {"TP", "TQ"}:
            self.paragraph()
            self.alone = True
        elif name in {"IP", "It"}:
            self.item(self.mdoc.inline(args) if name == "It" else " ".join(args[:1]), paragraph=name == "IP")
        elif name in {"UR", "MT"}:
            self.url = args[0] if args else ""
        elif name in {"UE", "ME"}:
            self.words((f"<{self.url}>" if self.url else "") + "".join(args))
            self.url = ""
        elif name == "OP":
            self.words(f"[{' '.join(args)}]")
        elif name in _MIXED_FONTS:
            self.words("".join(args))
        elif name in {"Dl", "D1"}:
            self.flush()
            self.words(self.mdoc.inline(args))
            self.flush()
        elif name in INLINE:
            self.words(self.mdoc.inline([name, *args]))
        elif name in _FONTS or name not in _IGNORED:
            self.words(" ".join(args))

    def condition(self, name: str, rest: str, lines: Iterator[str]) -> None:
        """Take the branches for terminals (`n`); other conditions count as false."""
        if name == "el":
            taken, body = self.otherwise, rest
        else:
            match = _CONDITION.match(rest)
            if match is None:
                return
            taken = (match[2] == "n") != bool(match[1]) if match[2] in {"n", "t"} else False
            body = match[3]
            self.otherwise = not taken
        if not taken:
            self.skipping = max(0, rest.count("\\{") - rest.count("\\}"))
        elif body := body.removeprefix("\\{").removesuffix("\\").strip():
            self.line(body, lines)

    def table(self, lines: Iterator[str]) -> None:
        """Keep the cells of a tbl(1) table, a row a line, separated by tabs."""
        self.paragraph()
        separator, in_format = "\t", True
        for line in lines:
            if line.startswith(".TE"):
                break
            if in_format:
                if option := re.search(r"\btab\s?\((.)\)", line):
                    separator = option[1]
                in_format = not line.rstrip().endswith(".")
            elif line[:1] != "." and line.strip("_= "):
                cells = unescape(line.replace("T{", "").replace("T}", ""), self.strings).split(separator)
                self.append("\t".join(cell.strip() for cell in cells))
        self.paragraph()

    def text(self, line: str) -> None:
        """Process a line of text."""
        text = unescape(line, self.strings)
        if self.literal and not self.alone:
            self.append(text.rstrip())
        elif not line.strip():
            self.paragraph()
        else:
            if line[0] in " \t":
                self.flush()
            self.words(text.strip(" \t"))

    def words(self, words: str) -> None:
        """Add words to the paragraph, or to the literal block."""
        if self.literal and not self.alone:
            self.append(words)
        elif words:
            self.fill.append(words)
            if self.alone:
                self.flush()

    def item(self, tag: str, *, paragraph: bool) -> None:
        """Begin a list item: a bullet or number stands before its text, a longer tag on a line of its own."""
        if paragraph:
            self.paragraph()
        self.flush()
        if tag or not paragraph:
            self.fill.append(tag or "•")
        if tag and not _MARKER.fullmatch(tag):
            self.flush()

    def paragraph(self) -> None:
        """End the paragraph with an empty line."""
        self.flush()
        self.gap = True

    def flush(self) -> None:
        """End the line."""
        parts: list[str] = []
        for words in self.fill:
            unspaced = parts and _unspaced().match(parts[-1][-1:]) and _unspaced().match(words)
            if parts and not unspaced and not parts[-1].endswith("\0"):
                parts.append(" ")
            parts.append(words)
        if line := "".join(parts).replace("\0", "").strip():
            self.append(line)
        self.fill = []
        self.alone = False

    def append(self, line: str) -> None:
        """Add a finished line."""
        if self.gap and self.lines and self.lines[-1]:
            self.lines.append("")
        self.gap = False
        self.lines.append(line.replace("\0", ""))
