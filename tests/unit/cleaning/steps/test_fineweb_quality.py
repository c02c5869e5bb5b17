"""Each rule at its border, by hand."""

from __future__ import annotations

import pytest

from llmkit.cleaning.steps import Drop
from llmkit.cleaning.steps.fineweb_quality import FinewebQuality
from llmkit.data.corpus import Document

OFF = {"line_punct_thr": None, "short_line_thr": None, "char_duplicates_ratio": None, "new_line_ratio": None}


def apply(text: str, **fields: object) -> Drop | None:
    return FinewebQuality(**{**OFF, **fields}).apply(Document("0", text, "s"))


@pytest.mark.parametrize(
    ("text", "rule", "value", "threshold"),
    [
        ("one.\ntwo\n\nthree…\nfour", "line_punct_thr", 1 / 4, 0.3),
        ("中文。\n標題\n問？\n好！", "line_punct_thr", 3 / 4, 0.8),
        (f"short\n{'x' * 31}\n\n  {'y' * 30}  ", "short_line_thr", 2 / 3, 0.6),
        ("abc\nde\nabc", "char_duplicates_ratio", 3 / 8, 0.3),
        ("a, b\nc\n\nd.", "new_line_ratio", 3 / 6, 0.4),
    ],
)
def test_rules(text: str, rule: str, value: float, threshold: float) -> None:
    assert apply(text, **{rule: threshold}) == Drop(f"fineweb_quality.{rule}", pytest.approx(value), threshold)
    assert apply(text, **{rule: value}) is None
    assert apply(text) is None


def test_documents_without_any_point_may_be_kept() -> None:
    assert apply("one\ntwo", line_punct_thr=0.5, line_punct_exclude_zero=True) is None
    assert apply("one\ntwo", line_punct_thr=0.5) == Drop("fineweb_quality.line_punct_thr", 0.0, 0.5)
    assert apply("one.\ntwo\nthree", line_punct_thr=0.5, line_punct_exclude_zero=True) is not None


@pytest.mark.parametrize("text", ["", "\x00", "\n\n\n", "\ud800", "x" * 1_000_000])
def test_odd_texts_fall(text: str) -> None:
    assert FinewebQuality().apply(Document("0", text, "s")) is not None
