"""From a row's columns to a `Record`: which column is the document, and what becomes of the others."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmkit.data.sources import Record
from llmkit.data.sources._rows import RowError, expect, parse_messages

_TAG = re.compile("[a-z]{2,3}(?:-[A-Za-z0-9]{1,8})*")
"""A BCP 47 tag, as it is usually written."""
CORPUS_COLUMNS = ("id", "text", "source", "language", "meta")
"""Columns of our own corpora; examples have `messages` besides."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What is read of a row.

    Attributes:
        text_field: Column that holds the document.
        messages_field: Column that holds a conversation; None for text.
        source: Name of the source.
        keeps_source: Rows of our own corpora keep the source they name.
        keeps_messages: Rows of our own examples keep their messages.
    """

    text_field: str
    messages_field: str | None
    source: str
    keeps_source: bool = True
    keeps_messages: bool = False

    def record(self, row: int, value: dict[str, Any]) -> Record:
        """Turn the columns of a row into a record; `value` is used up.

        Raises:
            RowError: The column is missing or is not what it should be.
        """
        field = self.messages_field or self.text_field
        if field not in value:
            close = difflib.get_close_matches(field, value, n=1)
            guess = f"; did you mean '{close[0]}'?" if close else ""
            raise RowError(f"no field '{field}'; the row has: {', '.join(list(value)[:12]) or 'nothing'}{guess}")
        if self.messages_field is None:
            text = expect(value[field], str, f"field '{field}'")
            fields = {}
        else:
            messages = parse_messages(field, value[field])
            text = "\n".join(message["content"] for message in messages)
            fields = {"messages": messages}
        del value[field]
        language = value.get("language")
        if type(language) is str and _TAG.fullmatch(language):
            del value["language"]
        else:  # another column of this name: of code it says `Python`
            language = None
        return Record(row, text, self.source, fields, value, language)

    def document(self, row: int, text: str, meta: Mapping[str, Any]) -> Record:
        """Return a document that is not a column of a row.

        Raises:
            RowError: A conversation is asked for.
        """
        if self.messages_field is not None:
            raise RowError(f"no field '{self.messages_field}'; the row has: text")
        return Record(row, text, self.source, meta=meta)

    def restores(self, names: list[str]) -> bool:
        """Tell whether rows with these columns come from a corpus of ours and are asked for as such."""
        own = names in ([*CORPUS_COLUMNS], [*CORPUS_COLUMNS, "messages"])
        return own and self.text_field == "text" and self.messages_field in (None, "messages")

    def restored(self, row: int, value: dict[str, Any]) -> Record:
        """Return a row of our own corpus as it was before it was written; ids are made anew.

        Raises:
            RowError: The row has been tampered with.
        """
        text = expect(value["text"], str, "field 'text'")
        fields = {}
        if self.keeps_messages or self.messages_field:
            fields = {"messages": parse_messages("messages", value.get("messages"))}
        try:
            meta = json.loads(value["meta"])
        except (TypeError, ValueError):
            meta = {"meta": value["meta"]}
        language = value["language"] if value["language"] != "und" else None
        source = value["source"] if self.keeps_source and value["source"] else self.source
        return Record(row, text, source, fields, expect(meta, dict, "field 'meta'"), language)
