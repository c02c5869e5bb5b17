"""Turn HTML pages into their main text: menus, scripts and styles go, `<pre>` keeps its spaces.

Bevendorff et al., "Elastic ChatNoir" (ECIR 2018), whose Resiliparse extracts by default; Barbaresi, "Trafilatura" (ACL
2021) where quality matters more than time.
"""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from itertools import accumulate
from typing import Any, Literal

from llmkit.cleaning.steps import Drop, Rewrite
from llmkit.cleaning.steps._markup_entities import unescape
from llmkit.core.extras import require
from llmkit.data.corpus import Document

MAX_CHARS = 10_000_000
"""Longer pages, mostly machine output, are read without a document tree, which takes up to 140 bytes a character."""
MAX_TAGS = 400_000
MAX_DEPTH = 500
"""Browsers stop nesting at 512. The main-content rules walk up from every node: 10,000 levels take seconds."""
MAX_UNCLOSED = 64
"""Unclosed formatting elements are opened anew in every paragraph: 1,000 of them in 3,000 paragraphs take 7 seconds."""
SAFE_TAGS = 64
"""A page of so few tags cannot exceed the limits."""
MAX_TAG_CHARS = 65_536
"""A longer tag may have tens of thousands of attributes, which are compared with each other."""

_TAG_NAME = re.compile(r"<(/?[a-zA-Z][a-zA-Z0-9]*)")
_TITLE = re.compile(r"<title[^<>]*>([^<]{1,1000})", re.IGNORECASE)
_BODY = re.compile(r"<body(?=[\s>])[^<>]*>", re.IGNORECASE)
_SEPARATOR = re.compile(r"[\s/]")

# Resiliparse takes every `<ul>`, `<nav>`, `<aside>` and `<footer>` within three levels of the body for navigation, and
# with it the lists of a page that has little nesting. Three elements more leave lists to the rules about names; the
# rest of that rule is put back as selectors.
_LEVELS = "<main>" * 3
_TOP = "main>main>main>"
_SKIPPED = ["nav", *(f"{_TOP}{between}{name}" for name in ("footer", "aside") for between in ("", "*>"))]

