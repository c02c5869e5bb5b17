from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings

from labelled import write_examples
from llmkit.cleaning.reading import row_kind
from llmkit.core.errors import ConfigError
from llmkit.data.artifacts import Examples
from llmkit.data.chat import CONVERSATION, conversation, conversations_in, exchange, mark_trained, turns
from llmkit.data.corpus import CorpusWriter, Document, examples_row
from llmkit.data.rows import RowError, recognize
from llmkit.data.rows.messages import Messages
from llmkit.data.rows.prompt_completion import PromptCompletion
from llmkit.data.rows.text_label import TextLabel
from llmkit.data.sources.files import Files
from odd_chats import ROWS

CHAT = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]


def test_the_text_of_a_conversation_is_what_is_said():
    row = Messages(columns={"messages": "chat"}).parse({"chat": CHAT, "n": 1})
    assert row == {"messages": CHAT}
    assert CONVERSATION.key_text(row) == "2+2?\n4"
    assert CONVERSATION.texts(row) == {"messages.0": "2+2?", "messages.1": "4"}
    assert CONVERSATION.show(row) == [("user", "2+2?"), ("assistant", "4")]


def test_a_turn_may_be_empty_after_cleaning_and_roles_stay():
    changed = CONVERSATION.with_texts({"messages": CHAT}, {"messages.1": ""})
    assert changed == {"messages": [CHAT[0], {"role": "assistant", "content": ""}]}
    assert CHAT[1]["content"] == "4"


def test_errors_name_the_column_and_the_turn():
    kind = conversations_in("chat")
    assert kind.columns == {"messages": "chat"}
    with pytest.raises(RowError, match=r"^chat\.1\.role is 'bot'; did you mean 'assistant'\?$"):
        kind.parse({"chat": [CHAT[0], {"role": "bot", "content": "4"}]})
    with pytest.raises(RowError, match=r"^field 'chat' has no message of the assistant$"):
        kind.parse({"chat": CHAT[:1]})


def test_rows_as_turns():
    pair = {"prompt": "2+2?", "completion": "4"}
    assert turns(CONVERSATION, conversation("2+2?", "4")) == turns(PromptCompletion(), pair) == CHAT
    assert exchange(PromptCompletion(), pair) == exchange(CONVERSATION, {"messages": CHAT}) == ([CHAT[0]], "4")
    assert exchange(CONVERSATION, {"messages": CHAT[1:]}) == ([], "4")
    assert exchange(CONVERSATION, {"messages": [*CHAT, CHAT[0]]}) is None
    with pytest.raises(ConfigError, match="rows of the kind text_label are no conversations"):
        exchange(TextLabel(), {"text": "a", "label": "b"})


CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo", "days": 1.0}'}}
SCHEMA = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
TALK = [
    {"role": "user", "content": [{"type": "text", "text": "Warm"}, {"type": "text", "text": "there?"}]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "21"},
    {"role": "assistant", "content": "Yes.", "reasoning": "21 is warm.", "weight": 0},
]
KEPT = [
    {"role": "user", "content": "Warm\nthere?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "21", "tool_call_id": "c1"},
    {"role": "assistant", "content": "Yes.", "reasoning_content": "21 is warm.", "weight": 0},
]


def read(*rows, **fields):
    kind = Messages(**fields).recognize(list(dict.fromkeys(name for row in rows for name in row)), rows)
    return kind, [kind.parse(row) for row in rows]


def refused(messages, **beside):
    with pytest.raises(RowError) as error:
        Messages(holds="all").parse({"messages": messages, **beside})
    return str(error.value)


def test_tools_calls_reasoning_and_weights_are_read():
    kind, (row,) = read({"messages": TALK, "tools": [SCHEMA]})
    assert kind.holds == "all"
    assert row["messages"] == KEPT
    assert json.loads(row["tools"]) == [SCHEMA]
    assert kind.parse(row) == row
    assert kind.describe() == "messages (messages, tools; with reasoning, tool_calls, tool_call_id, weight)"
    turns = kind.turns(row)
    assert turns[0] == {**KEPT[0], "tools": [SCHEMA]}
    assert turns[1]["tool_calls"][0]["function"]["arguments"] == {"city": "Oslo", "days": 1.0}
    assert turns[2:] == KEPT[2:]


def test_what_stands_for_a_row_has_its_calls_and_steps_change_words_alone():
    kind, (row,) = read({"messages": TALK, "tools": [SCHEMA]})
    assert kind.key_text(row) == 'Warm\nthere?\nweather({"city": "Oslo", "days": 1.0})\n21\n21 is warm.\nYes.'
    texts = {name: text.upper() for name, text in kind.texts(row).items()}
    assert texts == {
        "messages.0": "WARM\nTHERE?", "messages.2": "21", "messages.3.reasoning_content": "21 IS WARM.",
        "messages.3": "YES.",
    }  # fmt: skip
    louder = kind.with_texts(row, texts)
    assert kind.key_text(louder) == 'WARM\nTHERE?\nweather({"city": "Oslo", "days": 1.0})\n21\n21 IS WARM.\nYES.'
    assert louder["messages"][1]["tool_calls"] == [CALL]
    assert kind.show(row)[1:] == [
        ("user", "Warm\nthere?"), ("assistant calls", 'weather({"city": "Oslo", "days": 1.0})'), ("tool", "21"),
        ("assistant thinks", "21 is warm."), ("assistant, not learned", "Yes."),
    ]  # fmt: skip


def test_sharegpt_with_calls_is_the_same_conversation():
    said = [
        {"from": "human", "value": "Warm\nthere?"},
        {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "Oslo", "days": 1.0}}'},
        {"from": "observation", "value": "21"},
        {"from": "gpt", "value": "Yes."},
    ]
    kind, (row,) = read({"conversations": said, "system": "Be brief.", "tools": json.dumps([SCHEMA])})
    assert kind.describe() == "messages (messages from 'conversations' as ShareGPT's from and value, tools, system)"
    system, user, call, tool, answer = kind.turns(row)
    assert system == {"role": "system", "content": "Be brief.", "tools": [SCHEMA]}
    assert (user["role"], tool, answer) == ("user", {"role": "tool", "content": "21"}, {**CHAT[1], "content": "Yes."})
    called = {"name": "weather", "arguments": {"city": "Oslo", "days": 1.0}}
    assert call == {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": called}]}


def test_plain_conversations_are_kept_as_they_always_were():
    kind, (row,) = read({"messages": CHAT, "id": 1})
    assert (kind.kept(), row) == (CONVERSATION, {"messages": CHAT})
    assert kind.kept().record() == {"type": "messages", "columns": {}, "holds": "text"}
    assert kind.schema() == CONVERSATION.schema()
    assert [field.name for field in kind.whole().schema()] == ["messages", "tools"]
    assert kind.turns(row) == CHAT
    with pytest.raises(
        RowError, match=r"it has weight, and the first rows have not: row: \{type: messages, holds: all"
    ):
        kind.parse({"messages": [CHAT[0], {**CHAT[1], "weight": 0}]})
    assert kind.whole().parse({"messages": CHAT, "tools": None}) == {"messages": CHAT}


def test_what_is_not_read_of_messages_is_said():
    kind, _ = read({"messages": [{**CHAT[0], "lang": "en", "toxic": False}, {**CHAT[1], "name": None, "audio": None}]})
    assert kind.describe() == "messages (messages; not read of messages: lang, toxic)"


@pytest.mark.parametrize(("value", "tools"), [
    ([], None), ("", None), (None, None), ("[]", None),
    ('[{"name": "a", "x": null}]', [{"name": "a", "x": None}]),  # JSON says what it says
    ([{"name": "a", "x": None, "of": [{"y": None}]}], [{"name": "a", "of": [{}]}]),  # filled up by Parquet
    (['{"name": "a"}'], [{"name": "a"}]),
])  # fmt: skip
def test_tools_are_a_list_or_json(value, tools):
    row = Messages(holds="all").parse({"messages": CHAT, "tools": value})
    assert Messages(holds="all").turns(row)[0].get("tools") == tools


@pytest.mark.parametrize(("call", "arguments"), [
    ({"name": "f", "arguments": {"a": 1, "b": None}}, {"a": 1}),
    ({"function": {"name": "f", "arguments": '{"a": null}'}}, {"a": None}),
    ({"function": {"name": "f", "arguments": ""}}, {}),
    ({"function": {"name": "f"}, "index": 0}, {}),
])  # fmt: skip
def test_arguments_reach_templates_as_objects(call, arguments):
    kind = Messages(holds="all")
    row = kind.parse({"messages": [CHAT[0], {"role": "assistant", "tool_calls": [call]}]})
    (found,) = kind.turns(row)[1]["tool_calls"]
    assert found["function"] == {"name": "f", "arguments": arguments}
    assert kind.parse(row) == row


def test_calls_as_openai_once_had_them():
    talk = [
        CHAT[0],
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "4"},
    ]
    _, (row,) = read({"messages": talk})
    assert [message["role"] for message in row["messages"]] == ["user", "assistant", "tool"]
    assert row["messages"][1]["tool_calls"] == [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]


