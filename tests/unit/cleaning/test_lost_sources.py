"""A source that loses nearly everything is named, with the rule and a recipe that suits."""

from __future__ import annotations

import pytest

from llmkit.cleaning.losses import advice, loss_notes
from llmkit.cleaning.report import make_report
from llmkit.cleaning.steps import Drop
from llmkit.cleaning.tally import Tally
from llmkit.data.corpus import Document
from llmkit.data.sources import RawFile


def tally_of(sources: dict[str, tuple[int, dict[str, int]]]) -> Tally:
    """Count, per source, documents kept and documents dropped by rule."""
    tally, number = Tally(), 0
    for source, (kept, fell) in sources.items():
        file = RawFile(f"/in/{source}.jsonl", f"{source}.jsonl", 1)
        tally.file(file)
        for rule in [None] * kept + [rule for rule, count in fell.items() for _ in range(count)]:
            document = Document(f"{number:032x}", "text", source, "en")
            number += 1
            tally.row(file)
            tally.read(document, (1.0,) * 8)
            if rule is None:
                tally.kept(document, file.path, (1.0,) * 8)
            else:
                tally.rejected(0, document, file.path, Drop(rule, 1, 2))
    return tally


def test_the_source_its_rule_and_a_recipe() -> None:
    tally = tally_of(
        {
            "code": (1, {"fineweb_quality.line_punct_thr": 15, "exact_duplicates": 4}),
            "books": (18, {"exact_duplicates": 2}),
            "tiny": (0, {"length.min_chars": 19}),
            "copies": (1, {"exact_duplicates": 30}),
        }
    )
    assert list(loss_notes(tally)) == [
        "note: source copies lost 30 of 31 documents, 30 of them by exact_duplicates",
        "note: source code lost 19 of 20 documents, 15 of them by fineweb_quality.line_punct_thr: the recipe code is "
        "for source code, tables and technical documents; web is for HTML pages",
    ]
    report = make_report(tally, [], bytes_kept=80, held_out=0)
    assert report["sources"]["code"]["fell_by"] == {"fineweb_quality.line_punct_thr": 15}
    assert report["sources"]["books"]["fell_by"] == {"exact_duplicates": 2}


def test_many_sources_are_counted() -> None:
    tally = tally_of({f"s{i}": (0, {"language.keep": 20}) for i in range(5)})
    notes = list(loss_notes(tally))
    assert len(notes) == 4
    assert notes[-1] == "note: 2 more sources lost over 90% of their documents; see the report"


@pytest.mark.parametrize(
    ("rule", "recipe"),
    [("language.keep", "multilingual"), ("gopher_quality.max_hash_ratio", "code"), ("length.min_chars", "short")],
)
def test_advice(rule: str, recipe: str) -> None:
    assert recipe in advice(rule)
    assert advice("exact_duplicates") == ""