_FORMATTING = frozenset(
    {"a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"}
)
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
)
_CLOSED_BY_NEXT = frozenset(
    {"p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "colgroup", "html", "head", "body"}
)
_NEEDS = ("quality", "trafilatura")


class Html(Rewrite):
    """Extract the text of documents that their source marks as HTML (`meta.format: html`).

    The title goes to `meta.title`. Pages that would cost a parser more than linear time (deep nesting, 10 MB) are read
    without their structure and counted as `html.unstructured`.
    """

    quality: Literal["fast", "high"] = "fast"
    """`fast` is Resiliparse; `high` is trafilatura (extra `quality`), some ten times slower and better at leaving out
    what is not text. Where it finds nothing, `fast` decides."""

    all_documents: bool = False
    """Treat every document as HTML, marked or not."""

    main_content: bool = True
    """Leave out navigation, footers, advertisements and comments of whole pages; false keeps all visible text.
    Fragments without a `<body>` are kept whole either way, but for `<nav>`."""

    links: bool = False
    """Write the target of a link behind its text, in parentheses."""

    list_bullets: bool = True
    """Begin list items with a bullet or their number; `fast` only."""

    alt_texts: bool = False
    """Keep the descriptions of images; `fast` only."""

    def needs(self) -> tuple[str, str] | None:
        """Return what brings trafilatura, for `quality: high`."""
        return _NEEDS if self.quality == "high" else None

    def apply(self, document: Document) -> Drop | None:
        """Extract the document's text, or all texts of its row."""
        if not self.all_documents and document.meta.get("format") != "html":
            return None
        title = _TITLE.search(document.text, 0, 20_000)
        drop = super().apply(document)
        document.meta = {**document.meta, "format": "text"}
        if title and "title" not in document.meta:
            document.meta["title"] = " ".join(unescape(title[1]).split())
        return drop

    def rewrite(self, text: str, document: Document) -> str:
        """Return the page's text."""
        if not _is_safe(text):
            document.count("html.unstructured")
            return _unstructured(text)
        try:
            text.encode()
        except UnicodeEncodeError:  # parsers refuse lone surrogates
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if self.quality == "high" and (extracted := self._high(text)):
            return extracted
        return self._fast(text)

    def _fast(self, text: str) -> str:
        from resiliparse.extract.html2text import extract_plain_text

        options: dict[str, Any] = {
            "links": self.links,
            "list_bullets": self.list_bullets,
            "alt_texts": self.alt_texts,
            "form_fields": False,
        }
        body = _BODY.search(text)
        if not self.main_content:
            extracted = extract_plain_text(text, main_content=False, **options)
        elif body is None:
            extracted = extract_plain_text(text, main_content=False, skip_elements=["nav"], **options)
        else:
            page = text[: body.end()] + _LEVELS + text[body.end() :]
            extracted = extract_plain_text(page, main_content=True, comments=False, skip_elements=_SKIPPED, **options)
        return str(extracted).strip("\n")

    def _high(self, text: str) -> str:
        trafilatura = require(*_NEEDS)
        # It reports every page that one of its three algorithms finds nothing in.
        logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
        extracted = trafilatura.extract(
            text,
            favor_recall=not self.main_content,
            include_comments=False,
            include_links=self.links,
        )
        return (extracted or "").strip("\n")


class _Levels(dict[str, int]):
    """How many levels a tag goes down; elements that the next of their kind closes count as none."""

    def __missing__(self, tag: str) -> int:
        name = tag.lstrip("/").lower()
        level = 0 if name in _VOID or name in _CLOSED_BY_NEXT else -1 if tag[0] == "/" else 1
        if len(self) < 10_000:  # a page can make up any number of names
            self[tag] = level
        return level


_LEVEL = _Levels()


def _is_safe(text: str) -> bool:
    """Tell whether a parser reads the page in about linear time and memory."""
    if len(text) > MAX_CHARS or text.count("<") > MAX_TAGS:
        return False
    if len(text) > MAX_TAG_CHARS and any(
        len(part) > MAX_TAG_CHARS and len(_SEPARATOR.findall(part.partition(">")[0])) > 20_000
        for part in text.split("<")
    ):
        return False
    tags = _TAG_NAME.findall(text)
    if len(tags) <= SAFE_TAGS:
        return True
    counts: dict[str, int] = defaultdict(int)
    for tag, number in Counter(tags).items():
        counts[tag.lower()] += number
    formatting = other = num_opening = 0
    for name in [name for name in counts if name[0] != "/"]:
        num_opening += counts[name]
        unclosed = counts[name] - counts["/" + name]
        if unclosed > 0 and name in _FORMATTING:
            formatting += unclosed
        elif unclosed > 0 and _LEVEL[name]:
            other += unclosed
    if formatting > MAX_UNCLOSED or formatting + other > MAX_DEPTH:
        return False
    return num_opening <= MAX_DEPTH or max(accumulate(map(_LEVEL.__getitem__, tags))) <= MAX_DEPTH


_MARKUP = re.compile(r"<(?:(!--)|(/?)([a-zA-Z][a-zA-Z0-9-]{0,30})[^<>]*>?|[!?][^<>]*>?)")
_RAW_END = {
    name: re.compile(rf"</{name}", re.IGNORECASE) for name in ("script", "style", "noscript", "template", "title")
}
_PARAGRAPH = frozenset(
    {"blockquote", "dl", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "section", "table", "ul"}
)
_LINE = frozenset(
    {
        "address",
        "article",
        "aside",
        "br",
        "dd",
        "details",
        "div",
        "dt",
        "footer",
        "header",
        "hr",
        "li",
        "main",
        "summary",
        "td",
        "th",
        "tr",
    }
)


def _unstructured(page: str) -> str:
    """Return the text between the tags in linear time and without recursion, whatever the nesting."""
    parts: list[str] = []
    position, pre = 0, False
    while match := _MARKUP.search(page, position):
        _append(parts, page[position : match.start()], pre=pre)
        position = match.end()
        comment, closing, name = match.groups()
        if comment:
            end = page.find("-->", position)
            position = len(page) if end < 0 else end + 3
        elif name:
            name = name.lower()
            if name in _RAW_END and not closing:
                end_tag = _RAW_END[name].search(page, position)
                position = end_tag.start() if end_tag else len(page)
            elif name == "pre":
                pre = not closing
            if name in _PARAGRAPH or name in _LINE:
                parts.append("\n\n" if name in _PARAGRAPH else "\n")
    _append(parts, page[position:], pre=pre)
    return re.sub(r"\n[ \n]*\n", "\n\n", re.sub(r"(?<! ) +\n", "\n", "".join(parts))).strip()


def _append(parts: list[str], text: str, *, pre: bool) -> None:
    if text:
        text = unescape(text).replace("\0", "")
        parts.append(text if pre else re.sub(r"\s+", " ", text))
