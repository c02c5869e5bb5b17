"""Every step works on every kind of row: it reads the text that stands for the row, and edits its texts alone."""

from __future__ import annotations

import json

import pytest

from labelled import KINDS, MAKERS, TEXTS, kind_of
from llmkit.cleaning.steps import Drop, GlobalStep, Order
from llmkit.cleaning.steps.c4_quality import C4Quality
from llmkit.cleaning.steps.html import Html
from llmkit.cleaning.steps.lines import Lines
from llmkit.cleaning.steps.lowercase import Lowercase
from llmkit.cleaning.steps.normalize import Normalize
from llmkit.cleaning.steps.pii import Pii
from llmkit.cleaning.steps.word_list import WordList
from llmkit.core.registry import Family
from llmkit.data.corpus import Document
from llmkit.data.rows.tags import Tags

REQUIRED = {"cap": {"limit": 1}, "mixture": {"weights": {"s": 1.0}}, "word_list": {"words": ["harbour"]}}


def documents(name):
    kind = kind_of(name)
    rows = [kind.parse(MAKERS[name](text)) for text in TEXTS]
    return [Document(f"{i:032x}", kind.key_text(row), "s", "en", row, kind) for i, row in enumerate(rows)]


def tagged(*words):
    row = {"words": [*words], "tags": ["O"] * len(words)}
    return Document("0" * 32, Tags().key_text(row), "s", row=row, kind=Tags())


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("step", Family("step").members())
def test_a_step_leaves_a_row_of_its_kind_or_drops_it(tmp_path, step, name):
    fields = REQUIRED.get(step, {})
    if step == "decontaminate":
        (tmp_path / "set.jsonl").write_text(json.dumps({"text": TEXTS[0]}))
        fields = {"sets": [str(tmp_path / "set.jsonl")]}
    part = Family("step").parse({"type": step, **fields})
    recorder = part.recorder() if isinstance(part, GlobalStep) else None
    for number, document in enumerate(documents(name)):
        before = document.row
        if recorder is not None:
            recorder.add(number, document)
        elif isinstance(part, Order):
            part.order_key(document)
        elif part.apply(document) is not None:
            continue
        kind = document.kind
        assert kind.parse(document.row) == document.row
        assert document.text == kind.key_text(document.row)
        assert kind.target(document.row) == kind.target(before)
        assert list(kind.texts(document.row)) == list(kind.texts(before))
    assert recorder is None or recorder.tables()


@pytest.mark.parametrize("name", KINDS)
def test_texts_are_rewritten_and_nothing_else(name):
    for document, text in zip(documents(name), TEXTS, strict=True):
        assert Lowercase().apply(document) is None
        assert document.row == document.kind.parse(MAKERS[name](text.lower()))


@pytest.mark.parametrize("name", KINDS)
def test_a_row_in_which_nothing_changes_is_the_same_object(name):
    for document in documents(name):
        row, text = document.row, document.text
        assert Normalize().apply(document) is None
        assert document.row is row
        assert document.text is text


@pytest.mark.parametrize("name", [name for name in KINDS if name != "messages"])
def test_a_row_whose_text_is_emptied_falls_with_a_rule_of_its_own(name):
    document = documents(name)[2]
    first = next(iter(document.kind.texts(document.row)))
    document.row = document.kind.with_texts(document.row, {first: "harbour"})
    text = document.text
    drop = WordList(words=["harbour"], action="redact").apply(document)
    assert drop == Drop("word_list.emptied", f"{first} is empty", "no empty text")
    assert document.text == text  # the sample shows what fell


def test_steps_that_do_more_than_rewrite_drop_such_a_row_too():
    row = {"prompt": "<nav>Menu</nav>", "completion": "4"}
    kind = kind_of("prompt_completion")
    document = Document("0" * 32, kind.key_text(row), "s", row=row, kind=kind, meta={"format": "html"})
    assert Html().apply(document) == Drop("html.emptied", "prompt is empty", "no empty text")
    assert Pii(placeholder="").apply(tagged("write", "to", "a@example.com")).rule == "pii.emptied"
    assert Pii(placeholder="", action="drop").apply(tagged("a@example.com")).rule == "pii.email"


def test_steps_that_judge_lines_leave_single_words_alone():
    document = tagged("We", "agree", ".")
    assert Lines().apply(document) is None
    assert document.row["words"] == ["We", "agree", "."]
    C4Quality().apply(document)
    assert document.row["words"] == ["We", "agree", "."]
    text = {"text": "We agree that it is so.\n***", "label": "a"}
    kind = kind_of("text_label")
    document = Document("0" * 32, text["text"], "s", row=text, kind=kind)
    assert Lines().apply(document) is None
    assert document.row == {"text": "We agree that it is so.", "label": "a"}
