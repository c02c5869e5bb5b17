"""Exact match and F1 of answers: cases worked out by hand from the rules of SQuAD's script."""

from __future__ import annotations

import numpy as np
import pytest

from llmkit.metrics._squad import answer_words, best_threshold, exact, overlap
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
