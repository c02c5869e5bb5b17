from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from llmkit.core.errors import DataError
from llmkit.metrics.chrf import ChrF
from llmkit.metrics.rouge import Rouge

PREDICTIONS = ["The cat sat on a mat.", "今天天气很好", "", "Größe zählt"]
REFERENCES = ["A cat sat on the mat.", "今天天气不错", "nothing was said", "Die Größe zählt"]


def test_score_by_hand():
    # Order 1: "ab" against "abc": P 2/2, R 2/3; order 2: "ab" of "ab": 1/1, of "ab", "bc": 1/2. Means: P 1, R 7/12.
    # F with beta 2: 5 P R / (4 P + R) = (35/12) / (55/12) = 7/11.
    metric = ChrF(char_order=2).load()
    assert metric.compute(predictions=["ab"], references=["abc"]) == pytest.approx({"chrf": 700 / 11})


@pytest.mark.parametrize(("char_order", "word_order"), [(6, 0), (6, 2), (3, 1)])
def test_equals_sacrebleu(char_order, word_order):
    from sacrebleu import corpus_chrf

    expected = corpus_chrf(PREDICTIONS, [REFERENCES], char_order=char_order, word_order=word_order).score
    metric = ChrF(char_order=char_order, word_order=word_order).load()
    assert 0 < expected < 100
    assert metric.compute(predictions=PREDICTIONS, references=REFERENCES) == {"chrf": expected}


def test_several_references_of_different_number():
    from sacrebleu import corpus_chrf

    expected = corpus_chrf(["abcd", "wxyz"], [["abxx", "wxyz"], ["abcx", None]]).score
    scores = ChrF().load().compute(predictions=["abcd", "wxyz"], references=[["abxx", "abcx"], "wxyz"])
    assert scores == {"chrf": expected}
    assert expected > corpus_chrf(["abcd", "wxyz"], [["abxx", "wxyz"]]).score


def test_batches_are_one_corpus():
    metric = ChrF().load()
    for start in (0, 2):
        metric.add_batch(predictions=PREDICTIONS[start : start + 2], references=REFERENCES[start : start + 2])
    assert metric.compute() == ChrF().load().compute(predictions=PREDICTIONS, references=REFERENCES)


@pytest.mark.parametrize("text", ["hello world", "你好世界", "a", "สวัสดี"])
def test_identical_is_100(text):
    assert ChrF().load().compute(predictions=[text], references=[text]) == {"chrf": pytest.approx(100)}


@pytest.mark.parametrize(("prediction", "reference"), [("", "abc"), ("", ""), ("abc", ""), ("", "你好")])
def test_nothing_to_match_scores_zero(prediction, reference):
    assert ChrF(word_order=2).load().compute(predictions=[prediction], references=[reference]) == {"chrf": 0.0}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.text(), st.lists(st.text(), min_size=1, max_size=3)), min_size=1, max_size=4))
def test_any_text_is_scored_between_0_and_100(pairs):
    predictions, references = zip(*pairs, strict=True)
    combined = {}
    for part in (ChrF(word_order=1), Rouge()):
        combined |= part._score(list(predictions), list(references))
    assert sorted(combined) == ["chrf", "rouge1", "rouge2", "rougeL"]
    assert all(0 <= score <= 100 + 1e-9 for score in combined.values())


def test_no_pairs_is_a_data_error():
    with pytest.raises(DataError, match="metric 'chrf': there are no predictions"):
        ChrF().load().compute()


def test_combine():
    import evaluate

    both = evaluate.combine([Rouge(types=["rouge1"]).load(), ChrF().load()])
    both.add_batch(predictions=["a b"], references=["a c"])
    scores = both.compute()
    assert scores["rouge1"] == 50.0
    assert scores == {"rouge1": 50.0, **ChrF().load().compute(predictions=["a b"], references=["a c"])}
    # Two of a kind: evaluate prefixes the colliding score with the metric's name.
    two = evaluate.combine([ChrF().load(), ChrF(word_order=2).load()])
    assert sorted(two.compute(predictions=["a b"], references=["a c"])) == ["chrf_0_chrf", "chrf_1_chrf"]


def test_fields_are_checked():
    for fields in ({"char_order": 0}, {"word_order": -1}, {"beta": 2}):
        with pytest.raises(ValidationError):
            ChrF(**fields)
