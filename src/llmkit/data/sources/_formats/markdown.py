"""Markdown: a file is one document, and the YAML between `---` lines at its top is its meta."""

from __future__ import annotations

import re
from typing import Any

from llmkit.core.errors import ConfigError
from llmkit.core.json import dumps
from llmkit.core.yaml import read_yaml
from llmkit.data.sources import Record
from llmkit.data.sources._formats import DocumentFormat, Reading
from llmkit.data.sources._formats.plain_text import decode_text
from llmkit.data.sources._rows import plain

MAX_FRONT_MATTER = 2**16
"""Characters; more is no front matter but a document that begins with a rule."""
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)


class Markdown(DocumentFormat):
    """Front matter that is no YAML mapping stays text."""

    suffixes = (".md", ".markdown")

    def document(self, reading: Reading, data: bytes) -> Record:
        """Return the text below the front matter."""
        text = decode_text(reading, data)
        match = _FRONT_MATTER.match(text[:MAX_FRONT_MATTER]) if text.startswith("---") else None
        meta = _parse(match[1]) if match else None
        if match and meta is not None:
            text = text[match.end() :].lstrip("\n")
        return reading.columns.document(0, text, meta or {})


def _parse(source: str) -> dict[str, Any] | None:
    try:
        value = plain(read_yaml(source, "front matter").value)
        dumps(value).encode()  # an escape may have made a lone surrogate
    except (ConfigError, UnicodeEncodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


FORMAT = Markdown()
