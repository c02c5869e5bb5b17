"""Drop documents that contain evaluation examples, found by the n-grams that they share.

The method is that of GPT-3 (Brown et al. 2020, appendix C): n-grams of 13 lower-cased words, punctuation left out. In
scripts without spaces a word is one character, and 20 of them say about what 13 words say.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from llmkit.cleaning.steps import Drop, Step
from llmkit.core.config import NotIdentity
from llmkit.core.errors import ConfigError, DataError
from llmkit.data.chat import CONVERSATION
from llmkit.data.column_names import listed
from llmkit.data.corpus import Document

if TYPE_CHECKING:
    from llmkit.cleaning.grams import Hit, Index
    from llmkit.data.sources.files import Files

FIELDS = (
    "text", "question", *CONVERSATION.needed(), "prompt", "problem", "query", "instruction", "input", "context",
    "passage", "sentence", "premise", "hypothesis", "choices", "options", "answer", "solution", "completion",
    "response",
)  # fmt: skip


class Decontaminate(Step):
    """Drop documents that share n-grams with evaluation sets; the report names the set and the overlap.

    The texts of an example (its question, each of its choices) are looked for one by one. A text with fewer words than
    an n-gram has to occur as a whole; below `min_words` it is left out, and where that leaves nothing of an example,
    its texts are taken as one. Examples that are shorter even then cannot be told from ordinary phrases.
    """

    sets: Annotated[list[str], NotIdentity] = []
    """Evaluation sets, one at least: files, directories or globs, as for the source `files`, or examples made by
    `llmkit clean`."""
    fields: list[str] = Field(list(FIELDS), min_length=1)
    """Columns that hold texts of an example, or lists of texts; those that a row has are read."""
    ngram: int = Field(13, ge=2)
    """Words per n-gram."""
    char_ngram: int = Field(20, ge=2)
    """Characters per n-gram for texts in scripts without spaces, such as Chinese."""
    min_words: int = Field(8, ge=1)
    """Shortest text that is looked for, in words."""
    min_chars: int = Field(12, ge=1)
    """The same in characters, for scripts without spaces."""
    max_examples: int = Field(10, ge=1)
    """N-grams that more texts of the sets contain are phrases of theirs, such as `choose the correct answer`."""
    min_ngrams: int = Field(1, ge=1)
    """Drop documents with at least so many n-grams of one set; a text that occurs as a whole is enough by itself."""
    min_fraction: float = Field(0.0, ge=0, le=1)
    """And at least this share of the document's own n-grams."""

    def reads(self) -> list[Path]:
        """Return the files of the sets, so that their content is part of the run's identity.

        Raises:
            ConfigError: No set is named.
            DataError: A set is not there.
        """
        if not self.sets:
            raise ConfigError("decontaminate.sets: no evaluation set is named", hint="sets: [evals/test.jsonl]")
        return [Path(file.path) for path in self.sets for file in _source(path).files()]

    def apply(self, document: Document) -> Drop | None:
        """Return why the document falls, if it does: by the set that it has most of."""
        from llmkit.cleaning.features import features

        hits = [hit for hit in self._index.search(features(document).word_hashes) if self._is_enough(hit)]
        if not hits:
            return None
        hit = max(hits, key=lambda hit: (hit.overlap * hit.order, -hit.owner))
        name = Path(self.sets[hit.owner]).name
        if hit.whole:
            return Drop("decontaminate.example", f"{name}: an example of {hit.order} words", 1)
        found = f"{name}: {hit.overlap} of {hit.total} {hit.order}-grams"
        if self.min_fraction and hit.overlap >= self.min_ngrams:
            return Drop("decontaminate.ngrams", found, f"{self.min_ngrams} and {self.min_fraction:.0%}")
        return Drop("decontaminate.ngrams", found, self.min_ngrams)

    def _is_enough(self, hit: Hit) -> bool:
        if hit.whole:
            return hit.order >= self.min_fraction * (hit.total + hit.order - 1)
        return hit.overlap >= self.min_ngrams and hit.overlap >= self.min_fraction * hit.total

    @functools.cached_property
    def _index(self) -> Index:
        # The key holds what tells one state of a file from another: a process may live longer than the files stay.
        stats = [(path, path.stat()) for path in self.reads()]
        state = tuple((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats)
        orders = (self.ngram, self.min_words, self.char_ngram, self.min_chars)
        return _build(tuple(self.sets), tuple(self.fields), orders, self.max_examples, state)

    def __reduce__(self) -> tuple[Any, ...]:
        # Without the index, which every process builds once: it may take many megabytes.
        return type(self).model_validate, (self.model_dump(),)


@functools.cache
def _build(
    sets: tuple[str, ...],
    fields: tuple[str, ...],
    orders: tuple[int, int, int, int],
    max_examples: int,
    state: tuple[tuple[str, int, int], ...],  # noqa: ARG001 - part of the key
) -> Index:
    from llmkit.cleaning.grams import Orders, build_index

    ngram, min_words, char_ngram, min_chars = orders
    return build_index(
        ((owner, texts) for owner, path in enumerate(sets) for texts in read_examples(path, fields)),
        words=Orders(ngram, min(min_words, ngram)),
        characters=Orders(char_ngram, min(min_chars, char_ngram)),
        max_examples=max_examples,
    )


def read_examples(path: str, fields: tuple[str, ...]) -> Iterator[list[str]]:
    """Yield the texts of each example of a set: what its columns of these names hold.

    Of labelled rows of ours, `text` is the text that stands for the row.

    Raises:
        DataError: A row has none of the columns, or cannot be read: left out in silence, it would go unchecked.
    """
    from llmkit.cleaning.item_texts import texts_in
    from llmkit.data.sources import Broken

    source = _source(path)
    labelled = source.kind() == "examples"
    for file in source.files():
        for record in source.read(file) if labelled else source.raw(file):
            texts: list[str] = []
            if isinstance(record, Broken):
                reason = record.reason
            else:
                columns = {**record.meta, **record.fields, **({"text": record.text} if labelled else {})}
                texts = [text for name in fields for text in texts_in(columns.get(name))]
                reason = f"no text in the fields; the row has: {listed(columns)}"
            if not texts:
                raise DataError(
                    f"decontaminate.sets: {file.path}: row {record.row + 1}: {reason}",
                    hint="name the columns that hold text in the step's 'fields'",
                )
            yield texts


def _source(path: str) -> Files:
    from llmkit.data.sources.files import Files

    return Files(path=path)
