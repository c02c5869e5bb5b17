"""Translation memories (TMX 1.4): units of the same text in several languages, as translators' programs write them.

<tu><tuv xml:lang="en"><seg>Open the file.</seg></tuv><tuv xml:lang="zh-CN"><seg>打开文件。</seg></tuv></tu>
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

from llmkit.data.rows import RowError
from llmkit.data.sources import Broken, Record, Span
from llmkit.data.sources._elements import HEAD_BYTES, Elements
from llmkit.data.sources._formats import Format, Reading
from llmkit.data.sources._streams import DAMAGE, describe_damage
from llmkit.data.sources._text import Decoder
from llmkit.text.languages import canonical

_UNITS = Elements(
    re.compile(rb"<tu[\s>]"), b"</tu>", re.compile(rb"<tmx[\s>]"), b"</tmx>", "translation unit",
    "translation memory (TMX)",
)  # fmt: skip
_SOURCE_LANGUAGE = re.compile(rb"<header[^>]{0,4000}?\ssrclang=[\"']([A-Za-z0-9_-]{2,35})[\"']")
_LANGUAGE = ("{http://www.w3.org/XML/1998/namespace}lang", "lang")
"""The attribute, and what it was in TMX 1.1."""
_CODES = frozenset(("bpt", "ept", "it", "ph", "ut"))
"""Elements whose content is markup of the program that the text is from."""


class TranslationMemory(Format):
    """Rows are the units: `translation` has the text of each language by its tag, that of `srclang` first.

    Several variants in one language are a list. Markup within segments is left out, what it marks stays.
    """

    suffixes = (".tmx",)

    def read(self, reading: Reading, span: Span | None) -> Iterator[Record | Broken]:  # noqa: ARG002 - always whole
        """Yield the rows."""
        row = 0
        try:
            stream, decoder = reading.open_text()
            with stream:
                head = stream.read(HEAD_BYTES)
                if not head:
                    return
                _UNITS.check(head)
                declared = _SOURCE_LANGUAGE.search(head)
                source = _tag(declared[1].decode()) if declared else ""
                for unit in _UNITS.cut(stream, head):
                    yield _record(row, unit, source, reading, decoder)
                    row += 1
        except RowError as error:
            yield Broken(row, str(error))
        except DAMAGE as error:
            yield Broken(row, describe_damage(error, row))


def _record(row: int, unit: bytes | RowError, source: str, reading: Reading, decoder: Decoder) -> Record | Broken:
    if isinstance(unit, RowError):
        return Broken(row, str(unit))
    try:
        value = _columns(ET.fromstring(decoder(unit)), source)  # noqa: S314 - it declares no entities
        return reading.columns.record(row, value)
    except ET.ParseError as error:
        return Broken(row, f"a translation unit is no XML: {error}", excerpt=unit[:200].decode("utf-8", "replace"))
    except RowError as error:
        return Broken(row, str(error), excerpt=unit[:200].decode("utf-8", "replace"))


def _columns(unit: ET.Element, source: str) -> dict[str, Any]:
    """Return the columns of a unit.

    Raises:
        RowError: It has no text.
    """
    texts: dict[str, list[str]] = {}
    for variant in unit.iter("tuv"):
        language = next((variant.get(name) for name in _LANGUAGE if variant.get(name)), None)
        segment = variant.find("seg")
        if language and segment is not None:
            texts.setdefault(_tag(language), []).append("".join(_said(segment)))
    if not texts:
        raise RowError("a translation unit without a text in a named language")
    found: dict[str, Any] = {}
    for language in sorted(texts, key=lambda language: language != source):
        some = texts[language]
        # The first language is the source, which is one text; any number may be right answers.
        found[language] = some if found and len(some) > 1 else some[0]
    return {"translation": found, **({"tuid": unit.get("tuid")} if unit.get("tuid") else {})}


def _said(element: ET.Element) -> Iterator[str]:
    """Yield the pieces of a segment's text, without the markup in it."""
    if element.tag not in _CODES:
        yield element.text or ""
    for child in element:
        if child.tag != "sub":  # a text within markup, such as an index entry
            yield from _said(child)
        yield (child.tail or "") if element.tag not in _CODES else ""


def _tag(language: str) -> str:
    return canonical(language) or language


FORMAT = TranslationMemory()
