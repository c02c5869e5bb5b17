"""reStructuredText to plain text: directives, targets and roles go, literal blocks and the order of lines stay.

docutils.sourceforge.io/docs/ref/rst/restructuredtext.html, and the directives of Sphinx.
"""

from __future__ import annotations

import re

_EXPLICIT = re.compile(r"[ \t]*\.\.(?:[ \t]+|$)")
_DIRECTIVE = re.compile(r"([A-Za-z][\w.+:-]*?)::(?:[ \t]+(.*))?")
_FOOTNOTE = re.compile(r"(\[[^\[\]]{1,100}\])[ \t]+(.*)")
_OPTION = re.compile(r"[ \t]*:[\w-]+:(?:[ \t].*)?")
_ADORNMENT = re.compile(r"""([=\-~^"'#*+_`:<>!$%&,;@/?])\1{2,}|\.{4,}""")
_TABLE_BORDER = re.compile(r"=+(?:[ \t]+=+)+|\+[-=+]{2,}\+|-+(?:[ \t]+-+)+")
_FIELD = re.compile(r"([ \t]*):([\w][\w ./()-]{0,80}):(?=[ \t]|$)")
_LINE_BLOCK = re.compile(r"([ \t]*)\|(?:[ \t]|$)")

_CODE = {"code", "code-block", "sourcecode", "parsed-literal", "doctest", "testcode", "prompt", "math",
         "productionlist", "kernel-render"}  # fmt: skip
_LEFT_OUT = {"toctree", "image", "figure", "kernel-figure", "raw", "include", "kernel-include", "literalinclude",
             "contents", "index", "kernel-doc", "highlight", "role", "default-role", "sectnum", "meta", "graphviz",
             "module", "moduleauthor", "sectionauthor", "currentmodule", "tabularcolumns", "target-notes", "title",
             "header", "footer", "unicode", "replace", "digraph", "automodule", "autoclass", "autofunction",
             "c:namespace", "c:namespace-push", "c:namespace-pop", "py:module", "py:currentmodule"}  # fmt: skip
_TITLED = {"note", "warning", "caution", "danger", "error", "hint", "important", "tip", "attention", "seealso"}

# One pass, first match wins: what is literal is not looked at again. All repetitions are bounded.
_SPANS = r"""``(?P<literal>(?:[^`]|`(?!`)){1,500})``
    | (?<![\w`])(?::[\w+.-]{1,40}){1,3}:`(?P<role>[^`]{1,500})`
    | `(?P<quoted>[^`]{1,500})`(?::[\w+.:-]{1,40}:|__?(?!\w))?
    | (?<![\w*])\*\*(?=[^\s*])(?P<strong>[^*]{1,500})(?<!\s)\*\*(?!\w)
    | (?<![\w*/])\*(?=[^\s*])(?P<emphasis>[^*]{1,500})(?<!\s)\*(?![\w*])
    | (?<![\w|])\|(?=[^\s|])(?P<substitution>[^|\n]{1,80})(?<!\s)\|(?:__?)?(?![\w|])
    | (?P<footnote>\[(?:\#[\w-]{0,40}|\*|\d{1,4})\])_(?!\w)
    | \\(?P<escaped>[*_`|\\:]|\s)"""
_INLINE = re.compile(_SPANS, re.VERBOSE)
# A name with `_` behind it may begin anywhere, which makes this three times as slow: only where one ends somewhere.
_REFERENCE_END = re.compile(r"\w__?(?=[\s.,;:!?)，。；：！？）]|$)")
_INLINE_WITH_REFERENCES = re.compile(
    _SPANS + r"| (?<![\w_/.])(?P<reference>[^\W_][\w-]{0,80})(?<!_)__?(?=[\s.,;:!?)，。；：！？）]|$)", re.VERBOSE
)
_MARKS = re.compile(r"[`*|_\\]")
_ISONUM = {"copy": "©", "reg": "®", "trade": "™"}
_TARGET = re.compile(r"\s*<[^<>]{1,500}>$")


def to_text(source: str) -> str:
    """Return the text of a reStructuredText document."""
    reader = _Reader(source.replace("\0", "").split("\n"))
    reader.read()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(reader.out)).strip("\n")


