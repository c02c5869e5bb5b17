"""The number of words, by hand and as the cleaning steps count them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.cleaning.features import Features
from llmkit.text.words import count_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("  \n ", 0),
        ("The cat sat.", 3),
        ("1,000.5 metres", 2),
        ("1, 2.", 2),
        ("我爱北京。", 4),
        ("我用Python写code", 5),
        ("ภาษาไทย", 7),
        ("ที่นี่", 2),  # vowel signs and tones are no characters of their own
        ("བོད་ཡིག", 4),  # nor is the tsheg between syllables
        ("๑๒๓ ๑๒", 2),  # digits make numbers in every script
        ("かな カナ ｶﾅ", 6),
        ("か\u3099", 1),
        ("안녕 세계", 2),
        ("हिन्दी में", 2),
        ("nai\u0308ve cafe\u0301", 2),
        ("中\u0301文text", 3),  # a mark does not make the text behind it a part of the character
        ("naïve café №7 ❤\ufe0f", 3),
        ("\ud800 a", 1),
        ("𠮷野家", 3),
    ],
)
def test_words(text, words):
    assert count_words(text) == words


@pytest.mark.parametrize(
    "text",
    [
        "Whoever reads this, in 1,000.5 ways or in 20, counts the same number of words.",
        "却说曹操见了衣带诏，与众谋士商议，欲废却献帝，更择有德者立之。",
        "混合 mixed 文本 with 3 种 scripts、标点 and emoji 😀。",
    ],
)
def test_words_are_those_of_the_cleaning_steps(text):
    assert count_words(text) == Features(text).totals.words


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.text("aé१कि中ｶกิ가🙂。", min_size=1), max_size=8))
def test_words_of_any_script_are_those_of_the_cleaning_steps(pieces):
    text = " ".join(f"x{piece}" for piece in pieces)  # a mark stands behind something
    assert count_words(text) == Features(text).totals.words
