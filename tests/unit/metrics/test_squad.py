"""Exact match and F1 of answers: cases worked out by hand from the rules of SQuAD's script."""

from __future__ import annotations

import re
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.metrics._squad import answer_words, best_threshold, exact, is_by_characters, longest_overlap, overlap
from llmkit.metrics._weighted import best_cut
from llmkit.metrics.squad import Squad


@pytest.mark.parametrize(("text", "words"), [
    ("The  Ferry, at nine!", ["ferry", "at", "nine"]),
    ("An apple-pie's a Pie", ["applepies", "pie"]),
    ("theatre another", ["theatre", "another"]),
    ("the-end", ["theend"]),  # punctuation goes first
    ("«Zürich»", ["«zürich»"]),  # of punctuation the script knows ASCII's alone
    ("北京大学。", ["北", "京", "大", "学"]),
    ("《Python 教程》", ["python", "教", "程"]),
    ("The an a", []),
])  # fmt: skip
def test_words_of_an_answer(text, words):
    assert answer_words(text) == words


@pytest.mark.parametrize(("answer", "references", "right", "share"), [
    ("the ferry", ["Ferry."], 1, 1),
    ("the old ferry", ["ferry", "the old red ferry"], 0, 4 / 5),  # 2 of 2 and 2 of 3
    ("nine nine", ["nine"], 0, 2 / 3),  # a word counts as often as it is there
    ("boat", ["ferry"], 0, 0),
    ("", [], 1, 1),
    ("boat", [], 0, 0),
    ("", ["ferry"], 0, 0),
    ("", ["the"], 1, 1),  # a reference without words is none
    ("北京", ["北京大学"], 0, 2 * 2 / 6),
    ("北京 大学", ["北京大学"], 1, 1),
])  # fmt: skip
def test_exact_match_and_f1(answer, references, right, share):
    assert exact(answer, references) == right
    assert overlap(answer, references) == pytest.approx(share)


def test_the_metric_of_the_family():
    scores = Squad().load().compute(predictions=["the old ferry", "nine"], references=[["ferry", "old ferry"], ["ten"]])
    assert scores == {"exact_match": 50.0, "squad_f1": 50.0}


@pytest.mark.parametrize(("margins", "right", "answerable", "threshold"), [
    # Saying the first two is worth 2, the third costs 1: between 0 and 3.
    ([-2, 0, 3, 5], [1, 1, 0, 0], [1, 1, 0, 0], 1.5),
    # The third costs 1, the fourth brings 1 back: no gain over the first two, so the lower one is taken.
    ([-2, 0, 3, 5], [1, 1, 0, 1], [1, 1, 0, 1], 1.5),
    # All are said.
    ([-2, 0, 3], [0, 1, 1], [0, 1, 1], 4),
    # None is said.
    ([-2, 0, 3], [0, 0.4, 0.5], [0, 1, 1], -3),
    # Those alike are decided alike: +1 -1 is no gain.
    ([1, 1, 2], [1, 0, 0], [1, 0, 0], 0),
    # There is nothing to tell apart.
    ([1, 4], [1, 1], [1, 1], 0),
])  # fmt: skip
def test_the_threshold_with_which_most_is_right(margins, right, answerable, threshold):
    found = best_threshold(np.array(margins, float), np.array(right, float), np.array(answerable, bool))
    assert found == threshold


# SQuAD's script as it is defined, word by word in another way: lower case, without punctuation, then articles, then
# blanks; the overlap is that of multisets; of several references the best one counts.
def words_by_definition(text):
    kept = "".join(char for char in text.lower() if char not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()


def f1_by_definition(answer, reference):
    said, true = words_by_definition(answer), words_by_definition(reference)
    common = sum(min(said.count(word), true.count(word)) for word in {*said})
    if not said or not true:
        return float(said == true)
    if not common:
        return 0.0
    precision, recall = common / len(said), common / len(true)
    return 2 * precision * recall / (precision + recall)


TEXT = st.text(st.sampled_from("aA n the.T-b'é "), max_size=14)


@given(TEXT, st.lists(TEXT, max_size=3))
def test_scores_are_those_of_the_script(answer, references):
    gold = [reference for reference in references if words_by_definition(reference)] or [""]
    assert exact(answer, references) == max(words_by_definition(answer) == words_by_definition(one) for one in gold)
    assert overlap(answer, references) == pytest.approx(max(f1_by_definition(answer, one) for one in gold))


@given(st.lists(st.tuples(st.integers(-3, 3), st.sampled_from([0, 0.5, 1]), st.booleans()), min_size=1, max_size=12))
def test_the_best_score_is_that_of_the_best_threshold(rows):
    """Tried one by one: below a threshold the span is said, above it that there is no answer."""
    margins, worth, answerable = (np.array(column, float) for column in zip(*rows, strict=True))
    none = 1 - answerable
    worth = worth * answerable
    found = best_cut(margins, none, worth - none).value
    tried = [np.where(margins <= level, worth, none).mean() for level in (-np.inf, *margins)]
    assert found == pytest.approx(max(tried))


@pytest.mark.parametrize(("answer", "references", "share"), [
    ("北京大学", ["北京大学"], 1),
    ("在北京大学", ["北京大学。"], 2 * 4 / 9),
    ("大学北京", ["北京大学"], 2 * 2 / 8),  # as bags of characters they are the same
    ("北京", ["上海", "北京市"], 2 * 2 / 5),
    ("", ["北京"], 0),
    ("", [], 1),
])  # fmt: skip
def test_the_f1_of_the_longest_stretch(answer, references, share):
    assert longest_overlap(answer, references) == pytest.approx(share)


@given(st.text(st.sampled_from("北京大学"), max_size=8), st.text(st.sampled_from("北京大学"), min_size=1, max_size=8))
def test_the_longest_stretch_is_the_longest_of_all(answer, reference):
    parts = [answer[i:j] for i in range(len(answer)) for j in range(i + 1, len(answer) + 1)]
    longest = max((len(part) for part in parts if part in reference), default=0)
    expected = 2 * longest / (len(answer) + len(reference))
    assert longest_overlap(answer, [reference]) == pytest.approx(expected)


def test_what_is_compared_by_characters():
    assert is_by_characters(["", "a 京"])
    assert not is_by_characters(["", "Zürich"])
