"""Instructions with their input: what is asked is both."""

from __future__ import annotations

import pytest

from labelled import write_examples
from llmkit.data.chat import exchange
from llmkit.data.rows import RowError, recognize
from llmkit.data.rows.alpaca import Alpaca
from llmkit.data.sources.files import Files

ROW = {"instruction": "Add", "input": "2 + 2", "output": "4"}


def test_the_question_is_the_instruction_and_its_input():
    kind = Alpaca()
    assert exchange(kind, kind.parse(ROW)) == ([{"role": "user", "content": "Add\n\n2 + 2"}], "4")
    for empty in ("", "  ", None):
        row = kind.parse({**ROW, "input": empty})
        assert row == {"instruction": "Add", "input": "", "output": "4"}
        assert exchange(kind, row) == ([{"role": "user", "content": "Add"}], "4")
        assert kind.texts(row) == {"instruction": "Add", "output": "4"}
        assert kind.with_texts(row, {"instruction": "Sum", "output": "5"}) == {
            **row,
            "instruction": "Sum",
            "output": "5",
        }


def test_a_row_without_its_answer_is_none():
    with pytest.raises(RowError, match=r"^field 'output' is empty$"):
        Alpaca().parse({**ROW, "output": " "})
    with pytest.raises(RowError, match=r"^field 'input' is a number, not a string$"):
        Alpaca().parse({**ROW, "input": 4})


@pytest.mark.parametrize(("raw", "described"), [
    (ROW, "alpaca (instruction, input behind a blank line, output)"),
    ({"instruction": "Add", "context": "", "response": "4", "category": "math"},
     "alpaca (instruction, input from 'context' behind a blank line, output from 'response')"),
    ({"instruction": "Add", "output": "4"}, "prompt_completion (prompt from 'instruction', completion from 'output')"),
    ({"input": "Add", "output": "4"}, "prompt_completion (prompt from 'input', completion from 'output')"),
])  # fmt: skip
def test_rows_are_instructions_where_an_input_stands_beside_them(raw, described):
    assert recognize(None, list(raw), [raw]).describe() == described


def test_what_was_said_before_stands_before_the_question():
    raw = {**ROW, "history": [["Hello", "Hi!"], ["Ready?", "Yes"]], "system": "Be brief."}
    kind = recognize(None, list(raw), [raw])
    assert kind.describe() == ("alpaca (history before it, instruction, input behind a blank line, output, system)")
    row = kind.parse(raw)
    assert exchange(kind, row) == (
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi!"},
            {"role": "user", "content": "Ready?"},
            {"role": "assistant", "content": "Yes"},
            {"role": "user", "content": "Add\n\n2 + 2"},
        ],
        "4",
    )
    assert list(kind.texts(row)) == [
        "history.0.0", "history.0.1", "history.1.0", "history.1.1", "instruction", "input", "output", "system",
    ]  # fmt: skip
    changed = kind.with_texts(row, {**kind.texts(row), "history.1.1": "No", "output": "5"})
    assert changed["history"] == [["Hello", "Hi!"], ["Ready?", "No"]]
    assert (changed["output"], row["history"][1][1]) == ("5", "Yes")
    assert kind.parse({**ROW, "history": None})["history"] == []
    assert kind.parse({**ROW, "history": '[["a", "b"]]'})["history"] == [["a", "b"]]


@pytest.mark.parametrize(("history", "reason"), [
    ([["a"]], "field 'history.0' has 1 texts, not a question and an answer"),
    ([["a", " "]], "field 'history.0.1 is empty"),
    ("none", "field 'history' is a string, not an array"),
])  # fmt: skip
def test_a_history_that_is_none_is_said(history, reason):
    with pytest.raises(RowError) as error:
        Alpaca(history=True).parse({**ROW, "history": history})
    assert str(error.value).replace("'", "") == reason.replace("'", "")


def test_rows_with_and_without_a_history_go_together():
    assert Alpaca().joined(Alpaca(history=True)) == Alpaca(history=True)
    assert Alpaca(history=True).joined(Alpaca(system=True)) == Alpaca(history=True, system=True)


@pytest.mark.parametrize("more", [{}, {"system": "Be brief."}, {"history": [["a", "b"]]},
                                  {"system": "Be brief.", "history": [["a", "b"]]}])  # fmt: skip
def test_an_artifact_is_read_as_ours_whatever_its_rows_have(tmp_path, more):
    raw = {**ROW, **more}
    kind = recognize(None, list(raw), [raw])
    place = write_examples(tmp_path / "rows", kind.kept(), [kind.parse(raw)])
    source = Files(path=str(place))
    (record,) = [record for file in source.files() for record in source.read(file)]
    assert record.fields == kind.parse(raw)
    assert not {"meta", "source", "id"} & record.meta.keys(), "they are the artifact's own columns"
