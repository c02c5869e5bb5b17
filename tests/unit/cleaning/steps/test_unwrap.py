"""What is wrapped is joined, what is not stays letter by letter."""

from __future__ import annotations

import textwrap

import pytest

from layouts import CODE, FREE_VERSE, LIST, LOG, MENU, PARAGRAPHS, TABLE, VERSE
from llmkit.cleaning.steps.unwrap import Unwrap
from llmkit.data.corpus import Document


def unwrap(text: str) -> str:
    document = Document("0", text, "s")
    assert Unwrap().apply(document) is None
    return document.text


def test_paragraphs_become_lines() -> None:
    text = "\n\n".join(textwrap.fill(p, 72) for p in PARAGRAPHS)
    assert unwrap(text) == "\n\n".join(PARAGRAPHS)
    assert unwrap(unwrap(text)) == unwrap(text)


def test_the_report_counts_joined_lines() -> None:
    document = Document("0", textwrap.fill(PARAGRAPHS[0], 72), "s")
    lines = document.text.count("\n")
    Unwrap().apply(document)
    assert document.counts == {"lines": lines}


@pytest.mark.parametrize("text", [VERSE, FREE_VERSE, CODE, TABLE, LIST, MENU, LOG], ids=lambda text: text.split()[0])
def test_everything_else_stays(text: str) -> None:
    assert unwrap(text) is text
    prose = "\n\n".join(textwrap.fill(p, 72) for p in PARAGRAPHS)
    assert unwrap(f"{prose}\n\n{text}\n\n{prose}") == "\n\n".join([*PARAGRAPHS, text, *PARAGRAPHS])


def test_headings_stay_above_their_paragraph() -> None:
    prose = textwrap.fill(PARAGRAPHS[0], 66)
    assert unwrap(f"CHAPTER I\n\n{prose}\n\nTHE END") == f"CHAPTER I\n\n{PARAGRAPHS[0]}\n\nTHE END"


def test_margins_of_quotations_and_items_go() -> None:
    quoted = textwrap.fill(PARAGRAPHS[0], 70, initial_indent="> ", subsequent_indent="> ")
    item = textwrap.fill(PARAGRAPHS[1], 70, initial_indent="- ", subsequent_indent="  ")
    assert unwrap(f"{quoted}\n\n{item}") == f"> {PARAGRAPHS[0]}\n\n- {PARAGRAPHS[1]}"


def test_hyphens_and_chinese_get_no_space() -> None:
    words = "the boats that left at the turn of the tide were all of the older kind with a broad bow and a low-"
    text = textwrap.fill(words, 52) + "\n" + textwrap.fill(f"slung deck, and {words}", 52)
    assert "low-slung" in unwrap(text)
    sentence = "话说天下大势分久必合合久必分周末七国分争并入于秦及秦灭之后楚汉分争又并入于汉" * 3 + "。"
    assert unwrap("\n".join(textwrap.wrap(sentence, 35))) == sentence
