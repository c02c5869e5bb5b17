"""What became of the rows: counts, how sure the model was, and the rows of which it was least sure."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmkit.core.inputs import RawFile
from llmkit.data.sources import Broken
from llmkit.prediction.outputs import BINS, Said
from llmkit.prediction.rows import Item
from llmkit.text.personal import redact

LEAST_SURE = 20
EXCERPT_CHARS = 300
MAX_BROKEN = 1000
"""Unreadable rows that are listed; all are counted."""


class Doubtful(NamedTuple):
    """A row of which the model is not sure."""

    sure: float
    file: str
    row: int
    said: str
    text: str


def shown(text: str) -> str:
    """Return a text as anyone may see it."""
    kinds = redact(text)[1]
    return f"(not shown, since it holds {' and '.join(f'<{kind}>' for kind in kinds)})" if kinds else text


@dataclass
class Tally:
    """Counts of some rows, or of the whole run once added up.

    Attributes:
        records: What the reader gave, to be skipped by a later run.
        rows: Rows read, unreadable ones included.
        predicted: Rows with an answer.
        without_text: Rows without, since a text is missing or no token stands for it.
        failed: Rows that could not be read.
        cut: Rows longer than what the model reads.
        files: Per file its rows, those without text, and those that could not be read.
        said: Histogram of what was said.
        bins: Histogram of how sure the model was.
        doubtful: The least sure rows.
        broken: The first unreadable rows.
    """

    records: int = 0
    rows: int = 0
    predicted: int = 0
    without_text: int = 0
    failed: int = 0
    cut: int = 0
    files: dict[str, list[int]] = field(default_factory=dict)
    said: Counter[str] = field(default_factory=Counter)
    bins: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    doubtful: list[Doubtful] = field(default_factory=list)
    broken: list[dict[str, Any]] = field(default_factory=list)

    def item(self, file: RawFile, item: Item) -> None:
        """Count a row that was read."""
        counts = self.files.setdefault(file.path, [0, 0, 0])
        self.records, self.rows, counts[0] = self.records + 1, self.rows + 1, counts[0] + 1
        if item.request is None:
            self.without_text, counts[1] = self.without_text + 1, counts[1] + 1
        else:
            self.predicted += 1

    def without_token(self, file: RawFile) -> None:
        """Move a counted row to those without a text."""
        self.predicted, self.without_text = self.predicted - 1, self.without_text + 1
        self.files[file.path][1] += 1

    def unreadable(self, file: RawFile, record: Broken) -> None:
        """Count a row that could not be read, or the several that it stands for."""
        counts = self.files.setdefault(file.path, [0, 0, 0])
        self.records, self.rows = self.records + 1, self.rows + record.num_rows
        counts[0], counts[2] = counts[0] + record.num_rows, counts[2] + record.num_rows
        self.failed += record.num_rows
        row = {"file": file.path, "row": record.row, "line": record.line, "reason": record.reason}
        self.broken = [*self.broken, {**row, "excerpt": record.excerpt}][:MAX_BROKEN]

    def answered(self, items: list[Item], said: Said) -> None:
        """Add what was said of rows."""
        self.said += said.counts
        self.bins += said.bins
        known = np.flatnonzero(np.isfinite(said.sure))
        for i in known[np.argsort(said.sure[known], kind="stable")[:LEAST_SURE]].tolist():
            item, text = items[i], "\n".join(text or "" for text in items[i].texts.values())
            # Of the whole text: cut, or in words, an address is none that could be recognized.
            seen = shown(text)
            words = seen if said.quotes and seen != text else said.words[i]
            known_by = (float(said.sure[i]), item.file, item.row)
            self._doubt(Doubtful(*known_by, words[:EXCERPT_CHARS], seen[:EXCERPT_CHARS]))

    def _doubt(self, row: Doubtful) -> None:
        self.doubtful = heapq.nsmallest(LEAST_SURE, [*self.doubtful, row])

    def add(self, other: Tally) -> None:
        """Add the counts of later rows."""
        for name in ("records", "rows", "predicted", "without_text", "failed", "cut"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for path, counts in other.files.items():
            mine = self.files.setdefault(path, [0, 0, 0])
            mine[:] = [a + b for a, b in zip(mine, counts, strict=True)]
        self.said += other.said
        self.bins += other.bins
        self.doubtful = heapq.nsmallest(LEAST_SURE, [*self.doubtful, *other.doubtful])
        self.broken = [*self.broken, *other.broken][:MAX_BROKEN]
