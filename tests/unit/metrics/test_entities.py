"""Entities by hand, in every scheme and where tags do not fit, and equal to seqeval's default."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities, precision_recall_fscore_support

from llmkit.core.errors import DataError
from llmkit.metrics._entities import compare_entities, entities

TAGS = st.sampled_from(["O", *(f"{letter}-{kind}" for letter in "BIES" for kind in ("PER", "LOC", "A-B"))])
TEXTS = st.lists(st.lists(st.tuples(TAGS, TAGS), max_size=9), max_size=5)


def spans(text: str) -> list[tuple[str, int, int]]:
    return [tuple(entity) for entity in entities(text.split())]


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("", []),
        ("O O", []),
        ("B-PER I-PER O B-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),
        ("B-PER B-PER", [("PER", 0, 1), ("PER", 1, 2)]),
        ("I-PER I-PER O I-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),  # IO
        ("S-PER B-LOC I-LOC E-LOC", [("PER", 0, 1), ("LOC", 1, 4)]),  # BIOES
        ("B-PER E-PER E-PER", [("PER", 0, 2), ("PER", 2, 3)]),
        ("B-PER I-LOC", [("PER", 0, 1), ("LOC", 1, 2)]),  # a change of type begins another
        ("S-PER I-PER", [("PER", 0, 1), ("PER", 1, 2)]),
        ("O E-PER", [("PER", 1, 2)]),
        ("B-PER S-PER", [("PER", 0, 1), ("PER", 1, 2)]),
        ("B-PER O I-PER", [("PER", 0, 1), ("PER", 2, 3)]),
        ("B I O", [("_", 0, 2)]),
        ("B-work-of-art I-work-of-art", [("work-of-art", 0, 2)]),
    ],
)
def test_entities(tags, found):
    assert spans(tags) == found


def test_chinese_characters_are_words():
    text = "王小明住在北京市"
    tags = ["B-PER", "I-PER", "E-PER", "O", "O", "B-LOC", "I-LOC", "E-LOC"]
    found = entities(tags)
    assert [(entity.type, text[entity.start : entity.stop]) for entity in found] == [
        ("PER", "王小明"),
        ("LOC", "北京市"),
    ]
    # 北京 without 市 is another entity: one of two is right, one of two is found.
    counts = compare_entities([tags], [[*tags[:6], "E-LOC", "O"]])
    assert (counts.types, counts.f1.tolist()) == (["LOC", "PER"], [0, 1])
    assert counts.mean_f1("micro") == 1 / 2


def test_scores_by_hand():
    truth = [["B-PER", "I-PER", "O", "B-LOC"], ["S-LOC", "O", "S-ORG"]]
    prediction = [["B-PER", "I-PER", "O", "B-ORG"], ["S-LOC", "O", "O"]]
    counts = compare_entities(truth, prediction)
    assert counts.types == ["LOC", "ORG", "PER"]
    assert counts.precision.tolist() == [1, 0, 1]
    assert counts.recall.tolist() == [1 / 2, 0, 1]
    assert counts.f1.tolist() == pytest.approx([2 / 3, 0, 1])
    assert counts.support.tolist() == [2, 1, 1]
    # Together 2 right of 3 predicted and of 4 true.
    assert counts.overall.precision.tolist() == pytest.approx([2 / 3])
    assert counts.overall.recall.tolist() == pytest.approx([2 / 4])
    assert counts.mean_f1("micro") == pytest.approx(4 / 7)
    assert counts.mean_f1("macro") == pytest.approx((2 / 3 + 0 + 1) / 3)


def test_no_entities_anywhere():
    counts = compare_entities([["O"], []], [["O"], []])
    assert (counts.types, counts.support.tolist()) == ([], [])
    assert [counts.mean_f1(average) for average in ("micro", "macro", "weighted")] == [0, 0, 0]


@given(st.lists(TAGS, max_size=12))
def test_entities_are_those_of_seqeval(tags):
    assert [tuple(entity) for entity in entities(tags)] == [(t, start, end + 1) for t, start, end in get_entities(tags)]


@given(TEXTS)
def test_scores_are_those_of_seqeval(texts):
    truth, prediction = ([[pair[side] for pair in text] for text in texts] for side in (0, 1))
    counts = compare_entities(truth, prediction)
    if not counts.types:
        return  # seqeval has no answer then
    expected = precision_recall_fscore_support(truth, prediction, average=None, zero_division=0)
    for mine, theirs in zip((counts.precision, counts.recall, counts.f1, counts.support), expected, strict=True):
        assert mine.tolist() == pytest.approx(theirs.tolist())
    for average in ("micro", "macro", "weighted"):
        *_, f1, _ = precision_recall_fscore_support(truth, prediction, average=average, zero_division=0)
        assert counts.mean_f1(average) == pytest.approx(f1)


@pytest.mark.parametrize("tag", ["NOUN", "PER", "X-PER", "b-PER", "O-PER", "BPER", "L-PER", ""])
def test_other_tags_are_refused(tag):
    with pytest.raises(DataError, match=f"'{tag}' is no tag of entities") as caught:
        compare_entities([["O"]], [[tag]])
    assert "B-PER, I-PER, O" in caught.value.hint
    assert caught.value.exit_code == 3


def test_numbers_that_differ_are_an_error():
    with pytest.raises(ValueError, match="text 1 has 2 tags, but 1 predicted ones"):
        compare_entities([["O"], ["O", "O"]], [["O"], ["O"]])
    with pytest.raises(ValueError, match="zip"):
        compare_entities([["O"]], [])
