from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.cleaning.steps.strip_symbols import StripSymbols
from llmkit.data.corpus import Document


def stripped(text: str, **fields: object) -> str:
    doc = Document("0", text, "s")
    assert StripSymbols(**fields).apply(doc) is None
    return doc.text


@pytest.mark.parametrize(
    ("text", "fields", "expected"),
    [
        ("Hello, world! (again)", {}, "Hello world again"),
        ("你好，世界！《三国》……", {}, "你好 世界 三国"),
        ("Don't — it’s well-known.", {}, "Don't it’s well-known"),
        ("Don't well-known", {"keep_inner": False}, "Don t well known"),
        ("'quoted' and dogs' --dash", {}, "quoted and dogs dash"),
        ("costs $3.14, 1,000 in 2024.", {}, "costs 3.14 1,000 in 2024"),
        ("costs $3.14, room 12b ½ ３", {"digits": True}, "costs room b"),
        ("a_b", {}, "a b"),
        ("good 👍🏽 ❤️ day 1+1", {}, "good day 1 1"),
        ("good 👍 day, ok", {"symbols": False}, "good 👍 day ok"),
        ("good 👍 day, ok", {"punctuation": False}, "good day, ok"),
        ("#tag @me, ok", {"keep": "#@"}, "#tag @me ok"),
        ("one,\n\n  - two.\n", {}, "one\n\ntwo\n"),
        ("हिन्दी भाषा।", {}, "हिन्दी भाषा"),
        ("一二三 〇", {"digits": True}, "一二三 〇"),
        ("!!!", {}, ""),
        ("", {}, ""),
    ],
)
def test_strip_symbols(text, fields, expected):
    assert stripped(text, **fields) == expected


def test_nothing_to_do_returns_the_same_object():
    for text in ("plain words\n\n  indented  twice", "没有标点", "don't", "\0"):
        assert stripped(text) is text
    text = "a, b! 1"
    assert stripped(text, punctuation=False, symbols=False) is text


@given(st.text(st.characters(codec="utf-8")))
def test_nothing_of_the_chosen_categories_is_left(text):
    left = stripped(text, digits=True, keep_inner=False)
    assert not [
        char for char in left if unicodedata.category(char)[0] in "PS" or unicodedata.category(char) in ("Nd", "No")
    ]


@given(st.text(st.characters(codec="utf-8", categories=["L", "Zs"])))
def test_letters_are_never_touched(text):
    assert stripped(text) is text
