"""Count what a tokenizer makes of text: per split, source and language, per token, and per length of document."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from llmkit.data.split import SPLITS, Split
from llmkit.data.unread import Unread
from llmkit.text.words import count_words
from llmkit.work.kernel import kernel as compiled

kernel: Callable[[Callable[..., Any]], Callable[..., Any]] = compiled
"""The decorator with a type that lets typed code call what it decorates."""

WORD_SAMPLE = 100
"""Words are counted in one document of so many, chosen by its id: counting them all would cost as much as encoding."""
WORD_CHARS = 200_000
"""Characters at the beginning of a task in which every document's words are counted, so that few are enough."""
MAX_WORD_CHARS = 1_000_000
"""Of longer documents the words are counted in so many characters and the rest is taken to be alike."""
NUM_LONGEST = 20
MAX_SAMPLES = 100
SAMPLE_CHARS = 600

# Four bins an octave; a power of two ends a bin, so that what fits in 512 or 4,096 tokens is known exactly.
_STEPS = (4, 5, 6, 7)
LENGTH_EDGES = np.array([0, 1, 2, 3, *(step << i for i in range(30) for step in _STEPS)], np.int64)
"""Bins of document lengths in tokens: bin i holds lengths above edge i - 1, up to and with edge i."""

WHOLE, PARTIAL, BYTE, UNKNOWN, SPECIAL = range(5)
"""Kinds of tokens: whole characters, a part of one, a single byte by fallback, what the vocabulary lacks, special."""


class Group(NamedTuple):
    """What documents are counted by."""

    split: Split
    source: str
    language: str


@dataclass(slots=True)
class Counts:
    """Sums over the documents of a group; the order of the fields is that of the columns in `TokenStatistics`.

    Attributes:
        documents: Documents.
        tokens: Tokens, no special ones.
        bytes: UTF-8 bytes of text.
        characters: Code points of text.
        partial: Tokens that hold a part of a character, of byte-level tokenizers.
        byte_fallback: Tokens that stand for a single byte since the vocabulary lacks the character (`<0xE4>`).
        unknown: Tokens that stand for text the vocabulary lacks.
        words: Words of the documents in which words were counted.
        word_tokens: Tokens of those documents.
        unknown_bytes: Bytes of text that unknown tokens stand for.
        lost_bytes: Bytes of text that no token stands for.
    """

    documents: int = 0
    tokens: int = 0
    bytes: int = 0
    characters: int = 0
    partial: int = 0
    byte_fallback: int = 0
    unknown: int = 0
    words: int = 0
    word_tokens: int = 0
    unknown_bytes: int = 0
    lost_bytes: int = 0

    @property
    def unread(self) -> Unread:
        """What the tokenizer did not read."""
        return Unread(self.unknown_bytes, self.lost_bytes)


_COLUMNS = [column.name for column in fields(Counts)]
_WORDS, _WORD_TOKENS = _COLUMNS.index("words"), _COLUMNS.index("word_tokens")
_UNREAD = slice(_COLUMNS.index("unknown_bytes"), _COLUMNS.index("lost_bytes") + 1)


class Long(NamedTuple):
    """One of the longest documents."""

    tokens: int
    id: str
    split: Split
    source: str
    language: str


class Sample(NamedTuple):
    """The beginning of a document, for the report; those with the smallest keys are kept."""

    key: int
    id: str
    text: str