@pytest.mark.parametrize(("messages", "reason"), [
    ([CHAT[0], {"role": "asistant", "content": "4"}], "messages.1.role is 'asistant'; did you mean 'assistant'?"),
    ([CHAT[0], {"role": "gpt", "content": "4"}], "messages.1.role is 'gpt'; did you mean 'assistant'?"),
    ([CHAT[0], {"role": "assistant", "content": " "}],
     "field 'messages' has no message of the assistant that is not empty"),
    ([{"role": "system", "content": "a"}, {"role": "system", "content": "b"}, *CHAT],
     "field 'messages' has two system messages; templates take one, at the beginning"),
    ([CHAT[0], {"role": "assistant", "content": None}], "messages.1.content is null, not a string"),
    ([CHAT[0], {"role": "assistant", "content": None, "tool_calls": []}], "messages.1.content is null, not a string"),
    ([CHAT[0], {**CHAT[1], "weight": 0.5}], "messages.1.weight is 0.5; valid: 0 (read, but not learned), 1"),
    ([CHAT[0], {**CHAT[1], "weight": "1"}], "messages.1.weight is a string; valid: 0 (read, but not learned), 1"),
    ([{**CHAT[0], "weight": 1}, CHAT[1]],
     "messages.0.weight is 1, of the role user; only what the assistant says is learned"),
    ([{**CHAT[0], "tool_calls": [CALL]}, CHAT[1]],
     "messages.0.tool_calls are of the role user; only the assistant calls tools"),
    ([CHAT[0], {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{a: 1}"}}]}],
     "messages.1.tool_calls.0.function.arguments is no JSON: Expecting property name enclosed in double quotes at"
     " character 2"),
    ([CHAT[0], {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}],
     "messages.1.tool_calls.0.function.arguments is an array, not an object"),
    ([CHAT[0], {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": '{"a": NaN}'}}]}],
     "messages.1.tool_calls.0.function.arguments is no JSON that can be read: NaN is no number"),
    ([CHAT[0], {"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}],
     "messages.1.tool_calls.0.function.name is null, not a string"),
    ([CHAT[0], {"role": "assistant", "tool_calls": [{"type": "custom", "function": {"name": "f"}}]}],
     "messages.1.tool_calls.0.type is 'custom'; only calls of functions are read"),
    ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}, CHAT[1]],
     "messages.0.content.0.type is 'image_url'; only text is read"),
    ([{**CHAT[0], "images": ["a.png"]}, CHAT[1]], "messages.0 has images; only text is read"),
    ([CHAT[0], {**CHAT[1], "tool_call": []}], "messages.1 has the key 'tool_call'; did you mean 'tool_calls'?"),
    ([CHAT[0], {**CHAT[1], "reasoning": ["x"]}], "messages.1.reasoning_content is an array, not a string"),
])  # fmt: skip
def test_what_is_wrong_is_said_with_the_message(messages, reason):
    assert refused(messages) == reason


def test_tools_that_are_none_are_refused():
    assert refused(CHAT, tools="browser") == "field 'tools' is no JSON: Expecting value at character 1"
    assert refused(CHAT, tools='{"name": "a"}') == "field 'tools' is an object, not an array"
    assert refused(CHAT, tools=["a"]) == "field 'tools'.0 is no JSON: Expecting value at character 1"
    assert refused(CHAT, tools=[1]) == "field 'tools'.0 is a number, not an object"
    assert refused(CHAT, system=5) == "the system message beside the conversation is a number, not a string"


def test_an_artifact_gives_all_of_a_conversation_back(tmp_path):
    kind, rows = read({"messages": TALK, "tools": [SCHEMA]}, {"messages": CHAT, "tools": None})
    place = write_examples(tmp_path / "new", kind.kept(), rows)
    assert examples_row(place) == kind.kept()
    assert [kind.parse(row) for row in Examples(place).rows()] == rows
    assert [kind.turns(row) for row in Examples(place).rows()] == [kind.turns(row) for row in rows]
    source = Files(path=str(place))
    records = [record for file in source.files() for record in source.read(file)]
    assert [record.fields for record in records] == rows
    assert not any({"meta", "source", "id"} & record.meta.keys() for record in records)
    assert [record.text for record in records] == [kind.key_text(row) for row in rows]


def test_rows_of_an_old_artifact_go_with_new_ones(tmp_path):
    old = write_examples(tmp_path / "old", CONVERSATION, [{"messages": CHAT}], named=False)
    (tmp_path / "new.jsonl").write_text(json.dumps({"messages": TALK, "tools": [SCHEMA]}) + "\n")
    sources = [Files(path=str(old)), Files(path=str(tmp_path / "new.jsonl"), row="auto")]
    kind = row_kind(sources, "inputs")
    assert kind == Messages(holds="all") == row_kind(sources[::-1], "inputs")
    writer = CorpusWriter(tmp_path, kind)
    for source in sources:
        for record in source.read(source.files()[0]):
            writer.write(Document("0" * 32, record.text, "s", row=record.fields, kind=kind))
    writer.close()
    assert [kind.parse(row) for row in Examples(tmp_path).rows()] == [
        {"messages": CHAT}, {"messages": KEPT, "tools": json.dumps([SCHEMA])},
    ]  # fmt: skip


@given(ROWS)
@settings(max_examples=400)
def test_any_json_is_a_conversation_or_says_why_not(raw):
    kind = Messages().recognize(list(raw), [raw]) if "messages" in raw else Messages(holds="all")
    assert kind.describe().startswith("messages (")
    try:
        row = kind.parse(raw)
    except RowError as error:
        assert str(error)
        return
    assert kind.parse(row) == row
    assert kind.with_texts(row, kind.texts(row)) == row
    assert all(isinstance(turn["content"], str) for turn in kind.turns(row))
    assert isinstance(kind.key_text(row), str)
    assert all(isinstance(text, str) for _, text in kind.show(row))
    arrays = [pa.array([row.get(field.name)], field.type) for field in kind.schema()]
    kept = {field.name: array.to_pylist()[0] for field, array in zip(kind.schema(), arrays, strict=True)}
    assert kind.parse(kept) == row


def test_trl_s_prompt_and_completion_are_one_conversation_of_which_the_second_half_is_learned():
    system, few = {"role": "system", "content": "Add."}, [*CHAT[:1], {"role": "assistant", "content": "shown"}]
    raw = {"prompt": [system, *few, CHAT[0]], "completion": [{"role": "assistant", "content": "learned"}]}
    kind = recognize(None, list(raw), [raw])
    assert kind.describe() == "messages (messages from 'prompt' and 'completion', which alone is learned)"
    row = kind.parse(raw)
    assert row == {"messages": [system, few[0], {**few[1], "weight": 0}, CHAT[0], *raw["completion"]]}
    assert [turn.get("train", True) for turn in mark_trained(kind.turns(row), "assistant")] == [
        True, True, False, True, True,
    ]  # fmt: skip
    assert kind.kept() == Messages(holds="all")
    assert kind.needed() == ["prompt", "completion"]
    for broken, reason in (
        ({**raw, "completion": [CHAT[0]]}, "field 'completion' has no message of the assistant"),
        ({**raw, "prompt": "2 + 2?"}, "field 'prompt' is a string, not an array"),
        ({"prompt": raw["prompt"]}, "no field 'completion'"),
        ({**raw, "completion": [{"role": "assistant"}]}, "completion.0.content is null, not a string"),
    ):
        with pytest.raises(RowError) as error:
            kind.parse(broken)
        assert str(error.value).startswith(reason)


def test_prompts_and_completions_that_are_texts_are_no_lists_of_messages():
    raw = {"prompt": "2 + 2?", "completion": "4"}
    assert recognize(None, list(raw), [raw]).type_name == "prompt_completion"
    lists = {"prompt": [CHAT[0]], "completion": [{"role": "assistant", "content": "4"}]}
    assert recognize(None, list(raw), [raw, lists]).type_name == "prompt_completion"
    assert recognize(None, list(raw), [lists, raw, lists]).type_name == "messages"
