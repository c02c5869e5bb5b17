from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.data.split import SPLITS, split_of

# blake2b-64 of "hello world" is 878633aa32a3b150: u is that over 2**64
HELLO = 0.529391507


def test_pinned_value():
    assert hashlib.blake2b(b"hello world", digest_size=8).hexdigest() == "878633aa32a3b150"
    assert abs(0x878633AA32A3B150 / 2**64 - HELLO) < 1e-9
    assert split_of("hello world", validation_fraction=0.0, test_fraction=0.53) == "test"
    assert split_of("hello world", validation_fraction=0.53, test_fraction=0.0) == "validation"
    assert split_of("hello world", validation_fraction=0.52, test_fraction=0.0) == "train"
    assert split_of("hello world", validation_fraction=0.1, test_fraction=0.5) == "validation"
    assert split_of("hello world", validation_fraction=0.4, test_fraction=0.3) == "validation"


@pytest.mark.parametrize("copy", ["  Hello\n\tWORLD ", "hello　world", "ｈｅｌｌｏ world", "HELLO\u00a0world\r\n"])
def test_copies_share_a_side(copy):
    # A window around the value that no other text falls into by luck.
    low, width = HELLO - 1e-8, 2e-8
    for test, validation, expected in [(low, width, "validation"), (low + width, 0.0, "test"), (0.0, low, "train")]:
        assert split_of(copy, validation_fraction=validation, test_fraction=test) == expected


def test_other_words_differ():
    assert split_of("helloworld", validation_fraction=2e-8, test_fraction=HELLO - 1e-8) != "validation"


def test_lone_surrogates_and_empty_text_are_accepted():
    for text in ["", "bad \ud800 half"]:
        assert split_of(text, validation_fraction=0.5, test_fraction=0.5) in ("validation", "test")


fractions = st.floats(0, 0.5)


@given(st.text(), fractions, fractions, fractions)
def test_raising_validation_moves_only_train_documents(text, test, one, other):
    low, high = sorted((one, other))
    before = split_of(text, validation_fraction=low, test_fraction=test)
    after = split_of(text, validation_fraction=high, test_fraction=test)
    if before != "train":
        assert after == before
    else:
        assert after != "test"


@given(st.text())
def test_whitespace_does_not_decide(text):
    for fraction in (0.1, 0.3, 0.5):
        first = split_of(text, validation_fraction=fraction, test_fraction=0.2)
        assert split_of(f"\n {text}\t", validation_fraction=fraction, test_fraction=0.2) == first


@given(st.text())
def test_the_ends_of_the_range(text):
    assert split_of(text, validation_fraction=0.0, test_fraction=0.0) == "train"
    assert split_of(text, validation_fraction=0.0, test_fraction=1.0) == "test"
    assert split_of(text, validation_fraction=1.0, test_fraction=0.0) == "validation"


def test_shares_are_as_asked():
    counts = dict.fromkeys(SPLITS, 0)
    for i in range(10_000):
        counts[split_of(f"document {i}", validation_fraction=0.1, test_fraction=0.2)] += 1
    assert abs(counts["test"] - 2000) < 160  # four standard deviations
    assert abs(counts["validation"] - 1000) < 120
