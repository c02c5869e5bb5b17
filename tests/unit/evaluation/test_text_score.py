"""Scores of text, worked out by hand, and when there are none."""

from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.evaluation.asked import STRETCHES, in_stretches, rolling_requests, stretches_of
from llmkit.evaluation.text_score import MAX_GROUPS, count_whitespace_words, group_measures, text_measures
from llmkit.runtimes import Score


def score(bits, num_bytes, num_tokens, unknown=0, lost=0, words=None):
    samples = []
    for part in range(2):  # two texts
        sizes = [value // 2 + (value % 2) * part for value in (num_bytes, num_tokens, unknown, lost, words or 0)]
        sample = dict(zip(("bytes", "tokens", "unknown_bytes", "lost_bytes", "words"), sizes, strict=True))
        if words is None:
            del sample["words"]
        samples.append({**sample, "unread_bytes": sizes[2] + sizes[3], "log_likelihood": -bits / 2 * math.log(2)})
    measures, notes, _ = text_measures(json.loads(json.dumps(samples)))
    return {name: measure.value for name, measure in measures.items()}, notes


def test_bits_and_perplexities():
    scores, notes = score(bits=60, num_bytes=20, num_tokens=6, words=3)
    assert scores == pytest.approx(
        {"bits_per_byte": 3, "word_perplexity": 2**20, "byte_perplexity": 8, "token_perplexity": 2**10}
    )
    assert notes == []


def test_what_was_not_read_is_no_byte_to_divide_by():
    scores, notes = score(bits=1980, num_bytes=1000, num_tokens=990, unknown=8, lost=2)
    # 1980 / (1000 - 10)
    assert scores == pytest.approx({"bits_per_byte": 2, "byte_perplexity": 4, "token_perplexity": 4})
    assert notes == ["0.8% of the bytes are unknown to the tokenizer, 0.2% lost by it; bits per byte are of the others"]


def test_no_score_over_the_share():
    """The case that was 0.014 bits per byte: nearly all unknown, and predicted for nothing."""
    scores, notes = score(bits=14, num_bytes=1000, num_tokens=300, unknown=990, words=100)
    assert scores == {}
    assert notes == [
        "no scores: 99% of the bytes are unknown to the tokenizer, and with more than 1% they mean nothing"
    ]
    assert score(bits=14, num_bytes=1000, num_tokens=300, lost=11)[0] == {}
    assert score(bits=14, num_bytes=1000, num_tokens=300, lost=10)[0] != {}


def test_a_perplexity_that_is_no_sensible_number_is_left_out():
    scores, notes = score(bits=41, num_bytes=10, num_tokens=2, words=1)
    expected = {"bits_per_byte": 4.1, "byte_perplexity": 2**4.1, "token_perplexity": 2**20.5}
    assert scores == pytest.approx(expected)  # 2^41 is 2.2e12
    assert notes == ["no word_perplexity: it is over 1,000,000,000,000"]
    scores, notes = score(bits=4, num_bytes=4, num_tokens=2, words=0)
    assert scores == pytest.approx({"bits_per_byte": 1, "byte_perplexity": 2, "token_perplexity": 4})
    assert notes == ["no word_perplexity: the text has no words"]


def text(language, bits, num_bytes, unknown=0):
    return {
        "language": language, "log_likelihood": -bits * math.log(2), "bytes": num_bytes, "unread_bytes": unknown,
        "unknown_bytes": unknown, "tokens": 1,
    }  # fmt: skip


def test_groups_have_scores_of_their_own_of_all_samples():
    samples = [text("en", 10, 10), text("zh", 30, 10), text("en", 30, 10), text("fi", 1, 10, unknown=9)]
    measures, notes = group_measures(samples, "language")
    values = {name: measure.value for name, measure in measures.items()}
    assert values == pytest.approx({"bits_per_byte[language=en]": 2, "bits_per_byte[language=zh]": 3})
    assert notes == ["no scores of language fi: 90% of the bytes are unknown to the tokenizer"]
    assert all(measure.num_samples == 4 for measure in measures.values()), "so that two runs' are paired"
    assert measures["bits_per_byte[language=en]"].used().tolist() == [True, False, True, False]
    assert group_measures(samples[:1], "language") == group_measures(samples, "source") == ({}, [])


def test_of_many_groups_the_largest_are_shown():
    samples = [text(f"l{i:02}", 10, 10 + i) for i in range(MAX_GROUPS + 5)]
    measures, notes = group_measures(samples, "language")
    assert list(measures) == [f"bits_per_byte[language=l{i:02}]" for i in range(MAX_GROUPS + 4, 4, -1)]
    assert notes == [f"by language: the {MAX_GROUPS} largest of {MAX_GROUPS + 5}"]


@given(st.text(alphabet="ab \n\t\u3000\xa0\x1c", max_size=20))
def test_white_space_words_are_those_of_the_reference(text):
    assert count_whitespace_words(text) == len(re.split(r"\s+", text))


@given(num_ids=st.integers(1, 300), max_length=st.integers(1, 90))
def test_stretches_of_windows_are_their_targets_by_the_ids_before_them(num_ids, max_length):
    for request in rolling_requests(range(1, num_ids + 1), start=0, max_length=max_length):
        asked = in_stretches(request)
        assert (asked.context, asked.target) == (request.context, request.target)
        found = [first for first, size in stretches_of(asked) for _ in range(size)]
        before = range(len(request.context), len(request.context) + len(request.target))
        assert found == [max(first for first in STRETCHES if first <= position) for position in before]


def test_a_window_by_hand():
    asked = in_stretches(Score((0, 1, 2), tuple(range(3, 21))))
    assert asked.parts == (1, 4, 8, 5), "positions 3; 4 to 7; 8 to 15; 16 to 20"
    assert list(stretches_of(asked)) == [(2, 1), (4, 4), (8, 8), (16, 5)]