@dataclass
class TokenStatistics:
    """Statistics of the tokens of some documents: one object per task, merged in the end.

    Which documents words are counted in depends on the documents added before, so tasks must be cut the same way for
    the same figures. A batch costs about 2 ns per token and 1 us per document.

    Args:
        kinds: `[vocab_size]` what the tokens are, from `llmkit.tokenization.show.token_kinds`.

    Attributes:
        counts: `[vocab_size]` how often each id occurs.
        lengths: `[splits, bins, 2]` documents and their tokens per bin of `LENGTH_EDGES`; splits as in `SPLITS`.
        longest: The documents with the most tokens, longest first.
        samples: The beginning of a document per source and language, as `(source, language)`, of up to `MAX_SAMPLES`.
    """

    kinds: NDArray[np.uint8]
    counts: NDArray[np.int64] = field(init=False)
    lengths: NDArray[np.int64] = field(init=False)
    longest: list[Long] = field(default_factory=list)
    samples: dict[tuple[str, str], Sample] = field(default_factory=dict)
    _groups: dict[tuple[Split, str, str], int] = field(default_factory=dict)
    _sums: NDArray[np.int64] = field(init=False)
    _word_chars: int = 0

    def __post_init__(self) -> None:
        self.counts = np.zeros(len(self.kinds), np.int64)
        self.lengths = np.zeros((len(SPLITS), len(LENGTH_EDGES), 2), np.int64)
        self._sums = np.zeros((0, len(_COLUMNS)), np.int64)

    def add(
        self,
        *,
        documents: Sequence[str],
        splits: Sequence[Split],
        sources: Sequence[str],
        languages: Sequence[str],
        num_bytes: NDArray[np.integer],
        num_chars: NDArray[np.integer],
        input_ids: NDArray[np.integer],
        num_tokens: NDArray[np.integer],
        text: Callable[[int], str],
        unread: NDArray[np.int64] | None = None,
    ) -> None:
        """Count a batch of documents; any number of them, the more the cheaper.

        Args:
            documents: `[documents]` ids.
            splits: `[documents]` sides.
            sources: `[documents]` names of the sources.
            languages: `[documents]` language tags.
            num_bytes: `[documents]` UTF-8 bytes of each text.
            num_chars: `[documents]` code points of each text.
            input_ids: `[tokens]` ids of all documents, one document after another, uint16 or uint32.
            num_tokens: `[documents]` tokens of each document.
            text: Returns the text of a document by its position; called for few of them. `texts.__getitem__` will do.
            unread: `[documents, 2]` bytes of each text that are unknown and that are lost; None where all is read.

        Raises:
            ValueError: The lengths do not add up to the ids.
        """
        ends = np.cumsum(num_tokens, dtype=np.int64)
        if (int(ends[-1]) if ends.size else 0) != len(input_ids):
            raise ValueError(f"{len(input_ids)} ids for documents of {num_tokens.sum()} tokens")
        if not ends.size:
            return
        groups = self._numbers(zip(splits, sources, languages, strict=True), len(documents))
        _count(input_ids, ends, groups, num_bytes, num_chars, self.kinds, self.counts, self._sums)
        if unread is not None and unread.any():
            np.add.at(self._sums[:, _UNREAD], groups, unread)
        self._count_lengths(groups, num_tokens)
        # With ties, so that the choice among them is left to the ids.
        least = np.partition(num_tokens, -NUM_LONGEST)[-NUM_LONGEST] if ends.size > NUM_LONGEST else 0
        for i in np.flatnonzero(num_tokens >= least).tolist():
            self.longest.append(Long(int(num_tokens[i]), documents[i], splits[i], sources[i], languages[i]))
        self._keep_longest()
        keys = np.fromiter(map(zlib.crc32, map(str.encode, documents)), np.int64, len(documents))
        filled = np.flatnonzero(num_tokens)
        for i in filled.tolist():
            if self._word_chars >= WORD_CHARS:
                break
            if keys[i] % WORD_SAMPLE:
                self._count_words(int(groups[i]), text(i), int(num_tokens[i]))
        for i in filled[keys[filled] % WORD_SAMPLE == 0].tolist():
            self._count_words(int(groups[i]), text(i), int(num_tokens[i]))
        order = filled[np.argsort(keys[filled], kind="stable")]
        for i in order[np.unique(groups[order], return_index=True)[1]].tolist():
            place = sources[i], languages[i]
            if place not in self.samples or keys[i] <= self.samples[place].key:
                found = Sample(int(keys[i]), documents[i], text(i)[:SAMPLE_CHARS])
                self.samples[place] = min(found, self.samples.get(place, found))
        self._drop_samples()

    def merge(self, other: TokenStatistics) -> None:
        """Add what another object counted with the same tokenizer."""
        if len(self.kinds) != len(other.kinds):
            raise ValueError("statistics of two vocabularies cannot be merged")
        self.counts += other.counts
        self.lengths += other.lengths
        rows = self._numbers(iter(other._groups), len(other._groups))
        np.add.at(self._sums, rows, other._sums)
        self.longest += other.longest
        self._keep_longest()
        for place, sample in other.samples.items():
            self.samples[place] = min(sample, self.samples.get(place, sample))
        self._drop_samples()

    def groups(self) -> dict[Group, Counts]:
        """Return the sums per split, source and language."""
        return {Group(*group): Counts(*self._sums[row].tolist()) for group, row in self._groups.items()}

    def by(self, name: str) -> dict[str, Counts]:
        """Return the sums per `split`, `source` or `language`, the most tokens first."""
        summed: dict[str, NDArray[np.int64]] = {}
        for group, row in self._groups.items():
            key = cast("str", getattr(Group(*group), name))
            summed[key] = summed.get(key, 0) + self._sums[row]
        found = {key: Counts(*row.tolist()) for key, row in summed.items()}
        return dict(sorted(found.items(), key=lambda item: (-item[1].tokens, item[0])))

    def total(self) -> Counts:
        """Return the sums over all documents."""
        return Counts(*self._sums.sum(axis=0).tolist())

    def _count_lengths(self, groups: NDArray[np.int64], num_tokens: NDArray[np.integer]) -> None:
        sides = np.array([SPLITS.index(split) for split, _, _ in self._groups])[groups]
        places = sides * len(LENGTH_EDGES) + np.searchsorted(LENGTH_EDGES, num_tokens)
        for column, weights in enumerate((None, num_tokens)):
            sums = np.bincount(places, weights, self.lengths[..., 0].size)
            self.lengths[..., column] += sums.astype(np.int64).reshape(len(SPLITS), -1)

    def _numbers(self, groups: Iterator[tuple[Split, str, str]], count: int) -> NDArray[np.int64]:
        """Return the row of each group, with new rows for new groups."""
        known = self._groups
        rows = np.fromiter((known.setdefault(group, len(known)) for group in groups), np.int64, count)
        new = len(known) - len(self._sums)
        if new:
            self._sums = np.concatenate([self._sums, np.zeros((new, len(_COLUMNS)), np.int64)])
        return rows

    def _keep_longest(self) -> None:
        self.longest = sorted(self.longest, key=lambda long: (-long.tokens, long.id))[:NUM_LONGEST]

    def _drop_samples(self) -> None:
        if len(self.samples) > MAX_SAMPLES:
            self.samples = dict(sorted(self.samples.items(), key=lambda item: (item[1], item[0]))[:MAX_SAMPLES])

    def _count_words(self, group: int, text: str, num_tokens: int) -> None:
        part = text[:MAX_WORD_CHARS]
        self._word_chars += len(part)
        self._sums[group, _WORDS] += round(count_words(part) * len(text) / len(part)) if part else 0
        self._sums[group, _WORD_TOKENS] += num_tokens


@kernel
def _count(ids, ends, groups, num_bytes, num_chars, kinds, counts, sums):  # type: ignore[no-untyped-def]
    """Add a batch to the counts of ids and to the sums of groups: one pass over the ids."""
    start = 0
    for i in range(ends.shape[0]):
        row = sums[groups[i]]
        row[0] += 1
        row[1] += ends[i] - start
        row[2] += num_bytes[i]
        row[3] += num_chars[i]
        for j in range(start, ends[i]):
            token = ids[j]
            counts[token] += 1
            kind = kinds[token]
            if 1 <= kind <= 3:  # partial, byte fallback, unknown: the columns after the first four
                row[3 + kind] += 1
        start = ends[i]
