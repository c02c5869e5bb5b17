"""Turn wiki, Markdown, roff (manual pages) and reStructuredText sources into plain text; code blocks stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from llmkit.cleaning.steps import (
    Drop,
    Rewrite,
    _markup_markdown,
    _markup_roff,
    _markup_rst,
    _markup_wiki,
)
from llmkit.data.corpus import Document

_FORMATS: dict[str, Callable[[str], str]] = {
    "wiki": _markup_wiki.to_text,
    "markdown": _markup_markdown.to_text,
    "roff": _markup_roff.to_text,
    "rst": _markup_rst.to_text,
}
_NAMES = {
    **{name: name for name in _FORMATS},
    "mediawiki": "wiki",
    "wikitext": "wiki",
    "md": "markdown",
    "man": "roff",
    "mdoc": "roff",
    "troff": "roff",
    "restructuredtext": "rst",
}


class Markup(Rewrite):
    """Strip the markup of documents, by their `meta.format` or by the format given; counts `markup.FORMAT`.

    All four readers take linear time and follow no reference to another file; templates and macros that a wiki or a
    page defines elsewhere are left out, but for those that carry text (`convert`, quotations, foreign words).
    """

    format: Literal["auto", "wiki", "markdown", "roff", "rst"] = "auto"
    """What the documents are. `auto` goes by `meta.format` (`wiki`, `mediawiki`, `md`, `man`, `rst` ...) and knows a
    manual page by its look; everything else stays as it is. Give the format where the source does not name it."""

    def apply(self, document: Document) -> Drop | None:
        """Strip the document's text, or all texts of its row."""
        if self._format(document) is None:
            return None
        drop = super().apply(document)
        document.meta = {**document.meta, "format": "text"}
        return drop

    def rewrite(self, text: str, document: Document) -> str:
        """Return the text without its markup; the same object where it has none."""
        name = self._format(document)
        if name is None:
            return text
        stripped = _FORMATS[name](text)
        if stripped == text:
            return text
        document.count(f"markup.{name}")
        return stripped

    def _format(self, document: Document) -> str | None:
        if self.format != "auto":
            return self.format
        declared = document.meta.get("format")
        if declared is not None:
            return _NAMES.get(str(declared).lower())
        return "roff" if _markup_roff.looks_like(document.text) else None
