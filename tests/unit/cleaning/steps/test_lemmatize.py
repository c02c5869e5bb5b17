from __future__ import annotations

import pytest

from llmkit.cleaning.steps import lemmatize as module
from llmkit.cleaning.steps.lemmatize import Lemmatize
from llmkit.data.corpus import Document


def lemmatized(text: str, language: str = "en") -> Document:
    doc = Document("0", text, "s", language)
    assert Lemmatize().apply(doc) is None
    return doc


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("mice went  home, children\nwere happier", "en", "mouse go  home, child\nbe happy"),
        ("Häuser", "de", "Haus"),
        ("mangeons", "fr", "manger"),
        ("hus3 husene", "no", "hus3 hus"),
    ],
)
def test_lemmatize(text, language, expected):
    assert lemmatized(text, language).text == expected


def test_chinese_stays_and_is_counted():
    text = "他们 跑步"
    doc = lemmatized(text, "zh")
    assert doc.text is text
    assert doc.counts == {"lemmatize.unknown_language": 1}


def test_lemmas_return_the_same_object():
    text = "mouse go home"
    assert lemmatized(text).text is text


def test_the_languages_are_those_of_simplemma():
    from simplemma.strategies.dictionaries.dictionary_factory import SUPPORTED_LANGUAGES

    assert set(module._LANGUAGES) == set(SUPPORTED_LANGUAGES)
    assert set(module._ALIASES.values()) <= set(module._LANGUAGES)
