"""Windows of texts and the spans in them: borders worked out by hand, and every token of a text in some window."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headed import tokenizer
from llmkit.modeling.served import UNLIMITED, encode_texts
from llmkit.modeling.spans import Asking, Chosen, best_of, best_span, is_answered, tokens_of, windows

TOKENIZER = tokenizer()
OFFSETS = np.array([[0, 2], [2, 5], [5, 9], [9, 10]])


def cut(question, text, limit, stride):
    (encoding,) = encode_texts(TOKENIZER, [(question, text)], UNLIMITED)
    return encoding, windows(encoding, limit, stride)


def test_windows_overlap_and_keep_the_question():
    encoding, found = cut("ab", "cdefghijkl", limit=9, stride=1)  # [CLS] a b [SEP] and [SEP] leave 4 tokens
    assert [(one.start, len(one.offsets)) for one in found] == [(0, 4), (3, 4), (6, 4)]
    assert [one.first for one in found] == [4, 4, 4]
    assert found[1].ids == encoding.ids[:4] + encoding.ids[7:11] + encoding.ids[-1:]
    assert found[1].types == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert found[1].offsets.tolist() == [[3, 4], [4, 5], [5, 6], [6, 7]]


def test_a_text_that_fits_is_one_window():
    encoding, found = cut("ab", "cdef", limit=9, stride=1)
    assert [one.ids for one in found] == [encoding.ids]


@pytest.mark.parametrize(
    ("question", "text", "limit"), [("ab", " ", 9), ("abcdefg", "h" * 9, 9), ("a" * 34, "b" * 9, 40)]
)
def test_without_a_token_or_room_there_is_none(question, text, limit):
    assert cut(question, text, limit, stride=1)[1] == []


@given(st.integers(1, 40), st.integers(6, 30), st.integers(0, 40))
def test_every_token_is_in_a_window_and_none_is_too_long(size, limit, stride):
    _, found = cut("a", "b" * size, limit, stride)
    seen = {one.start + i for one in found for i in range(len(one.offsets))}
    assert seen == set(range(size))
    assert all(len(one.ids) <= limit for one in found)
    assert len(found) <= size


@pytest.mark.parametrize(("start", "end", "tokens"), [
    (0, 2, (0, 0)), (1, 3, (0, 1)), (2, 9, (1, 2)), (4, 5, (1, 1)), (9, 10, (3, 3)), (10, 12, None),
])  # fmt: skip
def test_characters_to_tokens(start, end, tokens):
    assert tokens_of(OFFSETS, start, end) == tokens


def test_the_best_span_has_no_blanks_around_it_and_does_not_end_before_it_begins():
    starts, ends = np.array([0.0, 1, 0, 5], np.float32), np.array([9.0, 0, 3, 0], np.float32)
    found = best_span(starts, ends, 2.0, OFFSETS, " a bc de f", most=30)
    assert found == Chosen(1, 2, 9.0, 2.0)  # the first token, "a" without its blank
    assert best_span(starts, np.array([-9.0, 0, 3, 0], np.float32), 2.0, OFFSETS, "ab cd ef g", 30).score == 5
    assert best_span(starts, np.array([-9.0, 0, 8, 0], np.float32), 2.0, OFFSETS, "abcdefghij", 2) == Chosen(2, 9, 9, 2)
    assert best_span(starts[:0], ends[:0], 2.0, OFFSETS[:0], "", 30) == Chosen(0, 0, 2.0, 2.0)


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=8), st.integers(1, 9))
def test_the_best_span_is_that_of_a_search_through_all(logits, most):
    starts, ends = (np.array(side, np.float64) for side in zip(*logits, strict=True))
    offsets = np.array([[i, i + 1] for i in range(len(logits))])
    sums = [starts[i] + ends[j] for i in range(len(starts)) for j in range(i, min(i + most, len(ends)))]
    assert best_span(starts, ends, 0.0, offsets, "x" * len(logits), most).score == max(sums)


def test_of_windows_the_best_span_and_the_least_no_answer():
    assert best_of([Chosen(1, 2, 3.0, 9.0), Chosen(4, 6, 5.0, 4.0), Chosen(0, 0, 1.0, 8.0)]) == Chosen(4, 6, 5.0, 4.0)


def test_the_threshold_decides_and_may_be_none():
    one = Chosen(4, 6, 5.0, 6.5)
    assert [is_answered(one, threshold) for threshold in (0.0, 1.4, 1.5, None)] == [False, False, True, True]
    assert not is_answered(Chosen(3, 3, 5.0, 0.0), None)


def test_a_config_keeps_how_its_model_is_asked():
    config = SimpleNamespace()
    assert Asking.of(config) == Asking()
    asking = Asking(384, 64, 20, -1.5)
    asking.write(config)
    assert Asking.of(config) == asking
    config.question_answering |= {"later": 1}
    assert Asking.of(config) == asking
