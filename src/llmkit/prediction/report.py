"""The page and the card of predictions: what was said how often, how surely, and the rows that are least sure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llmkit.core.digest import digest_file, digest_text
from llmkit.core.page import Histogram, Page, histogram_ticks, percent
from llmkit.data.artifacts import Predictions
from llmkit.prediction.outputs import BINS, Output
from llmkit.prediction.tally import Tally, shown

COUNTS_SHOWN = 100
FILES_SHOWN = 50
_REJECTED = pa.schema(
    [
        ("file", pa.string()),
        ("row", pa.int64()),
        ("line", pa.int64()),
        ("reason", pa.string()),
        ("excerpt", pa.string()),
    ]
)


def write_report(directory: Path, tally: Tally, facts: dict[str, str]) -> None:
    """Write the page, and the rows that could not be read.

    Args:
        directory: The artifact.
        tally: What became of the rows.
        facts: Of the model, for the cards at the top.
    """
    found = Predictions(directory)
    page = Page("Predictions", f"{tally.predicted:,} of {tally.rows:,} rows have an answer")
    rows = {"rows": f"{tally.rows:,}", "without a text": f"{tally.without_text:,}", "unreadable": f"{tally.failed:,}"}
    page.facts({**facts, **rows, "cut": f"{tally.cut:,}"})
    if tally.said:
        page.heading("What was said")
        top = tally.said.most_common(COUNTS_SHOWN)
        page.bars([(f"{name} ({percent(count, tally.said.total())})", count) for name, count in top])
        if rest := len(tally.said) - len(top):
            page.text(f"and {rest:,} more")
    if tally.bins.any():
        page.heading("How sure the model was")
        edges = [i / BINS for i in range(BINS + 1)]
        counts = tally.bins.tolist()
        ticks = histogram_ticks(edges, lambda value: f"{value:g}")
        page.histograms([Histogram("probability of what was said", [], ticks, [0] * BINS, counts)])
    if tally.doubtful:
        page.heading("Least sure rows")
        for row in tally.doubtful:
            page.quote(f"{row.file}, row {row.row + 1}: {row.said}", row.text, prose=True)
    page.heading("Files")
    names = [(path, *counts) for path, counts in list(tally.files.items())[:FILES_SHOWN]]
    page.table(("file", "rows", "without a text", "unreadable"), names)
    if rest := len(tally.files) - len(names):
        page.text(f"and {rest:,} more")
    page.write(found.report)
    folder = directory / Predictions.REJECTED
    folder.mkdir(exist_ok=True)
    broken = [{**row, "excerpt": shown(row["excerpt"])} for row in tally.broken]
    pq.write_table(pa.Table.from_pylist(broken, schema=_REJECTED), folder / Predictions.SAMPLE, compression="zstd")


def write_card(directory: Path, tally: Tally, output: Output, model: str) -> None:
    """Write the card, whose `configs` make `load_dataset(directory)` read the Parquet files; see a corpus' card."""
    found = Predictions(directory)
    digest = digest_text(" ".join(digest_file(path) for path in found.files()))
    columns = [f"| `{field.name}` | {_type(field.type)} |" for field in output.fields()]
    lines = [
        "---", "configs:", "- config_name: default", f"  data_files: {Predictions.PAYLOAD[0]}",
        f"  description: digest {digest[:32]}", "---", "", "# Predictions", "",
        f"{tally.rows - tally.failed:,} rows in the order of the input, {tally.predicted:,} of them with an answer"
        f" of {model}, made by `llmkit predict`.", "",
        "| column | type |", "|---|---|", *columns, "",
        f"`file` and `row` (from 0) say where a row stood; {tally.without_text:,} rows without a text have nulls, and"
        f" {tally.failed:,} that could not be read are left out: the first of them are in `{Predictions.REJECTED}/`.",
        "What it was made from: `llmkit lineage DIR`.", "",
    ]  # fmt: skip
    found.card.write_text("\n".join(lines), encoding="utf-8")


def shares(said: Any, most: int) -> str:
    """Return the most frequent of what was said, in a line."""
    items: Sequence[tuple[str, int]] = sorted(said.items(), key=lambda item: -item[1])
    total = sum(count for _, count in items)
    parts = [f"{name} {count:,} ({percent(count, total)})" for name, count in items[:most]]
    more = len(items) - most
    return ", ".join([*parts, *([f"{more:,} more"] if more > 0 else [])])


def _type(kind: pa.DataType) -> str:
    words = str(kind)
    return (words if len(words) <= 200 else f"{words[:200]} ...").replace("|", "\\|")
