from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from llmkit.core.errors import DataError
from llmkit.metrics._words import tokenize
from llmkit.metrics.rouge import Rouge


def compute(predictions, references, **fields):
    return Rouge(**fields).load().compute(predictions=predictions, references=references)


def test_scores_by_hand():
    # Prediction has 3 words, reference 6. Shared words: the, cat (2): P 2/3, R 2/6, F 4/9. Shared bigrams: "the cat"
    # (1 of 2, 1 of 5): F 2/7. Longest common subsequence: the cat (2), as for words.
    scores = compute(["the cat slept"], ["the cat sat on the mat"])
    assert scores == pytest.approx({"rouge1": 400 / 9, "rouge2": 200 / 7, "rougeL": 400 / 9})


def test_mean_over_pairs():
    assert compute(["a b", "c"], ["a b", "d"], types=["rouge1"]) == {"rouge1": 50.0}


def test_order_matters_for_rouge_l_only():
    # "c a b" against "a b c": all words shared; the longest common subsequence is "a b", 2 of 3.
    scores = compute(["c a b"], ["a b c"], types=["rouge1", "rougeL"])
    assert scores == pytest.approx({"rouge1": 100, "rougeL": 200 / 3})


def test_chinese_is_scored_by_character():
    # 今天天气好 against 今天下雨: shared 今, 天 (once in the reference): P 2/5, R 2/4, F 4/9.
    assert compute(["今天天气好"], ["今天下雨"], types=["rouge1"]) == pytest.approx({"rouge1": 400 / 9})
    assert compute(["今天天气好。"], ["今天天气好"]) == pytest.approx({"rouge1": 100, "rouge2": 100, "rougeL": 100})


def test_best_of_several_references_counts():
    scores = compute(["a b", "x"], [["c d", "a b"], "x"], types=["rouge1"])
    assert scores == {"rouge1": 100.0}
    assert compute(["a b"], [["c d", "a e"]], types=["rouge1"]) == pytest.approx({"rouge1": 50})


@pytest.mark.parametrize(("prediction", "reference"), [("", "a b"), ("", ""), ("a", ""), ("...", "a"), ("", "今天")])
def test_nothing_to_match_scores_zero(prediction, reference):
    types = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    assert compute([prediction], [reference], types=types) == dict.fromkeys(types, 0.0)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Don't stop_me at 3.5!", ["don", "t", "stop", "me", "at", "3", "5"]),
        ("GPT4模型，用Python写", ["gpt4", "模", "型", "用", "python", "写"]),
        ("Größe naïve", ["größe", "naïve"]),
        ("nai\u0308ve", ["naïve"]),  # decomposed
        ("हिन्दी में", ["हिन्दी", "में"]),  # vowel signs are marks, not letters
        ("ที่นี่", ["ที่", "นี่"]),  # unspaced, with marks
        ("カタカナー １２", ["カ", "タ", "カ", "ナ", "ー", "12"]),
        ("한국어 모델", ["한국어", "모델"]),
        ("བོད་ཡིག", ["བོ", "ད", "ཡི", "ག"]),
        ("๒๐๒๔ ปี", ["๒๐๒๔", "ปี"]),  # digits make numbers
        ("𠮷〻〱", ["𠮷", "〻", "〱"]),
        ("yes ❤️ no", ["yes", "no"]),
        ("", []),
    ],
)
def test_tokenize(text, tokens):
    assert tokenize(text) == tokens


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_tokens_are_those_of_rouge_score(text):
    from rouge_score.tokenizers import DefaultTokenizer

    assert tokenize(text) == DefaultTokenizer().tokenize(text)


@given(st.text(), st.text())
def test_tokens_hold_no_separator_and_joining_with_a_space_adds_nothing(left, right):
    tokens = tokenize(f"{left} {right}")
    assert all(token and not token.isspace() for token in tokens)
    assert tokenize(" ".join(tokens)) == tokens


def test_english_equals_rouge_score():
    from rouge_score.rouge_scorer import RougeScorer

    prediction = "It's the U.S. economy: growth of 3.5% in 2024, well-known analysts said."
    reference = "Analysts say the U.S. economy grew 3.5% in 2024; it's well known."
    types = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    expected = RougeScorer(types).score(reference, prediction)
    assert compute([prediction], [reference], types=types) == pytest.approx(
        {name: 100 * expected[name].fmeasure for name in types}
    )


def test_batches_add_up_and_state_is_cleared():
    metric = Rouge(types=["rouge1"]).load()
    metric.add_batch(predictions=["a", "b"], references=["a", ["b", "c"]])
    metric.add(prediction="x", reference="y")
    metric.add(prediction="x", reference=["y", "x"])
    assert metric.compute() == {"rouge1": 75.0}
    assert metric.compute(predictions=["a"], references=["a"]) == {"rouge1": 100.0}


def test_no_pairs_is_a_data_error():
    metric = Rouge().load()
    with pytest.raises(DataError, match="metric 'rouge': there are no predictions to score") as error:
        metric.compute()
    assert error.value.hint
    with pytest.raises(DataError):
        metric.compute(predictions=[], references=[])
    assert metric.compute(predictions=["a"], references=["a"])["rouge1"] == 100.0


def test_a_row_without_references_is_a_data_error():
    with pytest.raises(DataError, match="prediction 1 has an empty list of references"):
        compute(["a", "b"], [["a"], []])


def test_fields_are_checked():
    with pytest.raises(ValidationError):
        Rouge(types=["rougeX"])
    with pytest.raises(ValidationError):
        Rouge(types=[])


@pytest.mark.parametrize("member", ["rouge", "chrf"])
def test_naming_the_metric_imports_nothing_heavy(member):
    code = f"""
import sys
from llmkit.core.registry import Family
Family("metric").parse("{member}")
print(sorted({{"evaluate", "datasets", "torch", "rouge_score", "sacrebleu", "nltk"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_offline_in_a_fresh_home_it_writes_nothing(tmp_path):
    code = """
import logging
for name in ("torchao", "torch.utils._pytree"):  # as llmkit.cli.main does: what accelerate imports is not ours
    logging.getLogger(name).setLevel(logging.ERROR)
from llmkit.metrics.chrf import ChrF
from llmkit.metrics.rouge import Rouge
print(Rouge(types=["rouge1"]).load().compute(predictions=["a"], references=["a"]))
print(ChrF().load().compute(predictions=["abcdef"], references=["abcdef"]))
"""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_"))}
    environment = {**kept, "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split("\n")[:2] == ["{'rouge1': 100.0}", "{'chrf': 100.0}"]
    assert done.stderr == ""
    assert list(tmp_path.rglob("*")) == []
