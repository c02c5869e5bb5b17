from __future__ import annotations

import pytest
from pydantic import ValidationError

from llmkit.cleaning.steps.chinese_script import ChineseScript
from llmkit.data.corpus import Document


def converted(text: str, language: str = "zh", **fields: object) -> str:
    doc = Document("0", text, "s", language)
    assert ChineseScript(**fields).apply(doc) is None
    return doc.text


@pytest.mark.parametrize(
    ("text", "config", "expected"),
    [
        ("漢字與簡體字，Hello\0", "t2s", "汉字与简体字，Hello\0"),
        ("头发展开，理发发展", "s2t", "頭髮展開，理髮發展"),
        # OpenCC's own example.
        ("鼠标里面的硅二极管坏了，导致光标分辨率降低。", "s2twp", "滑鼠裡面的矽二極體壞了，導致游標解析度降低。"),
    ],
)
def test_convert(text, config, expected):
    assert converted(text, config=config) == expected


@pytest.mark.parametrize(
    ("text", "language"),
    [("已经是简体字", "zh"), ("plain English", "en"), ("", "zh"), ("，。", "zh"), ("國語", "ja"), ("國語の本", "und")],
)
def test_nothing_to_do_returns_the_same_object(text, language):
    assert converted(text, language) is text


def test_text_of_no_known_language_is_converted():
    assert converted("國語", "und") == "国语"


def test_unknown_configurations_are_refused():
    with pytest.raises(ValidationError, match="s2twp"):
        ChineseScript(config="s2x")
