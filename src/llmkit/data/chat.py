"""Conversations: rows as turns, the default chat template, and turns to ids with the assistant's part marked.

The template that training uses is saved with the model, and `apply_chat_template` is what renders it in training,
evaluation and serving alike, so that the three cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmkit.core.errors import ConfigError, DataError
from llmkit.data.rows import Row
from llmkit.data.rows.messages import Messages

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Turns = Sequence[Mapping[str, str]]
"""A conversation as chat templates take it: {role, content} in order."""

CONVERSATION = Messages()
"""Rows that are conversations, as our own artifacts hold them."""

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML, with the BOS that every pretraining document starts with."""


def conversation(question: str, answer: str) -> dict[str, Any]:
    """Return the row of a question and its answer, of the kind `CONVERSATION`."""
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def conversations_in(column: str) -> Row:
    """Return the kind of rows that have a conversation in one column."""
    return Messages(columns={"messages": column})


def turns(kind: Row, row: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a row as a conversation.

    Raises:
        ConfigError: Rows of this kind are none.
    """
    found = kind.turns(row)
    if found is None:
        raise ConfigError(f"rows of the kind {kind.type_name} are no conversations")
    return found


def exchange(kind: Row, row: Mapping[str, Any]) -> tuple[list[dict[str, str]], str] | None:
    """Return the last answer of a conversation and the turns before it; None where it ends with another turn.

    Raises:
        ConfigError: Rows of this kind are no conversations.
    """
    *before, last = turns(kind, row)
    return (before, last["content"]) if last["role"] == "assistant" else None


def ensure_template(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Give the tokenizer the default template if it has none; return whether it was given one.

    Raises:
        DataError: The tokenizer has neither a template nor the tokens of the default one.
    """
    if tokenizer.chat_template:
        return False
    vocabulary = tokenizer.get_vocab()
    gone = [token for token in ("<|im_start|>", "<|im_end|>") if token not in vocabulary]
    if gone:
        raise DataError(
            f"the tokenizer has no chat template, and the default one needs {' and '.join(gone)}",
            hint="train it with `llmkit tokenize`, which adds them, or give the tokenizer a chat_template",
        )
    tokenizer.chat_template = CHAT_TEMPLATE
    return True


def render(tokenizer: PreTrainedTokenizerFast, messages: Turns, *, prompt: bool = False) -> str:
    """Return the text of a conversation; with `prompt`, ending where the assistant is to speak.

    Raises:
        DataError: The template refuses the conversation, such as one whose roles do not alternate.
    """
    from jinja2 import TemplateError

    try:
        text: str = tokenizer.apply_chat_template(
            [dict(message) for message in messages], tokenize=False, add_generation_prompt=prompt
        )
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise DataError(
            f"the chat template refuses a conversation of {roles}: {error}",
            hint="leave such conversations out of the data, or give the tokenizer another chat_template",
        ) from error
    return text


def encode_prompt(tokenizer: PreTrainedTokenizerFast, messages: Turns) -> list[int]:
    """Return the ids up to where the assistant is to speak; no special token is added twice."""
    ids: list[int] = tokenizer(render(tokenizer, messages, prompt=True), add_special_tokens=False)["input_ids"]
    return ids


def encode_chat(tokenizer: PreTrainedTokenizerFast, messages: Turns) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Encode a conversation and mark what the assistant says.

    The assistant's part is found by rendering the conversation up to each of its messages: that works with any
    template, whether or not it has `{% generation %}` tags. The end-of-turn token is part of what is said; blanks
    after it are not. A message with which the assistant opens a conversation answers nothing and is only context.

    Returns:
        ids `[length]` and a mask `[length]`, true on the assistant's tokens.

    Raises:
        DataError: The template rewrites earlier turns when more follow, so that no part can be found.
    """
    full = render(tokenizer, messages)
    spans = []
    for i, message in enumerate(messages):
        if message["role"] != "assistant" or i == 0:
            continue
        before, after = render(tokenizer, messages[:i], prompt=True), render(tokenizer, messages[: i + 1])
        if not (full.startswith(before) and full.startswith(after) and len(before) < len(after)):
            raise DataError(
                "the chat template renders a turn differently when more follow: what the assistant says cannot be told",
                hint="use a template that writes each turn the same way",
            )
        spans.append((len(before), len(after.rstrip())))
    encoding = tokenizer(full, add_special_tokens=False, return_offsets_mapping=True)
    offsets = np.array(encoding["offset_mapping"], dtype=np.int64).reshape(-1, 2)
    mask = np.zeros(len(offsets), dtype=bool)
    for start, end in spans:
        # Some tokenizers trim blanks from offsets, which leaves a token of blanks empty, at its own end.
        mask |= (offsets[:, 0] >= start) & (offsets[:, 1] <= end) & (offsets[:, 1] > start)
    return np.array(encoding["input_ids"], dtype=np.int64), mask


def literal_special(tokenizer: PreTrainedTokenizerFast, messages: Turns) -> str | None:
    """Return a special token that stands literally in a message, if there is one: it could fake a turn."""
    tokens = tokenizer.all_special_tokens + [
        token.content for token in tokenizer.added_tokens_decoder.values() if token.special
    ]
    return next((token for token in tokens for message in messages if token in message["content"]), None)
