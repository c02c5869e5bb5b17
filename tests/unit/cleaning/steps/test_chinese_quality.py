"""Chinese prose of all kinds stays, everything else falls by the rule meant for it."""

from __future__ import annotations

import pytest

from llmkit.cleaning.steps import Drop
from llmkit.cleaning.steps.chinese_quality import ChineseQuality
from llmkit.data.corpus import Document

MODERN = (
    "春天来了，公园里的花都开了。孩子们在草地上跑来跑去，老人坐在树下聊天。"
    "我们也带了一些水果，打算在这里过一个下午。你说这样好不好？"
)
TRADITIONAL = (
    "這個週末我們去了山上，空氣比城裡好得多。路上遇到幾位學生，"
    "他們說每個月都會來一次。回家的時候天已經黑了，大家還是覺得很開心。"
)
CLASSICAL = (
    "孟子見梁惠王。王曰：「叟，不遠千里而來，亦將有以利吾國乎？」"
    "孟子對曰：「王何必曰利？亦有仁義而已矣。王曰何以利吾國，大夫曰何以利吾家。」"
)
TECHNICAL = (
    "用 Python 3.11 写的程序在 Linux 上运行得很快。你可以先安装 NumPy，然后在命令行里输入命令，"
    "看看结果是不是和说明书里的一样，再决定要不要用它。"
)
OFF = {
    name: None
    for name in ChineseQuality.model_fields
    if name.startswith(("min_", "max_")) and "None" in str(ChineseQuality.model_fields[name].annotation)
}


def apply(text: str, **fields: object) -> Drop | None:
    return ChineseQuality(**fields).apply(Document("0", text, "s"))


@pytest.mark.parametrize("text", [MODERN, TRADITIONAL, CLASSICAL, TECHNICAL])
def test_prose_is_kept(text: str) -> None:
    assert apply(text) is None
    assert apply("\n\n".join([text] * 5)) is None


@pytest.mark.parametrize(
    ("text", "rule", "value", "threshold"),
    [
        ("中文abc", "min_han", 2, 3),
        ("中文々", "max_han", 3, 2),
        ("中 word 文 words", "min_han_ratio", 2 / 4, 0.6),
        ("一。\n二\n「三！」\n四（五。）", "min_terminal_lines_ratio", 3 / 4, 0.8),
        ("好！好！！是吗？", "min_sentence_chars", 4 / 3, 2.0),
        ("好好好好。好好", "max_sentence_chars", 6.0, 5.0),
        ("一二三 四五，六\n七八九十", "max_run", 5, 4),
        ("电话 12345。", "max_digit_ratio", 5 / 8, 0.2),
        ("★★优惠|特价★", "max_symbol_ratio", 4 / 8, 0.1),
        ("ＡＢ１2中", "max_fullwidth_ratio", 3 / 5, 0.1),
        ("锟斤拷\ufffd你ｱ好", "max_broken_ratio", 5 / 7, 0.01),
        ("你去吧他去哪", "min_function_characters", 2, 3),
        ("加微信领奖，加微信！", "max_markers", 2, 1),
    ],
)
def test_rules(text: str, rule: str, value: float, threshold: float) -> None:
    fields = {**OFF, "function_characters": "你他我是的", rule: threshold}
    assert apply(text, **fields) == Drop(f"chinese_quality.{rule}", pytest.approx(value), threshold)
    assert apply(text, **{**fields, rule: int(value) if isinstance(threshold, int) else value}) is None
    assert apply(text, **{**fields, rule: None}) is None


def test_a_single_line_without_a_last_point_is_kept() -> None:
    assert apply(MODERN.rstrip("？")) is None


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("The quick brown fox jumps over the lazy dog. " * 20, "min_han"),
        (MODERN[:60] + "The quick brown fox jumps over the lazy dog. " * 20, "min_han_ratio"),
        (
            "これは日本語の文章です。ひらがなとカタカナがたくさん使われています。今日は天気がいいですね。" * 5,
            "min_han_ratio",
        ),
        ("\n".join(["首页新闻体育", "财经科技汽车", "房产教育游戏"] * 5), "min_terminal_lines_ratio"),
        ("手机电脑相机耳机音箱键盘鼠标屏幕电池充电" * 10, "max_run"),
    ],
)
def test_what_is_no_chinese_prose_falls(text: str, rule: str) -> None:
    drop = apply(text)
    assert drop is not None
    assert drop.rule == f"chinese_quality.{rule}"


@pytest.mark.parametrize("text", ["", "\x00", "\n" * 1000, "\ud800", "中" * 500_000, "。" * 500_000])
def test_odd_texts_fall(text: str) -> None:
    assert apply(text) is not None
    assert apply(text, **OFF) is None
