from __future__ import annotations

import pytest
import Stemmer

from llmkit.cleaning.steps import stem as module
from llmkit.cleaning.steps.stem import Stem
from llmkit.data.corpus import Document


def stemmed(text: str, language: str = "en") -> Document:
    doc = Document("0", text, "s", language)
    assert Stem().apply(doc) is None
    return doc


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        # From Snowball's own vocabulary lists.
        ("consigned consignment; Consolations", "en", "consign consign; consol"),
        ("The cat's running\n\tquickly", "en-US", "the cat run\n\tquick"),
        ("the cat’s", "en", "the cat"),
        ("continuait continuellement", "fr", "continu continuel"),
        ("aufeinanderfolgenden Kategorien", "de", "aufeinanderfolg kategori"),
        ("python3 x_runs 1990s", "en", "python3 x_runs 1990s"),
    ],
)
def test_stem(text, language, expected):
    assert stemmed(text, language).text == expected


def test_chinese_and_unknown_languages_stay_and_are_counted():
    for language in ("zh", "und"):
        text = "running 跑步"
        doc = stemmed(text, language)
        assert doc.text is text
        assert doc.counts == {"stem.unknown_language": 1}


def test_stems_return_the_same_object():
    text = "the cat run"
    assert stemmed(text).text is text


def test_every_algorithm_exists_and_none_is_forgotten():
    assert set(module._ALGORITHMS.values()) == set(Stemmer.algorithms()) - {"porter", "dutch_porter"}