class _Reader:
    def __init__(self, lines: list[str]) -> None:
        self.lines = [line.rstrip() for line in lines]
        self.position = 0
        self.out: list[str] = []
        self.paragraph: list[str] = []

    def read(self) -> None:
        while self.position < len(self.lines):
            line = self.lines[self.position]
            self.position += 1
            if not line:
                self.flush()
                self.out.append("")
            elif line.lstrip()[:2] == ".." and (explicit := _EXPLICIT.match(line)):
                self.flush()
                self.explicit(line, explicit.end())
            else:
                self.line(line)
        self.flush()

    def line(self, line: str) -> None:
        """Read a line of running text, a title's underline or a row of a table."""
        stripped = line.strip()
        first = stripped[0]
        if not first.isalnum():
            if _ADORNMENT.fullmatch(stripped) or (first in "=+-" and _TABLE_BORDER.fullmatch(stripped)):
                self.flush()
                return
            if first == "|":
                if stripped[-1] == "|" and len(stripped) > 2 and stripped.count("|") > 2:
                    line = "\t".join(cell.strip() for cell in stripped[1:-1].split("|"))
                else:
                    line = _LINE_BLOCK.sub(r"\1", line, count=1)
            elif first == ":":
                line = _FIELD.sub(r"\1\2:", line, count=1)
        self.paragraph.append(line)
        if line.endswith("::"):
            following = self.lines[self.position] if self.position < len(self.lines) else ""
            if not following or _indent(following) > _indent(line):
                self.literal(line)

    def literal(self, line: str) -> None:
        """End the paragraph with what `::` stands for, and copy the block that follows."""
        if line.strip() == "::":
            self.paragraph.pop()
        else:
            self.paragraph[-1] = line[:-2].rstrip() if line[-3:-2].isspace() else line[:-1]
        self.flush()
        self.out += self.block(_indent(line))

    def explicit(self, line: str, start: int) -> None:
        """Read what begins with `..`: a directive, a footnote, a target, a definition or a comment."""
        indent, rest = _indent(line), line[start:]
        if footnote := _FOOTNOTE.match(rest):
            self.paragraph.append(" " * indent + f"{footnote[1]} {footnote[2]}")
            return
        directive = _DIRECTIVE.fullmatch(rest)
        if directive is None or directive[1] in _LEFT_OUT:
            self.block(indent)
            return
        while self.position < len(self.lines) and _OPTION.fullmatch(self.lines[self.position]):
            self.position += 1
        name, argument = directive[1], directive[2] or ""
        if name in _CODE:
            self.out += ["", *([" " * indent + argument] if argument and name == "math" else []), *self.block(indent)]
        elif name in _TITLED:
            self.out.append(" " * indent + f"{name.capitalize()}:" + (f" {inline(argument)}" if argument else ""))
        elif argument:
            self.paragraph.append(" " * indent + argument)
            self.flush()

    def block(self, indent: int) -> list[str]:
        """Take the lines that are indented deeper, with the empty ones between them."""
        start = self.position
        end = start
        while self.position < len(self.lines):
            line = self.lines[self.position]
            if line and _indent(line) <= indent:
                break
            self.position += 1
            if line:
                end = self.position
        self.position = end
        return self.lines[start:end]

    def flush(self) -> None:
        """End the paragraph."""
        if self.paragraph:
            text = "\n".join(self.paragraph)
            self.out.append(text if text.lstrip().startswith(">>> ") else inline(text))
            self.paragraph = []


def inline(text: str) -> str:
    """Return a paragraph without its inline markup."""
    if not _MARKS.search(text):
        return text
    pattern = _INLINE_WITH_REFERENCES if "_" in text and _REFERENCE_END.search(text) else _INLINE
    return pattern.sub(_plain, text)


def _plain(match: re.Match[str]) -> str:
    kind = match.lastgroup
    assert kind is not None
    if kind in {"role", "quoted"}:
        inside = match[kind].removeprefix("!").removeprefix("~") if kind == "role" else match[kind]
        return _TARGET.sub("", inside) or inside.strip("<>")
    if kind == "escaped" and match[kind].isspace():  # parts the words of a language without blanks from their markup
        return ""
    return _ISONUM.get(match[kind], match[kind]) if kind == "substitution" else match[kind]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))
