"""The step finds out what a document is written in, and touches nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from llmkit.cleaning.steps.markup import Markup
from llmkit.data.chat import CONVERSATION
from llmkit.data.corpus import Document

MAN = """.TH LS 1
.SH 选项
.PP
这是第一行
和第二行。
"""
MAN_TEXT = "LS(1)\n\n选项\n\n这是第一行和第二行。"


def clean(text: str, *, meta: dict[str, Any] | None = None, **fields: Any) -> Document:
    document = Document(id="0", text=text, source="s", meta=meta or {})
    assert Markup(**fields).apply(document) is None
    return document


@pytest.mark.parametrize(
    ("declared", "source", "text"),
    [
        ("mediawiki", "'''a''' [[b|c]]", "a c"),
        ("Markdown", "# 标题", "标题"),
        ("man", ".B x", "x"),
        ("rst", "``x``", "x"),
    ],
)
def test_the_source_names_the_format(declared: str, source: str, text: str):
    document = clean(source, meta={"format": declared, "k": 1})
    assert document.text == text
    assert document.meta == {"format": "text", "k": 1}
    assert list(document.counts.values()) == [1]


def test_manual_pages_are_known_by_their_look():
    document = clean(MAN)
    assert document.text == MAN_TEXT
    assert document.counts == {"markup.roff": 1}
    assert clean("\n\n.SH 名称\n.PP\n文本").text == "名称\n\n文本"


@pytest.mark.parametrize(
    "text",
    [
        "# a *b* [c](d) ``e`` '''f''' [[g]]",
        ".SH alone is the macro for a section.\nNothing else.",
        "See .TH and .SH, or .PP\n.profile",
        "",
    ],
)
def test_other_text_is_untouched(text: str):
    document = clean(text)
    assert document.text is text
    assert document.meta == {}
    assert document.counts == {}


def test_html_is_left_to_its_own_step():
    text = ".TH x 1\n.SH y"
    document = clean(text, meta={"format": "html"})
    assert document.text is text
    assert document.meta == {"format": "html"}


def test_text_without_markup_is_the_same_object():
    text = "纯文本，没有标记。"
    document = clean(text, format="markdown")
    assert document.text is text
    assert document.counts == {}


def test_every_message_of_a_labelled_row_is_stripped():
    messages = [{"role": "user", "content": "*why*"}, {"role": "assistant", "content": "**so**"}]
    document = Document(
        id="0", text="*why*\n**so**", source="s", row={"messages": messages}, kind=CONVERSATION, meta={"format": "md"}
    )
    Markup().apply(document)
    assert [message["content"] for message in document.row["messages"]] == ["why", "so"]
    assert document.text == "why\nso"
