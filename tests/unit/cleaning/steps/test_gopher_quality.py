"""Each rule at its border, by hand."""

from __future__ import annotations

import pytest

from llmkit.cleaning.steps import Drop
from llmkit.cleaning.steps.gopher_quality import GopherQuality
from llmkit.core.errors import ConfigError
from llmkit.data.corpus import Document

PROSE = "The captain of the ship had to leave the harbour that night with forty men, and nobody saw them again. " * 4


def apply(text: str, **fields: object) -> Drop | None:
    return GopherQuality(**fields).apply(Document("0", text, "s"))


def test_prose_is_kept() -> None:
    assert apply(PROSE) is None


@pytest.mark.parametrize(
    ("text", "fields", "rule", "value", "threshold"),
    [
        ("one two three", {}, "min_words", 3, 50),
        ("", {}, "min_words", 0, 50),
        ("one two, three", {"min_words": None, "max_words": 2}, "max_words", 3, 2),
        ("ab abcd, a", {"min_words": 1, "as": "datatrove"}, "min_avg_word_length", 7 / 3, 3.0),
        ("ab abcd, a", {"min_words": 1}, "min_avg_word_length", 8 / 3, 3.0),
        ("abcdefghijk abcdefghijk", {"min_words": 1}, "max_avg_word_length", 11.0, 10.0),
        ("# the # of and", {"min_words": 1, "min_avg_word_length": 1}, "max_hash_ratio", 2 / 5, 0.1),
        ("then... and… nothing", {"min_words": 1, "as": "datatrove"}, "max_ellipsis_ratio", 2 / 5, 0.1),
        ("then... and… nothing", {"min_words": 1}, "max_ellipsis_ratio", 2 / 3, 0.1),
        ("seven, (eight), nine", {"min_words": 1, "as": "datatrove"}, "min_alpha_words_ratio", 3 / 7, 0.8),
        ("seven, (eight), 9 | http://a.example/9?x=1", {"min_words": 1}, "min_alpha_words_ratio", 3 / 5, 0.8),
        (
            "- the first\n\n- of second\n\n\nand third.",
            {"min_words": 1, "min_alpha_words_ratio": None, "max_bullet_lines_ratio": 0.5},
            "max_bullet_lines_ratio",
            2 / 3,
            0.5,
        ),
        (
            "the ship left with new sails",
            {"min_words": 1, "min_function_words_ratio": 0.34},
            "min_function_words_ratio",
            2 / 6,
            0.34,
        ),
        (
            "- the first\n  • of second\n- and",
            {"min_words": 1, "min_alpha_words_ratio": None},
            "max_bullet_lines_ratio",
            1,
            0.9,
        ),
        (
            "this is one...\nthis is two…\nthis is three",
            {"min_words": 1, "max_ellipsis_ratio": None, "min_alpha_words_ratio": None},
            "max_ellipsis_lines_ratio",
            2 / 3,
            0.3,
        ),
        ("bad grammar here with words", {"min_words": 1}, "min_stop_words", 1, 2),
    ],
)
def test_rules(text: str, fields: dict[str, object], rule: str, value: float, threshold: float) -> None:
    drop = apply(text, **fields)
    assert drop == Drop(f"gopher_quality.{rule}", pytest.approx(value), threshold)
    assert apply(text, **{"min_words": None, **fields, rule: None}) != drop


def test_stop_words_are_lower_case_and_must_differ() -> None:
    assert apply("the thing of beauty", min_words=1) is None
    assert apply("The thing of beauty", min_words=1) == Drop("gopher_quality.min_stop_words", 1, 2)
    assert apply("the the the thing", min_words=1) == Drop("gopher_quality.min_stop_words", 1, 2)


def test_stop_words_of_another_language() -> None:
    fields = {"min_words": 1, "min_avg_word_length": None, "stop_words": ["的", "是"]}
    assert apply("这是我的书。", **fields) is None
    assert apply("我有书", **fields) == Drop("gopher_quality.min_stop_words", 0, 2)


def test_a_stop_word_is_one_word() -> None:
    with pytest.raises(ConfigError, match="'of the' is 2 words") as error:
        apply("anything at all", min_words=1, stop_words=["of the"])
    assert "each word by itself" in (error.value.hint or "")


@pytest.mark.parametrize("text", ["\x00" * 10, "\n" * 1000, "中" * 100_000, "a" * 1_000_000, "\ud800"])
def test_odd_texts_are_survived(text: str) -> None:
    assert apply(text) is not None
    GopherQuality.model_validate(dict.fromkeys(["min_words", "max_words"])).apply(Document("0", text, "s"))


def test_a_url_is_one_word_of_no_length() -> None:
    # Ten words of 45 letters and two addresses of 50 characters: the mean is that of the words.
    address = "http://www.example.org/news/2026/11/storm-list_v2/"
    text = " ".join(["other", address] * 2 + ["the", "to", *["words"] * 6])
    fields = {"min_words": 12, "min_alpha_words_ratio": 1.0}
    assert apply(text, **fields, max_avg_word_length=4.5) is None
    assert apply(text, **fields, max_avg_word_length=4.4) is not None
    assert apply(text, **{**fields, "min_words": 13}) == Drop("gopher_quality.min_words", 12, 13)
    assert apply(text, **{"as": "datatrove"}, min_words=1) is not None


def test_function_words_may_be_others() -> None:
    fields = {"min_words": 1, "min_stop_words": 0, "min_function_words_ratio": 0.5}
    assert apply("der Hund und die Katze", **fields) is not None
    assert apply("der Hund und die Katze", **fields, function_words=["der", "die", "und"]) is None
