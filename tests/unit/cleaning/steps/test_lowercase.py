from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.cleaning.steps.lowercase import Lowercase
from llmkit.data.chat import CONVERSATION
from llmkit.data.corpus import Document


def lowered(text: str, language: str = "en") -> str:
    doc = Document("0", text, "s", language)
    assert Lowercase().apply(doc) is None
    return doc.text


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Hello World, NASA", "en", "hello world, nasa"),
        ("ΟΔΟΣ", "el", "οδος"),  # final sigma
        ("我用Python写ＡＢＣ", "zh", "我用python写ａｂｃ"),
        ("DIYARBAKIR İstanbul", "tr", "dıyarbakır istanbul"),
        ("DIYARBAKIR", "en", "diyarbakir"),
    ],
)
def test_lowercase(text, language, expected):
    assert lowered(text, language) == expected


@given(st.text())
def test_what_is_lower_case_is_the_same_object(text):
    once = lowered(text)
    assert lowered(once) is once


def test_messages_are_lowered_as_well():
    doc = Document("0", "Hi", "s", "en", row={"messages": [{"role": "user", "content": "Hi"}]}, kind=CONVERSATION)
    Lowercase().apply(doc)
    assert doc.row["messages"] == [{"role": "user", "content": "hi"}]
