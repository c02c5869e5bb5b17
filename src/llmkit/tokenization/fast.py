"""Check the ids of gigatoken against those of `tokenizers` on the documents at hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmkit.modeling.fast import PROBES, FastEncoder
from llmkit.modeling.literal import LiteralEncoder
from llmkit.tokenization.batch import Batch

FIRST, CHECK_EVERY = 8, 1000
"""The first so many documents of a task are checked, before any is written, and then one of so many."""
MAX_CHECKED_BYTES = 4096
"""Of a longer document the beginning is checked."""
MAX_EXCERPTS = 64
"""Excerpts around special tokens checked per task."""
_MARGIN = 48


@dataclass
class Check:
    """Compares the ids of a fast encoder with those of `tokenizers` on a part of the text.

    Checked are the probes, the first documents, one in a thousand, and the surroundings of special tokens and of the
    first character of every block of 256 in Unicode. That costs a few hundredths of the time.

    Attributes:
        literal: The definition of the ids.
        fast: What is checked.
        documents: How many documents, or excerpts of them, were compared.
        num_bytes: Their UTF-8 bytes.
        differences: Texts whose ids differ; only the first few are kept.
    """

    literal: LiteralEncoder
    fast: FastEncoder
    documents: int = 0
    num_bytes: int = 0
    differences: list[str] = field(default_factory=list)
    _seen: int = 0
    _excerpts: int = 0

    def probes(self) -> None:
        """Compare the probes, with the special tokens among them as text."""
        names = self.literal.added
        self.texts([*PROBES, "".join(names), "a ".join(names), *names])

    def texts(self, texts: Iterable[str]) -> None:
        """Compare whole texts."""
        checked = [text for text in texts if self.fast.takes(text.encode())]
        for text, (ids, _) in zip(checked, self.literal.encode(checked), strict=True):
            self._compare(text, self.fast.encode(text.encode()), ids)

    def batch(self, batch: Batch, ids: NDArray[Any], counts: NDArray[np.int64], unusual: Iterable[int]) -> None:
        """Compare some of the documents of a batch.

        Args:
            batch: The documents.
            ids: Their ids as they are about to be written.
            counts: How many of them each document has.
            unusual: Positions in `batch.data` of characters that are new in this task.
        """
        ends = np.cumsum(counts)
        first = [d for d in range(len(batch)) if (self._seen + d) % CHECK_EVERY == 0 or self._seen + d < FIRST]
        self._seen += len(batch)
        short = [d for d in first if batch.sizes[d] <= MAX_CHECKED_BYTES]
        texts = [batch.text(d) for d in short]
        for d, text, (expected, _) in zip(short, texts, self.literal.encode(texts), strict=True):
            self._compare(text, ids[ends[d] - counts[d] : ends[d]], expected)
        long = [int(batch.bounds[d]) for d in first if batch.sizes[d] > MAX_CHECKED_BYTES]
        excerpts = [batch.excerpt(at, after=MAX_CHECKED_BYTES) for at in long]
        places = [*unusual, *self._specials(batch)]
        self.texts([*excerpts, *(batch.excerpt(at, before=_MARGIN, after=_MARGIN) for at in places)])

    def _specials(self, batch: Batch) -> Iterator[int]:
        if self._patterns is None or self._excerpts >= MAX_EXCERPTS:
            return
        for _, start, _ in self._patterns.find_matches_as_indexes(batch.data.data):
            if self._excerpts >= MAX_EXCERPTS:
                return
            self._excerpts += 1
            yield start

    @cached_property
    def _patterns(self) -> Any:
        from ahocorasick_rs import BytesAhoCorasick

        tokens = {content.encode() for content in (*self.literal.special, *self.literal.added) if content}
        return BytesAhoCorasick(sorted(tokens)) if tokens else None

    def _compare(self, text: str, ids: NDArray[Any], expected: NDArray[Any]) -> None:
        self.documents += 1
        self.num_bytes += len(text.encode())
        if not np.array_equal(ids, expected) and len(self.differences) < 3:
            self.differences.append(text[:200])
