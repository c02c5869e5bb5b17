"""Questions with answers in their texts: every layout of answers, offsets that are off, and texts that are edited."""

from __future__ import annotations

import pytest

from llmkit.data.rows import RowError, recognize
from llmkit.data.rows.span_answer import SpanAnswer

CONTEXT = "Ann met Bob. Bob met Ann in Bonn."
QUESTION = "Who met Ann?"
TEXTS = {"question": QUESTION, "context": CONTEXT}
KIND = SpanAnswer()


@pytest.mark.parametrize(("raw", "answers", "starts"), [
    ({"answers": [{"text": "Bob", "answer_start": 13}]}, ["Bob"], [13]),
    ({"answers": {"text": ["Bob", "Bonn"], "answer_start": [13, 28]}}, ["Bob", "Bonn"], [13, 28]),
    ({"answers": '{"text": ["Bob"], "answer_start": [13]}'}, ["Bob"], [13]),
    ({"answers": ["Bob"], "answer_start": [13]}, ["Bob"], [13]),
    ({"answers": "Bob", "answer_start": "13"}, ["Bob"], [13]),
    ({"answers": " Bob. ", "answer_start": 12}, ["Bob."], [13]),
    ({"answers": ["in Bonn"]}, ["in Bonn"], [25]),
    ({"answers": "in Bonn"}, ["in Bonn"], [25]),
    ({"answers": [{"text": "in Bonn"}]}, ["in Bonn"], [25]),
    ({"answers": []}, [], []),
    ({"answers": {"text": [], "answer_start": []}}, [], []),
    ({"answers": None, "is_impossible": True}, [], []),
    ({"answers": [], "is_impossible": True, "plausible_answers": [{"text": "Ann", "answer_start": 0}]}, [], []),
    ({"answers": "in Bonn", "answer_start": float("nan")}, ["in Bonn"], [25]),  # pandas: a column with gaps
    ({"answers": "[]"}, [], []),
    ({"answers": [{"text": "Bob", "answer_start": 11}]}, ["Bob"], [11]),  # off by two: kept, see the objective
])  # fmt: skip
def test_answers_in_any_layout(raw, answers, starts):
    assert KIND.parse({**TEXTS, **raw}) == {**TEXTS, "answers": answers, "answer_start": starts}


@pytest.mark.parametrize(("raw", "reason"), [
    ({"answers": [{"text": "Eve", "answer_start": 0}]}, "the answer 'Eve' does not stand in the context"),
    ({"answers": ["Bob"]}, "the answer 'Bob' stands 2 times in the context: which is meant?"),
    ({"answers": [{"text": "Bob", "answer_start": 500}]},
     "the answer 'Bob' does not stand near character 500 of the context"),
    ({"answers": [""]}, "answers.0 is empty"),
    ({"answers": None}, "field 'answers' is null"),
    ({"answers": 3}, "field 'answers' is a number, not an array"),
    ({"answers": [3]}, "answers.0 is a number, not a string"),
    ({"answers": [{"text": "Bob", "answer_start": "x"}]},
     "answers.0: its answer_start is a string, not the number of a character"),
    ({"answers": "Bob", "answer_start": float("inf")},
     "answers.0: its answer_start is a number, not the number of a character"),
    ({"answers": "Bob", "answer_start": "\u00b2"},
     "answers.0: its answer_start is a string, not the number of a character"),
    ({"answers": ["in Bonn", "Ann"], "answer_start": [25]}, "answers.1 has no answer_start, of which there are 1"),
    ({"answers": ["in Bonn"], "is_impossible": True}, "'is_impossible' is true, but there is an answer: 'in Bonn'"),
    ({"answers": [], "question": " "}, "field 'question' is empty"),
    ({"answers": [], "context": ""}, "field 'context' is empty"),
    ({}, "no field 'answers'; the row has: question, context"),
])  # fmt: skip
def test_what_is_no_row_says_why(raw, reason):
    with pytest.raises(RowError) as error:
        KIND.parse({**TEXTS, **raw})
    assert str(error.value) == reason


@pytest.mark.parametrize("answer", ["[2019]", "{}", '{"a": 1}', "[there"])
def test_an_answer_that_looks_like_json_is_an_answer(answer):
    raw = {"question": QUESTION, "context": f"See {answer}.", "answers": answer}
    assert KIND.parse(raw) == {**raw, "answers": [answer], "answer_start": [4]}


def row(answer="Bob", start=13):
    return {**TEXTS, "answers": [answer], "answer_start": [start]}


def test_an_answer_is_found_again_in_an_edited_text():
    lower = {name: text.lower() for name, text in KIND.texts(row()).items()}
    assert KIND.with_texts(row(), lower) == {
        "question": "who met ann?", "context": CONTEXT.lower(), "answers": ["bob"], "answer_start": [13],
    }  # fmt: skip
    longer = {**KIND.texts(row()), "context": f"One day, {CONTEXT}"}
    assert KIND.with_texts(row(), longer)["answer_start"] == [22]  # the second of two, as before
    emptied = {**KIND.texts(row()), "context": f"One day, {CONTEXT}", "answers.0": ""}  # too short for some step
    assert KIND.with_texts(row(), emptied)["answers"] == ["Bob"]


@pytest.mark.parametrize("context", ["Nobody came.", f"{CONTEXT} And Bob."])
def test_an_answer_that_is_lost_or_ambiguous_drops_its_row(context):
    with pytest.raises(RowError, match="the answer 'Bob' is not found in what is left of its context"):
        KIND.with_texts(row(), {**KIND.texts(row()), "context": context})
    with pytest.raises(RowError, match="context is empty"):
        KIND.with_texts(row(), {"context": ""})


def test_rows_of_one_text_go_to_one_side_and_differ():
    other = {**row(), "question": "Who met Bob?"}
    assert KIND.split_text(other) == KIND.split_text(row()) == CONTEXT
    assert KIND.key_text(other) != KIND.key_text(row())


def test_what_is_shown():
    twice = {**TEXTS, "answers": ["Bob", "Bob", "Ann"], "answer_start": [13, 13, 0]}
    assert KIND.show(twice)[-1] == ("answer", "Bob | Ann")
    assert KIND.show({**TEXTS, "answers": [], "answer_start": []})[-1] == ("answer", "(no answer)")


@pytest.mark.parametrize("names", [
    ["id", "title", "context", "question", "answers"], ["passage", "query", "answer", "answer_start"],
    ["question", "context", "answer_text", "start"],
])  # fmt: skip
def test_the_usual_columns_are_recognized(names):
    assert recognize(None, names, []).type_name == "span_answer"
