"""Count what happened to every row, and keep samples of what fell."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmkit.cleaning.measures import Histograms
from llmkit.cleaning.steps import Drop
from llmkit.core.digest import digest_text
from llmkit.data.corpus import Document
from llmkit.data.sources import Broken, RawFile

SAMPLES_PER_RULE = 100
EXCERPT_CHARS = 1000
_SAMPLE_CHARS = EXCERPT_CHARS + 200
"""More than is shown: what is concealed in a sample must not be cut in two before it is found."""
UNREADABLE = "unreadable"
_BEFORE_THE_STEPS = -1
_COUNTERS = (
    "drops", "drop_bytes", "steps_changed", "sources", "source_bytes", "sources_read", "languages", "languages_dropped",
    "source_drops",
)  # fmt: skip


@dataclass
class FileCount:
    """Rows of one file; `rows` = `kept` + `rejected` + `failed`, checked at the end of every run."""

    rows: int = 0
    kept: int = 0
    rejected: int = 0
    failed: int = 0


@dataclass
class Tally:
    """Counts of one task, or of the whole run once merged.

    Attributes:
        files: Counts per input file.
        bytes_read: UTF-8 bytes of text read.
        drops: Documents dropped, per position of the step and rule; a recipe may have a step twice.
        drop_bytes: Bytes dropped, per position of the step and rule, as the text was when it fell.
        steps_changed: Documents changed, per position of the step.
        steps_counted: What steps counted, such as redactions per type, per position of the step.
        sources: Documents kept, per source.
        source_bytes: Bytes kept, per source.
        sources_read: Documents read, per source.
        source_drops: Documents dropped, per source and rule.
        languages: Documents kept, per language.
        languages_dropped: Documents dropped, per language as far as it was known.
        before: Measures of the documents read.
        after: Measures of the documents kept.
        samples: Per rule a heap of `(negated id, row)`: the smallest ids, so that the sample is the same whatever
            the order of work.
        broken: First broken rows, for warnings.
    """

    files: dict[str, FileCount] = field(default_factory=dict)
    bytes_read: int = 0
    drops: Counter[tuple[int, str]] = field(default_factory=Counter)
    drop_bytes: Counter[tuple[int, str]] = field(default_factory=Counter)
    steps_changed: Counter[int] = field(default_factory=Counter)
    steps_counted: dict[int, Counter[str]] = field(default_factory=dict)
    sources: Counter[str] = field(default_factory=Counter)
    source_bytes: Counter[str] = field(default_factory=Counter)
    sources_read: Counter[str] = field(default_factory=Counter)
    source_drops: Counter[tuple[str, str]] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    languages_dropped: Counter[str] = field(default_factory=Counter)
    before: Histograms = field(default_factory=Histograms)
    after: Histograms = field(default_factory=Histograms)
    samples: dict[str, list[tuple[int, dict[str, str]]]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    @property
    def rules(self) -> Counter[str]:
        """Documents dropped, per rule."""
        return _by(1, self.drops)

    @property
    def rule_bytes(self) -> Counter[str]:
        """Bytes dropped, per rule."""
        return _by(1, self.drop_bytes)

    @property
    def steps_dropped(self) -> Counter[int]:
        """Documents dropped, per position of the step."""
        return _by(0, self.drops)

    def file(self, file: RawFile) -> None:
        """Note a file, also if it has no rows."""
        self.files.setdefault(file.path, FileCount())

    def row(self, file: RawFile, num_rows: int = 1) -> None:
        """Count a row read from a file, or several that cannot be read."""
        self.files[file.path].rows += num_rows

    def read(self, document: Document, measures: Sequence[float]) -> None:
        """Count a document before any step."""
        self.bytes_read += _num_bytes(document.text)
        self.sources_read[document.source] += 1
        self.before.add(measures)

    def kept(self, document: Document, file: str, measures: Sequence[float]) -> None:
        """Count a document that reached the corpus."""
        self.files.setdefault(file, FileCount()).kept += 1
        self.sources[document.source] += 1
        self.source_bytes[document.source] += _num_bytes(document.text)
        self.languages[document.language] += 1
        self.after.add(measures)

    def changed(self, step: int) -> None:
        """Count a document that a step changed."""
        self.steps_changed[step] += 1

    def counted(self, step: int, counts: Mapping[str, int]) -> None:
        """Add what a step counted."""
        self.steps_counted.setdefault(step, Counter()).update(counts)

    def rejected(self, step: int, document: Document, file: str, drop: Drop) -> None:
        """Count a dropped document and perhaps keep it as a sample."""
        self.files.setdefault(file, FileCount()).rejected += 1
        self.drops[step, drop.rule] += 1
        self.drop_bytes[step, drop.rule] += _num_bytes(document.text)
        self.source_drops[document.source, drop.rule] += 1
        self.languages_dropped[document.language] += 1
        if self._wanted(drop.rule, document.id):
            value = f"{drop.value:.4g}" if isinstance(drop.value, float) else str(drop.value)
            row = {"value": value, "threshold": str(drop.threshold), "source": document.source, "file": file}
            self._sample(drop.rule, document.id, {**row, "text": document.text[:_SAMPLE_CHARS]})

    def failed(self, record: Broken, file: RawFile, where: str) -> None:
        """Count a row that could not be read, or the several that it stands for."""
        self.files[file.path].failed += record.num_rows
        self.drops[_BEFORE_THE_STEPS, UNREADABLE] += record.num_rows
        if len(self.broken) < 5:
            self.broken.append(f"{where}: {record.reason}")
        row = {"value": record.reason, "threshold": "", "source": "", "file": where}
        self._sample(UNREADABLE, digest_text(where)[:32], {**row, "text": record.excerpt})

    def _wanted(self, rule: str, identifier: str) -> bool:
        heap = self.samples.get(rule, [])
        return len(heap) < SAMPLES_PER_RULE or -int(identifier, 16) > heap[0][0]

    def _sample(self, rule: str, identifier: str, row: dict[str, str]) -> None:
        if not self._wanted(rule, identifier):
            return
        heap = self.samples.setdefault(rule, [])
        item = (-int(identifier, 16), {"id": identifier, "rule": rule, **row})
        if all(item[0] != other[0] for other in heap):  # equal ids would compare the rows themselves
            (heapq.heappush if len(heap) < SAMPLES_PER_RULE else heapq.heappushpop)(heap, item)

    def add(self, other: Tally) -> None:
        """Add another task's counts."""
        for path, count in other.files.items():
            mine = self.files.setdefault(path, FileCount())
            for name in ("rows", "kept", "rejected", "failed"):
                setattr(mine, name, getattr(mine, name) + getattr(count, name))
        self.bytes_read += other.bytes_read
        for name in _COUNTERS:
            getattr(self, name).update(getattr(other, name))
        for step, counts in other.steps_counted.items():
            self.counted(step, counts)
        self.before.merge(other.before)
        self.after.merge(other.after)
        for rule, heap in other.samples.items():
            for _, row in heap:
                self._sample(rule, row["id"], {k: v for k, v in row.items() if k not in ("id", "rule")})
        self.broken = (self.broken + other.broken)[:5]

    def total(self) -> FileCount:
        """Return the sum over all files, having checked that every row is accounted for.

        Raises:
            AssertionError: Rows were lost: a bug.
        """
        total = FileCount()
        for path, count in self.files.items():
            assert count.rows == count.kept + count.rejected + count.failed, f"{path}: rows lost: {count}"
            for name in ("rows", "kept", "rejected", "failed"):
                setattr(total, name, getattr(total, name) + getattr(count, name))
        return total


def _by(place: int, counts: Counter[tuple[int, str]]) -> Counter[Any]:
    """Add up counts by one part of their keys."""
    total: Counter[Any] = Counter()
    for key, count in counts.items():
        total[key[place]] += count
    return total


def _num_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
