"""Count what happened to every row, keep samples of what fell, and say so in report.json and report.html."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llmkit.cleaning.steps import Drop, Step
from llmkit.core.digest import digest_text
from llmkit.core.durable import write_json
from llmkit.core.page import Page
from llmkit.data.corpus import Document
from llmkit.data.sources import Broken, RawFile

SAMPLES_PER_RULE = 100
EXCERPT_CHARS = 2000
UNREADABLE = "unreadable"
_REJECTED = pa.schema([(name, pa.string()) for name in ("id", "rule", "value", "threshold", "source", "file", "text")])


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
        rules: Documents dropped, per rule.
        rule_bytes: Bytes dropped, per rule.
        steps_changed: Documents changed, per position of the step.
        steps_dropped: Documents dropped, per position of the step.
        sources: Documents kept, per source.
        languages: Documents kept, per language.
        samples: Per rule a heap of `(negated id, row)`: the smallest ids, so that the sample is the same whatever
            the order of work.
        broken: First broken rows, for messages.
    """

    files: dict[str, FileCount] = field(default_factory=dict)
    bytes_read: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    rule_bytes: Counter[str] = field(default_factory=Counter)
    steps_changed: Counter[int] = field(default_factory=Counter)
    steps_dropped: Counter[int] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[tuple[int, dict[str, str]]]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def row(self, file: RawFile) -> None:
        """Count a row read from a file."""
        self.files.setdefault(file.path, FileCount()).rows += 1

    def read(self, document: Document) -> None:
        """Count a document's bytes before any step."""
        self.bytes_read += _num_bytes(document.text)

    def kept(self, document: Document, file: str) -> None:
        """Count a document that reached the corpus."""
        self.files[file].kept += 1
        self.sources[document.source] += 1
        self.languages[document.language] += 1

    def changed(self, step: int) -> None:
        """Count a document that a step changed."""
        self.steps_changed[step] += 1

    def rejected(self, step: int, document: Document, file: str, drop: Drop) -> None:
        """Count a dropped document and perhaps keep it as a sample."""
        self.files[file].rejected += 1
        self.steps_dropped[step] += 1
        self.rules[drop.rule] += 1
        self.rule_bytes[drop.rule] += _num_bytes(document.text)
        row = {"value": str(drop.value), "threshold": str(drop.threshold), "source": document.source, "file": file}
        self._sample(drop.rule, document.id, {**row, "text": document.text[:EXCERPT_CHARS]})

    def duplicate(self, step: int, document: Document, file: str, rule: str, original: str) -> None:
        """Count a duplicate; its sample names the document that was kept instead."""
        self.rejected(step, document, file, Drop(rule, f"same as {original}", "first in input order"))

    def failed(self, record: Broken, file: RawFile, where: str) -> None:
        """Count a row that could not be read."""
        self.files[file.path].failed += 1
        self.rules[UNREADABLE] += 1
        if len(self.broken) < 5:
            self.broken.append(f"{where}: {record.reason}")
        row = {"value": record.reason, "threshold": "", "source": "", "file": where}
        self._sample(UNREADABLE, digest_text(where)[:32], {**row, "text": record.excerpt})

    def _sample(self, rule: str, identifier: str, row: dict[str, str]) -> None:
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
        for name in ("rules", "rule_bytes", "steps_changed", "steps_dropped", "sources", "languages"):
            getattr(self, name).update(getattr(other, name))
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


def write_reports(directory: Path, tally: Tally, steps: Sequence[Step], *, bytes_kept: int, held_out: int) -> None:
    """Write report.json, report.html and the samples under rejected/."""
    total = tally.total()
    report = {
        "documents": {"read": total.rows, "kept": total.kept, "rejected": total.rejected, "failed": total.failed},
        "held_out_at_source": held_out,
        "bytes": {"read": tally.bytes_read, "kept": bytes_kept},
        "rules": [
            {"rule": rule, "documents": count, "bytes": tally.rule_bytes[rule]}
            for rule, count in tally.rules.most_common()
        ],
        "steps": [
            {"step": step.spec(), "changed": tally.steps_changed[i], "dropped": tally.steps_dropped[i]}
            for i, step in enumerate(steps)
        ],
        "sources": dict(tally.sources.most_common()),
        "languages": dict(tally.languages.most_common()),
        "files": {path: vars(count) for path, count in tally.files.items()},
    }
    write_json(directory / "report.json", report)
    _write_rejected(directory, tally)
    _write_page(directory / "report.html", report, tally)


def _write_rejected(directory: Path, tally: Tally) -> None:
    rows = [row for rule in sorted(tally.samples) for _, row in sorted(tally.samples[rule], key=lambda item: -item[0])]
    (directory / "rejected").mkdir()
    table = pa.Table.from_pylist(rows, schema=_REJECTED)
    pq.write_table(table, directory / "rejected" / "sample.parquet", compression="zstd")


def _write_page(path: Path, report: dict[str, Any], tally: Tally) -> None:
    documents = report["documents"]
    page = Page("Corpus report", f"{documents['kept']:,} of {documents['read']:,} documents kept")
    page.facts(
        {
            "documents read": f"{documents['read']:,}",
            "kept": f"{documents['kept']:,}",
            "rejected": f"{documents['rejected']:,}",
            "unreadable": f"{documents['failed']:,}",
            "held out at the source": f"{report['held_out_at_source']:,}",
            "text kept": f"{report['bytes']['kept'] / 1e6:,.2f} of {report['bytes']['read'] / 1e6:,.2f} MB",
        }
    )
    page.heading("Why documents fell")
    page.bars([(rule["rule"], rule["documents"]) for rule in report["rules"]])
    page.heading("Steps")
    page.table(
        ("step", "settings", "documents changed", "documents dropped"),
        [
            (
                s["step"]["type"],
                ", ".join(f"{k}={v}" for k, v in s["step"].items() if k != "type"),
                s["changed"],
                s["dropped"],
            )
            for s in report["steps"]
        ],
    )
    page.heading("Sources and languages")
    page.table(("source", "documents kept"), list(report["sources"].items()))
    page.table(("language", "documents kept"), list(report["languages"].items()))
    page.heading("Samples of what fell")
    for rule in sorted(tally.samples):
        for _, row in sorted(tally.samples[rule], key=lambda item: -item[0])[:5]:
            page.quote(f"{rule}: {row['value']} (threshold {row['threshold'] or 'none'})", row["text"][:500])
    page.write(path)


def _num_bytes(text: str) -> int:
    return len(text.encode("utf-8"))
