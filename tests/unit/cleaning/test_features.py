"""Tokens, totals and spans of a text, against plain Python and by hand."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.cleaning.features import CHARACTER, SYMBOL, WORD, Features, features
from llmkit.data.corpus import Document

# Lone surrogates, astral letters, emoji with a variation selector, Devanagari and Thai marks, odd line breaks.
ALPHABET = (
    "aBé.,'’-… \t\n\r\x0b\u2028\u30001２中々〇か\u3099ท\u0e35क\u093f\ud800😀\ufe0f\U00020000\U0001d400\U000e0100\x00"
)
TEXTS = st.text(st.sampled_from(ALPHABET), max_size=80) | st.text(max_size=40)


def tokens(text: str) -> list[str]:
    found = Features(text).tokens
    return [text[start:end] for start, end in zip(found.starts, found.ends, strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("It's 1,000.50, isn't it?", ["It", "'s", "1,000.50", ",", "isn", "'t", "it", "?"]),
        ("Mr. Smith of the U.S. said no.", ["Mr.", "Smith", "of", "the", "U.S.", "said", "no", "."]),
        ("_said_ foo_bar __init__!!", ["_", "said", "_", "foo_bar", "__", "init", "__", "!", "!"]),
        ("said;--and a -- b c.-- d", ["said;--", "and", "a", "--", "b", "c.--", "d"]),
        ("J. S. Bach e.g. this. A.The", ["J.", "S.", "Bach", "e.g.", "this", ".", "A.", "The"]),
        ("well-known--so... ====", ["well", "-", "known", "--", "so", "...", "===="]),
        ("我用Python3写代码。", ["我", "用", "Python3", "写", "代", "码", "。"]),
        ("二〇二六年人々", ["二", "〇", "二", "六", "年", "人", "々"]),
        ("か\u3099き", ["か\u3099", "き"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("葛\U000e0100城 ❤️❤️", ["葛\U000e0100", "城", "❤️❤️"]),
        ("한국어 텍스트", ["한국어", "텍스트"]),
    ],
)
def test_tokens(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


@settings(deadline=None)  # the first call compiles
@given(TEXTS)
def test_tokens_cover_all_that_is_not_blank(text: str) -> None:
    found = Features(text)
    starts, ends = found.tokens.starts.tolist(), found.tokens.ends.tolist()
    covered = {i for start, end in zip(starts, ends, strict=True) for i in range(start, end)}
    assert covered == {i for i, char in enumerate(text) if not char.isspace()}
    assert sum(end - start for start, end in zip(starts, ends, strict=True)) == len(covered)
    assert sum(found.scripts.values()) == len(text)


@settings(deadline=None)  # the first call compiles
@given(TEXTS)
def test_totals(text: str) -> None:
    found = Features(text)
    totals, kinds = found.totals, found.tokens.kinds.tolist()
    words = [token for token, kind in zip(tokens(text), kinds, strict=True) if kind != SYMBOL]
    assert totals.digits == sum(char.isdecimal() for char in text)
    assert totals.spaces == sum(char.isspace() for char in text)
    assert totals.newlines == text.count("\n")
    assert (totals.words, totals.word_chars) == (len(words), sum(map(len, words)))
    assert totals.characters == kinds.count(CHARACTER)
    assert len(found.word_hashes) == len(words)
    assert totals.letters >= sum(char.isalpha() for char in text)  # more: 〇, and unassigned code points of Han planes
    assert totals.lettered_words >= sum(any(map(str.isalpha, word)) for word in words)


@settings(deadline=None)  # the first call compiles
@given(TEXTS)
def test_lines_and_paragraphs(text: str) -> None:
    for spans, pattern in ((Features(text).lines, r"\n"), (Features(text).paragraphs, r"\n(?:\s*\n)+")):
        found = [text[start:end] for start, end in zip(spans.starts, spans.ends, strict=True)]
        assert found == [part.strip() for part in re.split(pattern, text) if part.strip()]
        assert len(set(spans.hashes.tolist())) == len(set(found))
        assert spans.lengths.tolist() == [len(part) for part in found]


def test_case_is_folded_in_words_and_kept_in_lines() -> None:
    assert len(set(Features("The THE the Été été").tokens.hashes.tolist())) == 2
    assert len(set(Features("The\nTHE").lines.hashes.tolist())) == 2
    assert Features("U.S. now").tokens.hashes[1] == Features("NOW").tokens.hashes[0]
    assert Features("Mr.").word_hashes[0] == Features("mr").word_hashes[0]


def test_line_ends() -> None:
    found = Features("One.\n- two!\n• three...\n四。\nfive…\nsix\n  – seven?  \n\n..").line_ends
    assert found == (6, 2, 2)


def test_scripts() -> None:
    assert Features("abc 中文カナ ｱ ＡＢ привет 1!").scripts == {
        "Common": 7, "Latin": 5, "Han": 2, "Kana": 3, "Cyrillic": 6,
    }  # fmt: skip


def test_kinds() -> None:
    assert Features("ab 中 !").tokens.kinds.tolist() == [WORD, CHARACTER, SYMBOL]


def test_features_are_shared_until_the_text_changes() -> None:
    document = Document("0", "one two", "s")
    first = features(document)
    assert features(document) is first
    document.text = "three"
    assert features(document) is not first
    assert features(document).totals.words == 1


def test_one_long_line_takes_one_pass() -> None:
    found = Features("中a" * 500_000)
    assert len(found.lines.starts) == 1
    assert found.totals.words == 1_000_000


def test_symbols_without_a_word_before_them_cost_no_look_back() -> None:
    # `;--` of `said;--and` belongs to the word before; looking for one from every dash took the square of the length.
    text = "<!--" * 300_000
    assert len(tokens(text)) == 900_000
    assert tokens("said;--and <;-- and") == ["said;--", "and", "<", ";", "--", "and"]
