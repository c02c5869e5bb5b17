"""The page and the card of generated answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit.core.digest import digest_file, digest_text
from llmkit.core.page import Page
from llmkit.prediction.tally import shown

if TYPE_CHECKING:
    from llmkit.data.artifacts import Examples
    from llmkit.data.rows import Row
    from llmkit.prediction.generating import Tally

EXCERPT_CHARS = 2000


def write_report(found: Examples, tally: Tally, model: str) -> None:
    """Write the page: counts, and the first prompts as they were sent, with what was written."""
    page = Page("Generated answers", f"{tally.kept:,} answers to {tally.rows:,} rows")
    page.facts(
        {
            "model": model, "answers": f"{tally.answers:,}", "kept": f"{tally.kept:,}", "cut": f"{tally.unended:,}",
            "unreadable rows": f"{tally.failed:,}",
        }
    )  # fmt: skip
    if tally.skipped:
        page.heading("Left out")
        page.bars([(why, count) for why, count in tally.skipped.most_common()])
    page.heading("The first answers")
    for prompt, answer in tally.shown:
        page.quote("prompt, as it was sent", shown(prompt)[-EXCERPT_CHARS:], prose=True, from_end=True)
        page.quote("answer", shown(answer)[:EXCERPT_CHARS], prose=True)
    page.write(found.report)


def write_card(found: Examples, tally: Tally, kind: Row, model: str) -> None:
    """Write the card, whose `configs` make `load_dataset(directory)` read the Parquet files; see a corpus' card."""
    digest = digest_text(" ".join(digest_file(path) for path in found.files()))
    lines = [
        "---", "configs:", "- config_name: default", f"  data_files: {found.PAYLOAD[0]}",
        f"  description: digest {digest[:32]}", "---", "", "# Generated answers", "",
        f"{tally.kept:,} answers of {model} to {tally.rows:,} rows, made by `llmkit generate`. Rows are"
        f" {kind.describe()}; `meta` says whether an answer ended by itself, and the seed of a drawn one.", "",
        "What it was made from: `llmkit lineage DIR`. Written by a model: it may be wrong.", "",
    ]  # fmt: skip
    found.card.write_text("\n".join(lines), encoding="utf-8")
