"""Rows that look like conversations, as hypothesis draws them: every key with every kind of value."""

from __future__ import annotations

from hypothesis import strategies as st

from llmkit.data.rows._turns import READ

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": [1, null]}'}}
SOUND = (
    {"role": "user", "content": "so?"},
    {"role": "assistant", "content": "yes", "reasoning_content": "hm", "weight": 1},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "1", "tool_call_id": "c"},
    {"from": "human", "value": "so?"},
    {"from": "function_call", "value": '{"name": "f", "arguments": {}}'},
    {"from": "gpt", "value": "yes"},
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.floats(allow_nan=True), st.text(max_size=3),
    st.sampled_from(["user", "assistant", "system", "tool", "human", "function_call", "{}", "[", '[{"name": 1}]']),
)  # fmt: skip
NAMES = st.one_of(
    st.sampled_from([*sorted(READ), "type", "text", "function", "arguments", "id", "images", "name"]),
    st.text(max_size=3),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4))
)
MESSAGES = st.fixed_dictionaries({}, optional=dict.fromkeys(sorted(READ), VALUES))
ROWS = st.fixed_dictionaries({}, optional={
    "messages": st.one_of(VALUES, st.lists(st.one_of(MESSAGES, st.sampled_from([*SOUND])), max_size=4)),
    "tools": VALUES, "system": VALUES,
})  # fmt: skip
