"""Passages of a text: whole sentences up to a budget, and nothing that a text says is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.retrieval.cutting import spans
from llmkit.text.words import count_words


def cut(text, max_words, overlap=0):
    return [text[start:end] for start, end in spans(text, max_words, overlap)]


@pytest.mark.parametrize(
    ("text", "max_words", "overlap", "expected"),
    [
        ("One two. Three four five.  Six.", 5, 0, ["One two. Three four five.", "Six."]),
        ("One two. Three four five.  Six.", 4, 0, ["One two.", "Three four five.  Six."]),
        ("A b. C d. E f. G h.", 4, 2, ["A b. C d.", "C d. E f.", "E f. G h."]),
        ("A b. C d. E f. G h.", 4, 1, ["A b. C d.", "E f. G h."]),
        ("天下大势。分久必合。合久必分。", 8, 0, ["天下大势。分久必合。", "合久必分。"]),
        ("one two three four five six seven", 3, 0, ["one two three", "four five six", "seven"]),
        ("话说天下大势分久必合", 4, 0, ["话说天下", "大势分久", "必合"]),
        ("天下大势，分久必合，合久必分。", 10, 0, ["天下大势，分久必合，", "合久必分。"]),
        ("  \n ... \n", 5, 0, []),
        ("", 5, 0, []),
    ],
)
def test_by_hand(text, max_words, overlap, expected):
    assert cut(text, max_words, overlap) == expected


WORD = st.text("abc天下。.! \n", min_size=0, max_size=120)


@given(WORD, st.integers(1, 12), st.integers(0, 6))
def test_no_word_is_lost_and_none_is_too_long(text, max_words, overlap):
    found = list(spans(text, max_words, min(overlap, max_words // 2)))
    assert all(text[start:end] == text[start:end].strip() and start < end for start, end in found)
    assert all(count_words(text[start:end]) <= max_words for start, end in found)
    assert [start for start, _ in found] == sorted({start for start, _ in found}), "each begins further on"
    covered = {place for start, end in found for place in range(start, end)}
    assert all(not text[place].isalnum() for place in set(range(len(text))) - covered)
