from __future__ import annotations

import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.cleaning.steps import Drop, _words
from llmkit.cleaning.steps.word_list import WordList
from llmkit.core.errors import ConfigError, DataError
from llmkit.data.corpus import Document


def document(text: str) -> Document:
    return Document("0", text, "s")


def hits(text: str, *words: str, **fields: object) -> list[str]:
    return [text[start:stop] for start, stop in WordList(words=list(words), **fields).find(text)]


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("A class of asses, an Ass!", ["ass"], ["Ass"]),
        ("看ass图, ass_ets", ["ass"], ["ass", "ass"]),
        ("网上赌博网站", ["赌博"], ["赌博"]),
        ("ทางการพนันออนไลน์", ["การพนัน"], ["การพนัน"]),
        ("I am a new yorker", ["new", "new york"], ["new"]),  # the longer match is no whole phrase
        ("in New York now", ["new", "new york"], ["New York"]),
        ("bad bad-bad", ["bad"], ["bad", "bad", "bad"]),
        ("naïve nai\u0308ve naive", ["nai"], []),  # a combining mark goes on with the word
        ("İstanbul bad", ["bad"], ["bad"]),  # lower-casing must not move positions
        ("C++ and C", ["c++"], ["C++"]),
        ("می\u200cخواهم می", ["می"], ["می"]),  # a joiner goes on with the word
        ("ｶｼﾞﾉで", ["ｶｼﾞﾉ"], ["ｶｼﾞﾉ"]),
        ("", ["x"], []),
    ],
)
def test_find(text, words, expected):
    assert hits(text, *words) == expected


def test_case_can_matter():
    assert hits("Apple apple", "Apple", case_sensitive=True) == ["Apple"]


@given(st.text("ab 我.", max_size=40))
def test_find_agrees_with_a_regular_expression(text):
    expected = [m.span() for m in re.finditer(r"(?<![ab])(?:ab a|ab|a)(?![ab])|我", text)]
    assert WordList(words=["a", "ab", "ab a", "我"]).find(text) == expected


def test_drop_by_count():
    step = WordList(words=["casino", "赌博"], min_count=2)
    assert step.apply(document("a casino")) is None
    assert step.apply(document("Casino 与赌博")) == Drop("word_list.min_count", 2, 2)
    assert WordList(words=["casino"]).apply(document("a casino")) == Drop("word_list.min_count", 1, 1)


def test_drop_by_share_of_words():
    step = WordList(words=["bad word", "赌博"], min_ratio=0.5)
    assert step.apply(document("one bad word here now")) is None  # 2 of 5
    assert step.apply(document("one bad word here")) == Drop("word_list.min_ratio", 0.5, 0.5)
    assert step.apply(document("网络赌博")) == Drop("word_list.min_ratio", 0.5, 0.5)  # 2 of 4 characters
    assert step.apply(document("我的网络赌博")) is None
    assert WordList(words=["ที่"], min_ratio=0.5).apply(document("ที่นี่")).value == 0.5  # with vowel signs and tones
    assert step.apply(document("")) is None


def test_redact_counts_and_keeps_the_rest():
    step = WordList(words=["secret"], action="redact", replacement="[x]")
    doc = document("A Secret, secretly; secret\0")
    assert step.apply(doc) is None
    assert doc.text == "A [x], secretly; [x]\0"
    assert doc.counts == {"word_list.redacted": 2}
    text = doc.text
    step.apply(doc)
    assert doc.text is text


def test_long_documents_are_searched_in_blocks(monkeypatch):
    monkeypatch.setattr(_words.blocks, "__defaults__", (8,))
    assert WordList(words=["bad"], min_count=9).apply(document("xx bad y\n" * 9)) == Drop("word_list.min_count", 9, 9)
    doc = document("xx bad y\n" * 3)
    WordList(words=["bad"], action="redact").apply(doc)
    assert doc.text == "xx  y\n" * 3


def test_words_of_a_file_are_added(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("赌博\n\nbig win\n", encoding="utf-8")
    step = WordList(words=["casino"], path=str(path))
    assert step.reads() == [path]
    step.find("warm up")  # builds the automaton, which cannot be pickled
    step = pickle.loads(pickle.dumps(step))
    assert [step.apply(document(text)) is None for text in ("casino", "大赌博", "a BIG win", "a win")] == [
        False
    ] * 3 + [True]


def test_missing_file_names_the_field(tmp_path):
    with pytest.raises(DataError, match=r"word_list\.path: no such file"):
        WordList(path=str(tmp_path / "none.txt")).apply(document("x"))
    with pytest.raises(DataError, match=r"word_list\.path: no such file"):
        WordList(path=str(tmp_path / "none.txt")).reads()
    with pytest.raises(DataError, match="is a directory"):
        WordList(path=str(tmp_path)).reads()


def test_an_empty_list_keeps_everything_and_is_refused_as_a_step():
    with pytest.raises(ConfigError, match="no words are given"):
        WordList().reads()
    text = "anything"
    assert WordList().apply(document(text)) is None
    doc = document(text)
    WordList(words=["", " "], action="redact").apply(doc)
    assert doc.text is text
