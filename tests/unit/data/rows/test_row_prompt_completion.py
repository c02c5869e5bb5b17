from __future__ import annotations

import pytest

from llmkit.data.rows import RowError
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
