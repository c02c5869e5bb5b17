"""Dumps of MediaWiki (`Special:Export`, dumps.wikimedia.org): the articles of a wiki, as their authors wrote them.

A dump is cut at its `<page>` elements. See mediawiki.org/wiki/Help:Export.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote
from xml.etree import ElementTree as ET

from llmkit.data.rows import RowError
from llmkit.data.sources import Broken, Record, Span
from llmkit.data.sources._elements import HEAD_BYTES, Elements
from llmkit.data.sources._formats import Format, Reading
from llmkit.data.sources._streams import DAMAGE, describe_damage

_PAGES = Elements(
    re.compile(rb"<page>"), b"</page>", re.compile(rb"<mediawiki[\s>]"), b"</mediawiki>", "page", "dump of MediaWiki"
)
_LANGUAGE = re.compile(rb"<mediawiki[^>]{0,2000}?\sxml:lang=[\"']([a-z]{2,3}(?:-[A-Za-z0-9]{1,8})*)[\"']")
_BASE = re.compile(rb"<base>([^<]{1,1000})/[^</]*</base>")
_NAMESPACE = re.compile(rb"<ns>\s*(-?\d+)\s*</ns>")


class WikiDump(Format):
    """Rows are the articles: pages of the main namespace with their last revision, in wiki markup (`format: wiki`).

    Redirections, and the pages of users, talks, templates and files, are no rows and are not counted. `meta` has the
    title, page id, date and url.
    """

    suffixes = (".xml",)

    def read(self, reading: Reading, span: Span | None) -> Iterator[Record | Broken]:  # noqa: ARG002 - always whole
        """Yield the rows."""
        row = 0
        try:
            with reading.open_bytes() as stream:
                head = stream.read(HEAD_BYTES)
                if not head:
                    return
                _PAGES.check(head)
                dump = _Dump(reading, head)
                for page in _PAGES.cut(stream, head):
                    record = dump.row(row, page)
                    if record is not None:
                        yield record
                        row += 1
        except RowError as error:
            yield Broken(row, str(error))
        except DAMAGE as error:
            yield Broken(row, describe_damage(error, row))


class _Dump:
    """What all pages of a dump share."""

    def __init__(self, reading: Reading, head: bytes) -> None:
        self._columns = reading.columns
        language, base = _LANGUAGE.search(head), _BASE.search(head)
        self._language = language[1].decode() if language else None
        self._base = base[1].decode("utf-8", "replace") if base else None

    def row(self, row: int, page: bytes | RowError) -> Record | Broken | None:
        """Return the page's row; None if it is none."""
        if isinstance(page, RowError):
            return Broken(row, str(page))
        namespace = _NAMESPACE.search(page, 0, HEAD_BYTES)
        if namespace and namespace[1] != b"0":
            return None
        try:
            return self._article(row, ET.fromstring(page))  # noqa: S314
        except ET.ParseError as error:
            return Broken(row, f"a page is no XML: {error}", excerpt=page[:200].decode("utf-8", "replace"))
        except RowError as error:
            return Broken(row, str(error), excerpt=page[:200].decode("utf-8", "replace"))

    def _article(self, row: int, page: ET.Element) -> Record | None:
        if page.find("redirect") is not None:
            return None
        title = page.findtext("title") or ""
        revisions = page.findall("revision")
        if not revisions or (revisions[-1].findtext("model") or "wikitext") != "wikitext":
            return None
        text = revisions[-1].findtext("text")
        if not text:
            raise RowError("a page without its text: it was deleted, or the dump is one of stubs")
        meta = {"title": title, "page_id": page.findtext("id"), "date": revisions[-1].findtext("timestamp")}
        if self._base:
            meta["url"] = f"{self._base}/{quote(title.replace(' ', '_'), safe='/:()')}"
        known = {name: value for name, value in meta.items() if value}
        record = self._columns.document(row, text, {**known, "format": "wiki"})
        record.language = record.language or self._language
        return record


FORMAT = WikiDump()
