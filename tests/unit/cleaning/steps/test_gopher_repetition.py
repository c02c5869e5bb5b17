"""Each rule at its border, by hand."""

from __future__ import annotations

import pytest

from llmkit.cleaning.steps import Drop
from llmkit.cleaning.steps.gopher_repetition import GopherRepetition
from llmkit.data.corpus import Document

OFF = dict.fromkeys(GopherRepetition.__annotations__)
LETTERS = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda my"


def apply(text: str, **fields: object) -> Drop | None:
    return GopherRepetition(**{**OFF, **fields}).apply(Document("0", text, "s"))


@pytest.mark.parametrize(
    ("text", "rule", "value", "threshold"),
    [
        ("a\nb\na\nc", "dup_line_frac", 1 / 4, 0.2),
        ("abcd\nx\n  abcd\n\n", "dup_line_char_frac", 4 / 15, 0.2),
        ("a\nb\n\na\nb\n \n\nc", "dup_para_frac", 1 / 3, 0.3),
        ("ab\n\nab\n\nc", "dup_para_char_frac", 2 / 9, 0.2),
        ("to be or to be", "top_2_gram", 10 / 14, 0.2),
        ("to be or not to be or so", "top_3_gram", 16 / 24, 0.18),
        ("吃葡萄不吐葡萄皮", "top_2_gram", 4 / 8, 0.2),
        (f"{LETTERS}, {LETTERS}", "dup_5_gram", 2 * 50 / 2 / 134, 0.15),
    ],
)
def test_rules(text: str, rule: str, value: float, threshold: float) -> None:
    drop = apply(text, **{rule: threshold})
    assert drop is not None
    assert (drop.rule, drop.threshold) == (f"gopher_repetition.{rule}", threshold)
    if rule != "dup_5_gram":
        assert drop.value == pytest.approx(value)
    assert apply(text, **{rule: float(drop.value)}) is None
    assert apply(text) is None


@pytest.mark.parametrize("order", range(5, 11))
def test_duplicate_ngrams_of_each_order(order: int) -> None:
    words = LETTERS.split()[:order]
    text = " ".join([*words, "|", *words])
    share = len("".join(words)) / len(text)
    assert apply(text, **{f"dup_{order}_gram": share - 0.001}) == Drop(
        f"gopher_repetition.dup_{order}_gram", pytest.approx(share), share - 0.001
    )
    assert apply(text, **{f"dup_{order}_gram": share}) is None
    if order < 10:
        assert apply(text, **{f"dup_{order + 1}_gram": 0.0}) is None  # no longer one stands twice


def test_defaults_keep_prose_and_drop_chants() -> None:
    prose = "夫天下大势，分久必合，合久必分。周末七国分争，并入于秦；及秦灭之后，楚汉分争，又并入于汉。"
    assert GopherRepetition().apply(Document("0", prose, "s")) is None
    drop = GopherRepetition().apply(Document("0", "买买买，快来买！" * 40, "s"))
    assert drop is not None
    drop = GopherRepetition().apply(Document("0", "buy now and save money today\n" * 10, "s"))
    assert drop == Drop("gopher_repetition.dup_line_frac", 0.9, 0.3)


@pytest.mark.parametrize("text", ["", "\x00", "\n\n\n", "x", "\ud800 \ud800", "中" * 200_000])
def test_odd_texts_are_survived(text: str) -> None:
    GopherRepetition().apply(Document("0", text, "s"))
