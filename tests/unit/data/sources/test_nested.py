"""SQuAD's files, articles of paragraphs of questions, as rows: one a question."""

from __future__ import annotations

import json

import pytest
from source_rows import read, write

from llmkit.core.found import recognize
from llmkit.data.sources import Broken, Record
from llmkit.data.sources._nested import flat_rows, is_nested

FERRY = {"context": "The ferry leaves at nine.", "qas": [
    {"id": "1", "question": "What leaves?", "answers": [{"text": "The ferry", "answer_start": 0}]},
    {"id": "2", "question": "Who?", "answers": [], "is_impossible": True},
]}  # fmt: skip
BOAT = {
    "context": "A boat.",
    "qas": [{"id": "3", "question": "What?", "answers": [{"text": "boat", "answer_start": 2}]}],
}
ARTICLES = [{"title": "empty", "paragraphs": []}, {"title": "sea", "paragraphs": [FERRY, BOAT]}]
SQUAD = {"version": "v2.0", "data": ARTICLES}


@pytest.mark.parametrize("value", [SQUAD, ARTICLES, {"paragraphs": [FERRY, BOAT]}, [FERRY, BOAT]])
@pytest.mark.parametrize("indent", [None, 1])
def test_each_question_is_a_row(tmp_path, value, indent):
    path = write(tmp_path / "squad.json", json.dumps(value, indent=indent))
    found = read(path, row="auto")
    assert [record.fields["question"] for record in found] == ["What leaves?", "Who?", "What?"]
    assert [record.fields["answers"] for record in found] == [["The ferry"], [], ["boat"]]
    assert [record.meta["id"] for record in found] == ["1", "2", "3"]
    assert [record.row for record in found] == [0, 1, 2]
    titled = isinstance(value, list) is False and "data" in value
    assert not titled or {record.meta["title"] for record in found} == {"sea"}
    assert recognize(path) == "span_answer"


def test_what_is_broken_is_one_row_and_its_neighbours_are_kept(tmp_path):
    broken = [FERRY, {"qas": [{"question": "Where?", "answers": []}]}, "text", {"context": "x", "qas": [7]}, BOAT]
    path = write(tmp_path / "squad.json", json.dumps({"data": [{"paragraphs": broken}]}))
    found = read(path, row="auto")
    assert [type(one) for one in found] == [Record, Record, Broken, Broken, Broken, Record]
    assert [one.reason for one in found if isinstance(one, Broken)] == [
        "no field 'context'; the row has: question, answers", "the row is a string, not an object",
        "the row is a number, not an object",
    ]  # fmt: skip


def test_rows_with_paragraphs_of_text_stay_as_they_are(tmp_path):
    rows = [{"text": "a", "paragraphs": ["b", "c"]}, {"text": "d", "paragraphs": []}]
    assert not is_nested(rows)
    assert [record.text for record in read(write(tmp_path / "a.json", json.dumps(rows)))] == ["a", "d"]


def test_columns_of_question_go_before_those_of_its_paragraph():
    assert [*flat_rows([{"id": 1, "title": "t", "qas": [{"id": 2}], "context": "c"}])] == [
        {"id": 2, "title": "t", "context": "c"}
    ]
