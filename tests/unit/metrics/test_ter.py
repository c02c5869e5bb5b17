"""TER: edits and moves counted by hand; that it equals sacrebleu is in test_measures_of_metrics."""

from __future__ import annotations

import pytest
from sacrebleu.metrics.ter import TER

from llmkit.metrics.ter import Ter


def score(predictions, references, **fields):
    return Ter(**fields).load().compute(predictions=predictions, references=references)["ter"]


def test_by_hand():
    assert score(["a b x d"], ["a b c d"]) == 25  # one substitution of four words
    assert score(["c d a b"], ["a b c d"]) == 25  # one move of a stretch
    assert score(["a b"], ["a b c d"]) == 50
    assert score(["The cat"], ["the cat"]) == 0
    assert score(["The cat"], ["the cat"], case_sensitive=True) == 50
    assert score(["a", "x y"], ["a", "b c"]) == pytest.approx(200 / 3)  # over the corpus
    assert score(["a b c"], [["a b", "a b c d e f"]]) == 25  # the nearest counts, over the mean length of 4


@pytest.mark.parametrize(
    ("said", "wanted", "value"), [("", "a b", 100), ("a", "", 100), ("", "", 0), ("a b c", "x", 300)]
)
def test_degenerate(said, wanted, value):
    assert score([said], [wanted]) == value == TER().corpus_score([said], [[wanted]]).score


def test_chinese_is_cut_into_characters():
    assert score(["今天天气很好"], ["今天天气真好"]) == pytest.approx(100 / 6)
    assert score(["今天天气很好"], ["今天天气真好"], normalize="none") == 100
    assert score(["𠮷野家很好"], ["𠮷野家真好"]) == 20  # sacrebleu's own cuts no Han from U+20000 up
    assert score(["ราคาดี"], ["ราคาดา"]) == pytest.approx(100 / 6)


def test_the_settings_are_said():
    assert Ter().chosen(["a b"]).startswith("nrefs:1|case:lc|tok:tercom|norm:no|punct:yes|asian:no|version:")
    assert "|norm:yes|punct:yes|asian:yes|" in Ter().chosen([["今天"], ["a", "天气很好"]])
    assert Ter().chosen([["今天"], ["a", "天气很好"]]).startswith("nrefs:var|")
