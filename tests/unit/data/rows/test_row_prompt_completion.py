from __future__ import annotations

import pytest

from llmkit.data.rows import RowError, recognize
from llmkit.data.rows.prompt_completion import PromptCompletion


def test_two_texts_and_nothing_else():
    kind = PromptCompletion(columns={"completion": "answer"})
    row = kind.parse({"prompt": "2+2?", "answer": "4", "n": 1})
    assert row == {"prompt": "2+2?", "completion": "4"}
    assert kind.key_text(row) == "2+2?\n4"
    assert kind.target(row) is None
    assert kind.show(row) == [("prompt", "2+2?"), ("completion", "4")]


@pytest.mark.parametrize(("raw", "reason"), [
    ({"prompt": "a", "completion": " \n"}, "field 'completion' is empty"),
    ({"prompt": "", "completion": "b"}, "field 'prompt' is empty"),
    ({"prompt": "a", "completion": None}, "field 'completion' is null, not a string"),
    ({"prompt": ["a"], "completion": "b"}, "field 'prompt' is an array, not a string"),
])  # fmt: skip
def test_what_is_no_row_says_why(raw, reason):
    with pytest.raises(RowError) as error:
        PromptCompletion().parse(raw)
    assert str(error.value) == reason


def test_neither_text_may_be_emptied():
    with pytest.raises(RowError, match=r"^completion is empty$"):
        PromptCompletion().with_texts({"prompt": "a", "completion": "b"}, {"prompt": "a", "completion": "\n"})


def test_a_column_of_system_messages_is_read():
    rows = [{"system_prompt": "Be brief.", "question": "2+2?", "response": "4"}, {"question": "1+1?", "response": "2"}]
    kind = recognize(None, ["system_prompt", "question", "response"], rows)
    assert kind.describe() == (
        "prompt_completion (prompt from 'question', completion from 'response', system from 'system_prompt')"
    )
    first, second = map(kind.parse, rows)
    assert kind.turns(first) == [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"},
        {"role": "assistant", "content": "4"},
    ]  # fmt: skip
    assert kind.texts(first) == {"prompt": "2+2?", "completion": "4", "system": "Be brief."}
    assert second == {"prompt": "1+1?", "completion": "2", "system": ""}
    assert [turn["role"] for turn in kind.turns(second)] == ["user", "assistant"]
    assert [field.name for field in kind.kept().schema()] == ["prompt", "completion", "system"]
    plain = PromptCompletion()
    assert plain.joined(kind.kept()) == kind.kept().joined(plain) == kind.kept()
    assert [field.name for field in plain.schema()] == ["prompt", "completion"]
    with pytest.raises(RowError, match="field 'system_prompt' is a number, not a string"):
        kind.parse({**rows[0], "system_prompt": 4})
