from __future__ import annotations

import pytest

from llmkit.cleaning.steps.segment import Segment
from llmkit.cleaning.steps.stop_words import StopWords
from llmkit.data.corpus import Document


def removed(text: str, language: str = "en", **fields: object) -> str:
    doc = Document("0", text, "s", language)
    assert StopWords(**fields).apply(doc) is None
    return doc.text


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("The cat sat on the mat.", "en", "cat sat mat."),
        ("The cat\nThe mat", "en-GB", "cat\nmat"),
        ("I DON'T mind, it’s fine", "en", "mind, fine"),
        ("Der Hund und die Katze", "de", "Hund Katze"),
        ("我 的 猫 和 你 的 狗", "zh", "猫 狗"),
        ("theatre andes", "en", "theatre andes"),
        ("", "en", ""),
        ("we go to the\n  green house of the\r\n", "en", "\n  green house\r\n"),
        ("a house to the \nred", "en", "house\nred"),
        ("Mats. The\n\tthe", "en", "Mats.\n\t"),
        ("a house, the, red (the) the", "en", "house,, red ()"),
    ],
)
def test_stop_words(text, language, expected):
    assert removed(text, language) == expected


def test_lists_can_be_added_to_and_taken_from():
    assert removed("The cat is not here", add=["CAT"], keep=["Not", "here"]) == "not here"


def test_raw_chinese_stays_until_it_is_segmented():
    text = "这是我的猫"
    assert removed(text, "zh") is text
    doc = Document("0", text, "s", "zh")
    Segment().apply(doc)
    StopWords().apply(doc)
    assert doc.text == "猫"


def test_unknown_languages_are_counted_and_left_alone():
    text = "the cat"
    doc = Document("0", text, "s", "und")
    StopWords().apply(doc)
    assert doc.text is text
    assert doc.counts == {"stop_words.unknown_language": 1}
    StopWords(language="en").apply(doc)
    assert doc.text == "cat"


def test_nothing_to_remove_returns_the_same_object():
    text = "green  apples,\nred cherries \0"
    assert removed(text) is text
