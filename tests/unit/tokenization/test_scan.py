from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmkit.text.sentences import sentence_starts as reference
from llmkit.tokenization.scan import count_chars, find_segments, sentence_starts

ENDS = st.text(st.sampled_from("ab 。！？….!?\"'”’)]」』）\n\t\u3000\u00a0\u2029\u1680\u205f中é🦊"), max_size=40)


def as_bytes(text):
    return np.frombuffer(text.encode(), np.uint8)


def in_bytes(text):
    return [len(text[:start].encode()) for start in reference(text)]


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("One two. Three!", [0, 9]),
        ("  春天来了。花开了？End", [2, 17, 29]),  # 3 bytes a character
        ('He said "no." Then (yes!) left 3.14 behind.', [0, 14, 26]),
        ("a\n\n b...c …。d", [0, 4, 16]),
        (" \n\t", []),
        ("", []),
    ],
)
def test_sentences_by_hand(text, starts):
    assert sentence_starts(as_bytes(text)).tolist() == starts == in_bytes(text)


@settings(deadline=None)  # the first call compiles
@given(ENDS)
@example("...。 a")
@example("…。x")
@example(".。\"”'a b")
@example("a.")
@example("\u0085a\u0085b\x1cc.\x1dd")
def test_sentences_are_those_of_the_expression(text):
    assert sentence_starts(as_bytes(text)).tolist() == in_bytes(text)


@settings(deadline=None)  # the first call compiles
@given(st.text(max_size=30))
def test_sentences_of_any_text(text):
    assert sentence_starts(as_bytes(text)).tolist() == in_bytes(text)


def test_every_white_space_character_is_white_space():
    spaces = [chr(i) for i in range(0x110000) if chr(i).isspace()]
    assert len(spaces) > 20
    for space in spaces:
        assert sentence_starts(as_bytes(f"{space}a.{space}b")).tolist() == in_bytes(f"{space}a.{space}b")


def test_a_million_dots_are_walked_once():
    # Each dot looking to the end of the run would be half a billion steps of three calls each.
    text = "." * 1_000_000 + "x y. z"
    assert sentence_starts(as_bytes(text)).tolist() == [0, 1_000_005]


def segments(texts, tokens, sizes):
    data, bounds = as_bytes("".join(texts)), np.cumsum([0, *(len(text.encode()) for text in texts)])
    counts = np.array([len(ids) for ids in tokens])
    ids = np.array([i for document in tokens for i in document], np.uint16)
    found, numbers, lost = find_segments(data, bounds, ids, counts, np.array(sizes, np.int32))
    return [part.tolist() for part in np.split(found, np.cumsum(numbers)[:-1])], lost.tolist()


def test_segments_are_the_first_tokens_that_reach_into_a_sentence():
    # Tokens 0, 1, 2 have 1, 2 and 5 bytes. "A. B! 中。" has sentences at bytes 0, 3 and 6.
    assert segments(["A. B! 中。"], [[1, 0, 0, 1, 2, 0]], [1, 2, 5]) == ([[0, 2, 4]], [0])
    # One token that holds a border and two sentences: it counts once.
    assert segments(["A. B! 中。"], [[2, 2, 1]], [1, 2, 5]) == ([[0, 1]], [0])


def test_documents_do_not_mix_and_bytes_without_tokens_are_counted():
    found, lost = segments(["A. B", "", "中。B", "C"], [[1, 1], [], [0, 0], [0]], [1, 2, 5])
    assert lost == [0, 0, 5, 0]
    assert found[0] == [0, 1]
    assert found[1] == []
    assert found[3] == [0]


def test_characters_are_counted():
    assert count_chars(as_bytes("a中🦊é"), np.array([0, 1, 1, 8, 10])).tolist() == [1, 0, 2, 1]
