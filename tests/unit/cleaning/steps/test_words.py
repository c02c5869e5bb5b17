from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.cleaning.steps import _words
from llmkit.cleaning.steps._words import WORD, Memo, WordRewrite, blocks, is_chinese, primary
from llmkit.data.corpus import Document


@given(st.text("ab \n我", max_size=60), st.integers(1, 20))
def test_blocks_are_the_text_in_bounded_pieces(text, size):
    pieces = list(blocks(text, size))
    assert "".join(pieces) == text
    assert all(len(piece) <= size for piece in pieces)


def test_blocks_cut_behind_newlines_then_spaces_then_anywhere():
    assert list(blocks("ab\ncd ef gh", 7)) == ["ab\n", "cd ef ", "gh"]
    assert list(blocks("abcdefgh", 3)) == ["abc", "def", "gh"]
    text = "short"
    assert next(blocks(text)) is text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop—it’s 3 o'clock!", ["Don't", "stop", "it’s", "3", "o'clock"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("مُحَمَّد 'quoted'", ["مُحَمَّد", "quoted"]),
        ("来到 北京，好", ["来到", "北京", "好"]),
        ("", []),
    ],
)
def test_words(text, words):
    assert WORD.findall(text) == words


def test_primary_subtag():
    assert [primary(tag) for tag in ("zh-Hant", "EN", "und")] == ["zh", "en", "und"]


@pytest.mark.parametrize(
    ("language", "text", "chinese"),
    [
        ("zh", "漢字", True),
        ("und", "漢字", True),
        ("ja", "漢字", False),
        ("ko-KR", "漢字", False),
        ("und", "漢字の", False),
    ],
)
def test_han_is_not_always_chinese(language, text, chinese):
    assert is_chinese(text, Document("0", text, "s", language)) is chinese


def test_memo_computes_once_forgets_when_full_and_leaves_names_alone(monkeypatch):
    monkeypatch.setattr(_words, "MEMO_WORDS", 2)
    asked = []
    memo = Memo(lambda word: asked.append(word) or word.upper())
    assert [memo[word] for word in ("a", "a", "b", "c", "c")] == ["A", "A", "B", "C", "C"]
    assert asked == ["a", "b", "c"]
    assert list(memo) == ["c"]
    assert [memo[word] for word in ("a_b", "x2", "y" * 65)] == ["a_b", "x2", "y" * 65]
    assert asked == ["a", "b", "c"]
    assert "y" * 65 not in memo


class Shout(WordRewrite):
    def memo(self, language: str) -> Memo | None:
        return Memo(str.upper) if language == "en" else None


def test_word_rewrite_keeps_what_lies_between_and_counts_unknown_languages(monkeypatch):
    monkeypatch.setattr(_words, "BLOCK_CHARS", 4)
    doc = Document("0", "  one,\ttwo\n\nthree \0 4x ", "s", "en-GB")
    assert Shout().apply(doc) is None
    assert doc.text == "  ONE,\tTWO\n\nTHREE \0 4x "
    text = doc.text
    Shout().apply(doc)
    assert doc.text is text
    other = Document("0", "un", "s", "fr")
    Shout().apply(other)
    assert other.text == "un"
    assert list(other.counts.values()) == [1]
    Shout(language="en").apply(other)
    assert other.text == "UN"
