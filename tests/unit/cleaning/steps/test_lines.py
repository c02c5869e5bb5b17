"""Page furniture goes, prose stays, in English and Chinese."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from llmkit.cleaning.steps import Drop
from llmkit.cleaning.steps.lines import Lines
from llmkit.data.chat import CONVERSATION
from llmkit.data.corpus import Document

PROSE = "The mill stood by the river for two hundred years before anyone thought of tearing it down. " * 4
CHINESE = "河边的磨坊在那里立了两百年，从来没有人想过要把它拆掉。" * 6


def run(text: str, **fields: object) -> tuple[Document, Drop | None]:
    document = Document("0", text, "s")
    return document, Lines(**fields).apply(document)


def test_prose_is_the_same_string() -> None:
    text = f"{PROSE}\n\n\n\n  {CHINESE}\n"
    document, drop = run(text)
    assert drop is None
    assert document.text is text


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("This site uses cookies to make you happy.", "cookies"),
        ("Copyright (c) 2020 The Mill. All Rights Reserved.", "copyright"),
        ("• Share this: Facebook", "share"),
        ("Read more »", "navigation"),
        ("责任编辑：张三", "credits"),
        ("（责任编辑：张三）", "credits"),
        ("版权所有 © 某某公司", "copyright"),
        ("上一篇：磨坊的故事", "navigation"),
        ("點此 分享給朋友".removeprefix("點此 "), "share"),
        ("点赞 收藏", "share"),
        ("-----*-----", "symbols"),
        ("……", "symbols"),
    ],
)
def test_furniture_goes(line: str, reason: str) -> None:
    document, drop = run(f"{PROSE}\n\n{line}\n\n{CHINESE}")
    assert drop is None
    assert document.text == f"{PROSE}\n\n{CHINESE}"
    assert document.counts == {f"lines.{reason}": 1}
    text = f"{PROSE}\n\n{line}"
    assert run(text, boilerplate=False, symbols=False)[0].text is text


@pytest.mark.parametrize(
    "line",
    [
        "She wished to read more of it.",
        "点击按钮即可转到下一页。",
        "他为这件事点赞。",
        "The law says that all rights reserved by the author pass to the heirs, " * 3,
    ],
)
def test_prose_that_mentions_a_phrase_stays(line: str) -> None:
    text = f"{PROSE}\n{line}"
    assert run(text)[0].text is text


def test_menus_go_as_runs() -> None:
    menu = ["Home", "About us", "• Contact", "", "Blog", "Shop", "最新消息", "Cart", "Log in"]
    document, drop = run("\n".join([PROSE, *menu, CHINESE]))
    assert drop is None
    assert document.counts == {"lines.menu": 8}
    assert document.text == f"{PROSE}\n\n{CHINESE}"
    text = "\n".join([PROSE, *menu[:-1], CHINESE])
    assert run(text)[0].text is text
    verse = "\n".join(["Tyger tyger,", "burning bright,", "in the forests", "of the night;"] * 4)
    assert run(verse)[0].text is verse


def test_rules_of_the_recipe() -> None:
    text = f"{PROSE}\nID: 12345\nshort\n{'x ' * 450}\nBy Our Own Staff"
    document, drop = run(
        text, patterns=[r"^ID: \d+$"], phrases=["our own staff"], min_words=2, max_line_chars=800, max_removed=None
    )
    assert drop is None
    assert document.text == PROSE
    assert document.counts == {
        "lines.patterns": 1, "lines.min_words": 1, "lines.max_line_chars": 1, "lines.phrases": 1,
    }  # fmt: skip


def test_patterns_are_anchored_at_lines() -> None:
    document, _ = run("keep me\n  drop me\nkeep drop", patterns=[r"^drop"], boilerplate=False)
    assert document.text == "keep me\nkeep drop"


def test_a_pattern_must_compile() -> None:
    with pytest.raises(ValidationError, match="is no regular expression"):
        Lines(patterns=["("])


def test_documents_of_little_else_fall() -> None:
    text = "All rights reserved.\nA line."
    document, drop = run(text)
    assert document.text == "A line."
    assert drop == Drop("lines.max_removed", pytest.approx(1 - 7 / 28), 0.5)
    assert run(text, max_removed=0.8)[1] is None


def test_messages_are_rewritten_one_by_one() -> None:
    messages = [{"role": "user", "content": PROSE}, {"role": "assistant", "content": f"{CHINESE}\n责任编辑：李四"}]
    document = Document("0", f"{PROSE}\n{CHINESE}\n责任编辑：李四", "s", row={"messages": messages}, kind=CONVERSATION)
    assert Lines().apply(document) is None
    assert [message["content"] for message in document.row["messages"]] == [PROSE, CHINESE]
    assert document.text == f"{PROSE}\n{CHINESE}"


@pytest.mark.parametrize("text", ["", "\x00", "\n" * 1000, "\ud800\nx", "中" * 500_000, "." * 500_000])
def test_odd_texts_are_survived(text: str) -> None:
    run(text, patterns=["a+b"])


def test_of_an_empty_document_nothing_is_removed():
    assert Lines().apply(Document("0", "", "web")) is None
