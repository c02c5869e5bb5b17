"""Scores of text, worked out by hand, and when there are none."""

from __future__ import annotations

import math

import pytest

from llmkit.evaluation.text_score import TextScore
from llmkit.modeling.coverage import Unread


def score(bits, num_bytes, num_tokens, unknown=0, lost=0, words=None):
    found = TextScore(num_words=None if words is None else 0)
    for part in range(2):  # two texts
        half = [value // 2 + (value % 2) * part for value in (num_bytes, num_tokens, unknown, lost, words or 0)]
        found.add(-bits / 2 * math.log(2), half[0], half[1], Unread(half[2], half[3]), num_words=half[4])
    return found.scores()


def test_bits_and_perplexities():
    scores, notes = score(bits=60, num_bytes=20, num_tokens=6, words=3)
    assert scores == pytest.approx({"bits_per_byte": 3, "word_perplexity": 2**20, "token_perplexity": 2**10})
    assert notes == []


def test_what_was_not_read_is_no_byte_to_divide_by():
    scores, notes = score(bits=1980, num_bytes=1000, num_tokens=990, unknown=8, lost=2)
    assert scores == pytest.approx({"bits_per_byte": 2, "token_perplexity": 4})  # 1980 / (1000 - 10)
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
    assert scores == pytest.approx({"bits_per_byte": 4.1, "token_perplexity": 2**20.5})  # 2^41 is 2.2e12
    assert notes == ["no word_perplexity: it is over 1,000,000,000,000"]
    scores, notes = score(bits=4, num_bytes=4, num_tokens=2, words=0)
    assert scores == pytest.approx({"bits_per_byte": 1, "token_perplexity": 4})
    assert notes == ["no word_perplexity: the text has no words"]
