"""Turn HTML documents into text: block elements become lines, scripts and styles go, `<pre>` keeps its spaces."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from llmkit.cleaning.steps import Rewrite
from llmkit.data.corpus import Document

_PARAGRAPHS = {
    "blockquote", "dl", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "section", "table", "ul",
}  # fmt: skip
_BLOCKS = _PARAGRAPHS | {
    "address", "article", "aside", "body", "br", "dd", "details", "div", "dt", "fieldset", "figcaption", "footer",
    "form", "header", "hr", "li", "main", "nav", "summary", "tbody", "td", "tfoot", "th", "thead", "title", "tr",
}  # fmt: skip
_HIDDEN = {"script", "style", "template", "noscript", "svg", "head", "nav"}


class Html(Rewrite):
    """Extract the text of documents that their source marks as HTML (`meta.format: html`)."""

    all_documents: bool = False
    """Treat every document as HTML, marked or not."""

    def rewrite(self, text: str, document: Document) -> str:
        """Return the page's text, or the text itself where it is no HTML."""
        if not self.all_documents and document.meta.get("format") != "html":
            return text
        document.meta = {**document.meta, "format": "text"}
        parser = _Extractor()
        parser.feed(text)
        parser.close()
        lines = [line if line.startswith("\0") else line.strip() for line in "".join(parser.parts).split("\n")]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines).replace("\0", "")).strip()


class _Extractor(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.hidden: list[str] = []
        self.pre = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag in _HIDDEN:
            self.hidden.append(tag)
        self.pre += tag == "pre"
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.hidden:  # also closes what was left open inside
            del self.hidden[self.hidden.index(tag) :]
        self.pre = max(0, self.pre - (tag == "pre"))
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if self.hidden:
            return
        if self.pre:
            # \0 protects the indentation of a line of code from the strip that prose lines get.
            self.parts.append("\0" + data.replace("\0", "").replace("\n", "\n\0"))
        else:
            self.parts.append(re.sub(r"\s+", " ", data.replace("\0", "")))

    def _break(self, tag: str) -> None:
        if tag in _BLOCKS and not self.hidden:
            self.parts.append("\n\n" if tag in _PARAGRAPHS else "\n")
