"""From a raw row's columns to a `Record`: the text or the labelled row, and what becomes of the other columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmkit.data.rows import SHARED_COLUMNS, Row
from llmkit.data.rows._values import expect, value_of
from llmkit.data.sources import Record
from llmkit.data.sources._rows import finite
from llmkit.text.languages import canonical


@dataclass(frozen=True, slots=True)
class Columns:
    """What is read of a row.

    Attributes:
        text_field: Column that holds the document.
        row: What kind of labelled row the columns make; None for text.
        source: Name of the source.
        keeps_source: Rows of our own corpora keep the source they name.
        classes: Names behind the integers of columns of classes.
    """

    text_field: str
    row: Row | None
    source: str
    keeps_source: bool = True
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def used(self) -> list[str]:
        """Return the columns that a record is made of; the others are its meta."""
        return [self.text_field] if self.row is None else self.row.used()

    def knows(self, names: Sequence[str]) -> bool:
        """Tell whether a column that is read is among some names."""
        return not set(self.used()).isdisjoint(names)

    def record(self, row: int, value: dict[str, Any]) -> Record:
        """Turn the columns of a row into a record; `value` is used up.

        Raises:
            RowError: A column is missing or is not what it should be.
        """
        if self.classes:
            value.update(with_names(value, self.classes))
        if self.row is None:
            fields: dict[str, Any] = {}
            text = value.get(self.text_field)
            if type(text) is not str:  # the words for what is wrong cost more than the test
                text = expect(value_of(value, self.text_field), str, f"field '{self.text_field}'")
            del value[self.text_field]
        else:
            fields = self.row.parse(value)
            text = self.row.key_text(fields)
            for column in self.row.used():
                value.pop(column, None)
        language = value.get("language")
        language = canonical(language) if type(language) is str else None
        if language is not None:  # else another column of this name: of code it says `Python`
            del value["language"]
        return Record(row, text, self.source, fields, value, language)

    def document(self, row: int, text: str, meta: Mapping[str, Any]) -> Record:
        """Return a document that is not a column of a row.

        Raises:
            RowError: A labelled row is asked for, and the text and what is known of it make none.
        """
        if self.row is not None:
            return self.record(row, {"text": text, **meta})
        return Record(row, text, self.source, meta=meta)

    def is_row(self, value: Mapping[str, Any]) -> bool:
        """Tell whether an object is itself a row, rather than one that holds a list of rows."""
        return all(column in value for column in (self.row.needed() if self.row else [self.text_field]))

    def restores(self, names: Sequence[str]) -> bool:
        """Tell whether rows with these columns come from a corpus of ours and are asked for as such."""
        if self.row is None:
            return [*names] == [*SHARED_COLUMNS] and self.text_field == "text"
        shared, rest = [*names][: len(SHARED_COLUMNS)], [*names][len(SHARED_COLUMNS) :]
        if shared != [*SHARED_COLUMNS] or self.row.columns:
            return shared == [*SHARED_COLUMNS] and not rest
        own = [name for name in self.row.aliases if name != "text"]
        needed = {name for name in own if name not in self.row.optional}
        return not rest or (rest == [name for name in own if name in rest] and needed <= {*rest})

    def restored(self, row: int, value: dict[str, Any]) -> Record:
        """Return a row of our own corpus as it was before it was written; ids are made anew.

        Raises:
            RowError: The row has been tampered with.
        """
        meta = meta_of(value)
        fields: dict[str, Any] = {}
        if self.row is None:
            text = expect(value["text"], str, "field 'text'")
        else:  # of a corpus, all but the text may be in its meta
            fields = self.row.parse({**meta, **value})
            text = self.row.key_text(fields)
            meta = {name: item for name, item in meta.items() if name not in self.row.used()}
        language = value["language"] if value["language"] != "und" else None
        if type(language) is str:  # as an earlier version wrote it
            language = canonical(language) or language
        source = value["source"] if self.keeps_source and value["source"] else self.source
        return Record(row, text, source, fields, meta, language)


@dataclass(frozen=True, slots=True)
class RawColumns(Columns):
    """What is read of a row to see what it is made of: all of its columns, as `fields`.

    Attributes:
        usual: Names of columns, of which an object that is itself a row has one.
    """

    usual: frozenset[str] = frozenset()

    def used(self) -> list[str]:
        """Return nothing: what cannot be read of a row is no reason not to look at the rest."""
        return []

    def knows(self, names: Sequence[str]) -> bool:
        """Tell whether a usual name is among some."""
        return not self.usual.isdisjoint(names)

    def record(self, row: int, value: dict[str, Any]) -> Record:
        """Return the columns as they are."""
        if self.classes:
            value.update(with_names(value, self.classes))
        return Record(row, "", self.source, value)

    def document(self, row: int, text: str, meta: Mapping[str, Any]) -> Record:
        """Return the text and what is known of it as columns."""
        return Record(row, "", self.source, {"text": text, **meta})

    def is_row(self, value: Mapping[str, Any]) -> bool:
        """Tell whether an object has a column with a usual name."""
        return not self.usual.isdisjoint(value)

    def restores(self, names: Sequence[str]) -> bool:
        """Tell whether the rows are those of a corpus of ours."""
        return [*names] == [*SHARED_COLUMNS]

    def restored(self, row: int, value: dict[str, Any]) -> Record:
        """Return the columns, those in `meta` among them."""
        return Record(row, "", self.source, {**meta_of(value), **value})


def distinct_names(names: list[str]) -> list[str]:
    """Number the columns whose name is taken: `a, a` is `a, a.1`; takes time that grows with their number alone."""
    given, used, following = set(names), set[str](), dict[str, int]()
    found = []
    for name in names:
        free, count = name, following.get(name, 1)
        if name in used:
            while (free := f"{name}.{count}") in given or free in used:
                count += 1
            following[name] = count + 1
        used.add(free)
        found.append(free)
    return found


def with_names(value: Mapping[str, Any], classes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the columns of classes with their names; -1, the class of rows without a label, is null."""

    def name(column: str, number: Any) -> Any:
        if isinstance(number, list):
            return [name(column, item) for item in number]
        if isinstance(number, str):  # written as its name
            return number
        return classes[column][number] if isinstance(number, int) and 0 <= number < len(classes[column]) else None

    return {column: name(column, value[column]) for column in classes if column in value}


def meta_of(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the meta of a row of our own corpus.

    Raises:
        RowError: It is no mapping.
    """
    try:
        meta = json.loads(value["meta"], parse_float=finite, parse_constant=lambda _: None)
    except (TypeError, ValueError):
        meta = {"meta": value["meta"]}
    found: dict[str, Any] = expect(meta, dict, "field 'meta'")
    return found
