from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.cleaning.steps import _words
from llmkit.cleaning.steps.segment import Segment
from llmkit.data.corpus import Document


def segmented(text: str, language: str = "zh", **fields: object) -> str:
    doc = Document("0", text, "s", language)
    assert Segment(**fields).apply(doc) is None
    return doc.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我来到北京清华大学", "我 来到 北京 清华大学"),
        ("我来到北京，清华大学。", "我 来到 北京，清华大学。"),
        ("北京Python3学校don't", "北京 Python3 学校 don't"),
        ("他来到了网易\n\n  杭研大厦  ok", "他 来到 了 网易\n\n  杭研 大厦  ok"),
        ("3月北京", "3 月 北京"),
        ("猫", "猫"),
    ],
)
def test_segment(text, expected):
    assert segmented(text) == expected


def test_the_hidden_markov_model_guesses_new_words():
    assert segmented("杭研大厦", hmm=False) == "杭 研 大厦"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("No Chinese here, don't touch", "en"),
        ("", "zh"),
        ("，。！\0", "zh"),
        ("東京都に住む", "ja"),
        ("東京都に住む", "und"),
        ("北京 猫", "zh"),
    ],
)
def test_nothing_to_do_returns_the_same_object(text, language):
    assert segmented(text, language) is text


@given(st.text("我来到北京清华大学的々〇〡〻\u302a\U00016ff0\U00020000\U00033479 \nab1，.", max_size=80))
def test_only_spaces_are_added(text):
    assert segmented(text).replace(" ", "") == text.replace(" ", "")


def test_long_documents_are_cut_in_blocks(monkeypatch):
    monkeypatch.setattr(_words.blocks, "__defaults__", (12,))
    assert segmented("我来到北京清华大学\n" * 3) == "我 来到 北京 清华大学\n" * 3
