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
def test_rules_as_datatrove_counts(text: str, rule: str, value: float, threshold: float) -> None:
    manner = {"as": "datatrove"}
    drop = Drop(f"fineweb_quality.{rule}", pytest.approx(value), threshold)
    assert apply(text, **manner, **{rule: threshold}) == drop
    assert apply(text, **manner, **{rule: value}) is None
    assert apply(text) is None


LONG = "x" * 31


@pytest.mark.parametrize(
    ("text", "rule", "value", "threshold"),
    [
        ("one.\ntwo\n\nthree…\nfour", "line_punct_thr", 1 / 4, 0.3),
        ("“One.”\n(two!)\n\nthree.[12]\nfour", "line_punct_thr", 3 / 4, 0.8),
        (f"short\n{LONG}\n\n  {'y' * 30}  ", "short_line_thr", 2 / 3, 0.6),
        (f"short,\n{LONG}\n\n  {'y' * 30}  ", "short_line_thr", 1 / 3, 0.3),
        (f"abc\n{LONG}\nabc\n{LONG}\n{'=' * 40}\n{'=' * 40}", "char_duplicates_ratio", 31 / 148, 0.2),
        ("a, b\nc\n\nd.\ne", "new_line_ratio", 2 / 5, 0.3),
    ],
)
def test_rules(text: str, rule: str, value: float, threshold: float) -> None:
    assert apply(text, **{rule: threshold}) == Drop(f"fineweb_quality.{rule}", pytest.approx(value), threshold)
    assert apply(text, **{rule: value}) is None
    assert apply(text) is None


WRAPPED = """The committee met on the third of March and went through the accounts of
the year before; nobody had found the time to read them in advance, and so
the treasurer explained every single one of the four hundred items until it
was dark outside and the caretaker wanted to lock the doors of the school.
"""


def test_a_wrapped_paragraph_is_one_line() -> None:
    assert apply(WRAPPED, line_punct_thr=1.0) is None
    assert apply(WRAPPED, **{"as": "datatrove"}, line_punct_thr=1.0) == Drop(
        "fineweb_quality.line_punct_thr", 0.25, 1.0
    )
    cut = WRAPPED[: WRAPPED.index(" of the school")]
    assert apply(cut, line_punct_thr=1.0) is None  # in mid-sentence, but it reads as prose
    assert apply(cut.replace("\n", " "), line_punct_thr=1.0) is None


def test_search_terms_are_no_sentence_cut_off() -> None:
    terms = "cheap watch in Rome, luxury shoe for Paris, best tent and lamp, new phone in Oslo, " * 5
    assert apply(terms.rstrip(", "), line_punct_thr=0.12) is not None


def test_few_short_lines_around_a_long_text_are_headings() -> None:
    text = "\n".join([*["CHAPTER"] * 8, "A sentence that goes on. " * 40])
    assert apply(text, short_line_thr=0.67) is None
    assert apply(text, **{"as": "datatrove"}, short_line_thr=0.67) is not None


def test_documents_without_any_point_may_be_kept() -> None:
    assert apply("one\ntwo", line_punct_thr=0.5, line_punct_exclude_zero=True) is None
    assert apply("one\ntwo", line_punct_thr=0.5) == Drop("fineweb_quality.line_punct_thr", 0.0, 0.5)
    assert apply("one.\ntwo\nthree", line_punct_thr=0.5, line_punct_exclude_zero=True) is not None


@pytest.mark.parametrize("text", ["", "\x00", "\n\n\n", "\ud800", "x" * 1_000_000])
def test_odd_texts_fall(text: str) -> None:
    assert FinewebQuality().apply(Document("0", text, "s")) is not None
