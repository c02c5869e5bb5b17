"""Turn HTML pages into their main text: menus, scripts and styles go, `<pre>` keeps its spaces.

Bevendorff et al., "Elastic ChatNoir" (ECIR 2018), whose Resiliparse extracts by default; Barbaresi, "Trafilatura" (ACL
2021) where quality matters more than time.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Literal

from llmkit.cleaning.steps import Drop, Rewrite
from llmkit.cleaning.steps._html_main import LEVELS, SKIPPED, narrow, without_dead_end
from llmkit.cleaning.steps._markup_entities import unescape
from llmkit.core.extras import require
from llmkit.data.corpus import Document

if TYPE_CHECKING:
    from llmkit.cleaning.steps._html_scan import Page

_NEEDS = ("quality", "trafilatura")
MIN_MAIN = 200
"""Main text of fewer characters is compared with all visible text, which is taken if it is this many times longer:"""
MAX_LEFT_OUT = 3
MAX_TITLE = 1000


class Html(Rewrite):
    """Extract the text of documents that their source marks as HTML (`meta.format: html`).

    The title goes to `meta.title`. Pages that would cost a parser more than linear time (deep nesting, 10 MB without
    their scripts) are read without their structure and counted as `html.unstructured`; a page without any text is
    dropped as `html.empty`.
    """

    quality: Literal["fast", "high"] = "fast"
    """`fast` is Resiliparse, narrowed to the element that holds the article; `high` is trafilatura (extra `quality`),
    some eight times slower and better at leaving out what is not text. Where it finds nothing, `fast` decides."""

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
        """Extract the document's text, or all texts of its row; drop a page that holds none."""
        if not self.all_documents and document.meta.get("format") != "html":
            return None
        drop = super().apply(document)
        document.meta = {**document.meta, "format": "text"}
        if drop is None and not document.text.strip():
            return Drop("html.empty", 0, 1)
        return drop

    def rewrite(self, text: str, document: Document) -> str:
        """Return the page's text."""
        from llmkit.cleaning.steps._html_scan import scan

        try:
            page = scan(text)
        except UnicodeEncodeError:  # parsers refuse lone surrogates
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            page = scan(text)
        if "title" not in document.meta and (title := " ".join(unescape(page.title).split())):
            document.meta = {**document.meta, "title": title[:MAX_TITLE]}
        if not page.is_safe:
            document.count("html.unstructured")
            return _unstructured(text)
        if self.quality == "high" and (extracted := self._high(text)):
            return extracted
        return self._fast(page)

    def _fast(self, page: Page) -> str:
        from resiliparse.extract.html2text import extract_plain_text
        from resiliparse.parse.html import HTMLTree

        options: dict[str, Any] = {
            "links": self.links,
            "list_bullets": self.list_bullets,
            "alt_texts": self.alt_texts,
            "form_fields": False,
        }
        if not self.main_content:
            return str(extract_plain_text(page.source.decode(), main_content=False, **options)).strip("\n")
        extracted = ""
        if page.body >= 0:
            tree = HTMLTree.parse((page.source[: page.body] + LEVELS + page.source[page.body :]).decode())
            main = narrow(tree)
            text = extract_plain_text(tree, main_content=True, comments=False, skip_elements=SKIPPED, **options)
            extracted = str(text).strip("\n")
            if len(extracted) >= MIN_MAIN:
                return extracted if main is None else without_dead_end(extracted, main)
        # A fragment, or a page of which hardly anything is left.
        text = extract_plain_text(page.source.decode(), main_content=False, skip_elements=["nav"], **options)
        everything = str(text).strip("\n")
        return everything if len(everything) > MAX_LEFT_OUT * len(extracted) else extracted

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
