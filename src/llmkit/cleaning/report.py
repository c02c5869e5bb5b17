"""Say what happened to every row: report.json, report.html and samples of what fell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llmkit.cleaning.losses import loss_notes
from llmkit.cleaning.measures import MEASURES, NUM_BINS, Histograms
from llmkit.cleaning.report_page import make_page
from llmkit.cleaning.steps import Order, Step
from llmkit.cleaning.tally import EXCERPT_CHARS, UNREADABLE, Tally
from llmkit.core.durable import write_json
from llmkit.data.artifacts import Corpus
from llmkit.text.personal import redact

LABEL_CONFLICTS = "label conflicts"
"""What a step counts that finds copies of a text with different labels."""
ABSENT = "no documents of "
"""What a step counts for a source that its config names and that never came."""
_REJECTED = pa.schema([(name, pa.string()) for name in ("id", "rule", "value", "threshold", "source", "file", "text")])


def notes_on(steps: Sequence[Step], tally: Tally) -> list[str]:
    """Point out steps that did nothing or dropped over half of what reached them, label conflicts, unreadable rows."""
    notes = []
    for position, reached in enumerate(_reached(len(steps), tally)):
        name = f"step {position} ({steps[position].type_name})"
        dropped, counted = tally.steps_dropped[position], tally.steps_counted.get(position, Counter())
        if isinstance(steps[position], Order):
            continue
        if not (tally.steps_changed[position] or dropped or any(counted.values())):
            notes.append(f"note: {name} neither changed nor dropped a document{_too_early(steps, position)}")
        elif dropped > reached / 2:
            notes.append(f"note: {name} dropped {dropped / reached:.0%} of the documents that reached it")
        if conflicts := counted.get(LABEL_CONFLICTS):
            texts = "1 text" if conflicts == 1 else f"{conflicts:,} texts"
            notes.append(f"note: {name} found {texts} with different labels")
        notes += [f"note: {name}: {what}; is the name right?" for what in sorted(counted) if what.startswith(ABSENT)]
    notes += loss_notes(tally)
    if failed := tally.rules[UNREADABLE]:
        rows = sum(count.rows for count in tally.files.values())
        notes.append(f"note: {failed:,} of {rows:,} rows could not be read")
    return notes


def _too_early(steps: Sequence[Step], position: int) -> str:
    """Say so, if a step is for some languages and nothing before it finds out what is in which language."""
    wanted = steps[position].only_languages
    if not wanted or any(step.type_name == "language" for step in steps[:position]):
        return ""
    return f": it is for {', '.join(wanted)} only, and no step language stands before it"


def write_reports(directory: Path, tally: Tally, steps: Sequence[Step], *, bytes_kept: int, held_out: int) -> None:
    """Write the reports of a corpus, for programs and for people, and the samples of what fell."""
    corpus = Corpus(directory)
    report = make_report(tally, steps, bytes_kept=bytes_kept, held_out=held_out)
    write_json(corpus.path / corpus.COUNTS, report)
    samples = {rule: [_excerpt(row, steps) for row in _in_order(heap)] for rule, heap in tally.samples.items()}
    _write_rejected(corpus.path / corpus.REJECTED, samples)
    changes = [", ".join(f"{k}: {v}" for k, v in step.model_dump(exclude_defaults=True).items()) for step in steps]
    make_page(report, samples, changes).write(corpus.report)


def make_report(tally: Tally, steps: Sequence[Step], *, bytes_kept: int, held_out: int) -> dict[str, Any]:
    """Return the content of report.json; bytes are UTF-8 bytes of text."""
    total = tally.total()
    dropped = tally.drop_bytes.total()
    rules, rule_bytes, main_rules = tally.rules, tally.rule_bytes, _main_rules(tally)
    return {
        "documents": {"read": total.rows, "kept": total.kept, "rejected": total.rejected, "failed": total.failed},
        "held_out_at_source": held_out,
        "bytes": {
            "read": tally.bytes_read,
            "kept": bytes_kept,
            "dropped": dropped,
            "rewritten": tally.bytes_read - dropped - bytes_kept,
        },
        "notes": [note.removeprefix("note: ") for note in notes_on(steps, tally)],
        "rules": [{"rule": rule, "documents": count, "bytes": rule_bytes[rule]} for rule, count in rules.most_common()],
        "steps": [
            {
                "step": steps[position].spec(),
                "reached": reached,
                "changed": tally.steps_changed[position],
                "dropped": tally.steps_dropped[position],
                "rules": [
                    {"rule": rule, "documents": count, "bytes": tally.drop_bytes[place, rule]}
                    for (place, rule), count in tally.drops.most_common()
                    if place == position
                ],
                "counted": dict(sorted(tally.steps_counted.get(position, {}).items())),
            }
            for position, reached in enumerate(_reached(len(steps), tally))
        ],
        "measures": [
            {
                "name": measure.name,
                "edges": [measure.edge(i) for i in range(NUM_BINS + 1)],
                "before": _distribution(tally.before, i),
                "after": _distribution(tally.after, i),
            }
            for i, measure in enumerate(MEASURES)
        ],
        "sources": {
            name: {
                "read": count,
                "kept": tally.sources[name],
                "bytes_kept": tally.source_bytes[name],
                "fell_by": main_rules.get(name, {}),
            }
            for name, count in (tally.sources_read | tally.sources).most_common()
        },
        "languages": {
            name: {"kept": tally.languages[name], "dropped": tally.languages_dropped[name]}
            for name, _ in (tally.languages + tally.languages_dropped).most_common()
        },
        "files": {path: dict(vars(count)) for path, count in tally.files.items()},
    }


def _main_rules(tally: Tally) -> dict[str, dict[str, int]]:
    """Return per source the rule that took most of its documents, and how many."""
    found: dict[str, dict[str, int]] = {}
    for (source, rule), count in sorted(tally.source_drops.items()):
        if count > max(found.get(source, {"": 0}).values()):
            found[source] = {rule: count}
    return found


def _reached(num_steps: int, tally: Tally) -> Iterator[int]:
    """Yield how many documents came as far as each step."""
    left = sum(count.rows - count.failed for count in tally.files.values())
    for position in range(num_steps):
        yield left
        left -= tally.steps_dropped[position]


def _distribution(histograms: Histograms, position: int) -> dict[str, Any]:
    return {
        "mean": histograms.mean(position),
        "median": histograms.quantile(position, 0.5),
        "bins": histograms.bins[position].tolist(),
    }


def _in_order(heap: Sequence[tuple[int, dict[str, str]]]) -> list[dict[str, str]]:
    """Return the sampled rows of a rule in the order of their ids."""
    return [row for _, row in sorted(heap, key=lambda item: -item[0])]


def _excerpt(row: dict[str, str], steps: Sequence[Step]) -> dict[str, str]:
    """Return a sampled row as anyone may see it.

    What could not be read came to no step; where it holds a mail address, who it is of stands beside it.
    """
    text = row["text"]
    if row["rule"] == UNREADABLE and (kinds := redact(text)[1]):
        text = f"(not shown, since it holds {' and '.join(f'<{kind}>' for kind in kinds)})"
    for step in steps:
        text = step.conceal(text)
    return {**row, "text": text[:EXCERPT_CHARS]}


def _write_rejected(folder: Path, samples: Mapping[str, Sequence[dict[str, str]]]) -> None:
    folder.mkdir()
    table = pa.Table.from_pylist([row for rule in sorted(samples) for row in samples[rule]], schema=_REJECTED)
    pq.write_table(table, folder / Corpus.SAMPLE, compression="zstd")
