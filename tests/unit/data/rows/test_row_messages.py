from __future__ import annotations

import pytest

from llmkit.core.errors import ConfigError
from llmkit.data.chat import CONVERSATION, conversation, conversations_in, exchange, turns
from llmkit.data.rows import RowError
from llmkit.data.rows.messages import Messages
from llmkit.data.rows.prompt_completion import PromptCompletion
from llmkit.data.rows.text_label import TextLabel

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
    with pytest.raises(RowError, match=r"^chat\.1\.role is 'bot'; valid: system, user, assistant$"):
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
