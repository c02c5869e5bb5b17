"""Words with a tag each: `{"words": ["Anna", "lives", "here"], "tags": ["B-PER", "O", "O"]}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from llmkit.data.rows import Row
from llmkit.data.rows._labels import class_name
from llmkit.data.rows._values import RowError, check_texts, expect, list_of, value_of

if TYPE_CHECKING:
    import pyarrow as pa


class Tags(Row):
    """Words, or characters of scripts without spaces, and one tag for each; integers are kept as their text.

    Each word is a text of its own, so that no cleaning step can join or split words; one that a step empties drops its
    row.
    """

    prose: ClassVar[bool] = False
    aliases: ClassVar = {
        "words": ("words", "tokens"),
        "tags": ("tags", "ner_tags", "pos_tags", "labels"),
    }

    def parse(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return the words and their tags, of equal number."""
        words, tags = (
            list_of(value_of(raw, self.column(field)), f"field '{self.column(field)}'") for field in self.aliases
        )
        named, tagged = self.column("words"), self.column("tags")
        if not words:
            raise RowError(f"field '{named}' is empty")
        if len(words) != len(tags):
            raise RowError(f"{len(words)} words in '{named}' and {len(tags)} tags in '{tagged}'")
        check_texts({f"{named}.{i}": expect(word, str, f"{named}.{i}") for i, word in enumerate(words)})
        return {"words": words, "tags": [class_name(tag, f"{tagged}.{i}") for i, tag in enumerate(tags)]}

    def schema(self) -> list[pa.Field]:  # type: ignore[override]
        """Return two columns of lists."""
        import pyarrow as pa

        return [pa.field(field, pa.list_(pa.string())) for field in self.aliases]

    def texts(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Return the words, each by itself."""
        return {f"words.{i}": word for i, word in enumerate(row["words"])}

    def with_texts(self, row: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
        """Return the row with other words in the places of the old ones."""
        check_texts(texts)
        return {**row, "words": [texts.get(f"words.{i}", word) for i, word in enumerate(row["words"])]}

    def key_text(self, row: Mapping[str, Any]) -> str:
        """Return the words with a space between two, in scripts without spaces too.

        What is a word is part of what is labelled, and rows of one set are cut alike: no rule about scripts is needed,
        and the filters take each Chinese character for a word in any case.
        """
        return " ".join(row["words"])

    def target(self, row: Mapping[str, Any]) -> Any:
        """Return the tags."""
        return row["tags"]

    def show(self, row: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return the words, and the tags below them."""
        return [("words", " ".join(row["words"])), ("tags", " ".join(row["tags"]))]
