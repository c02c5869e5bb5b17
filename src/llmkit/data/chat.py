"""Conversations: rows as turns, the default chat template, and the text that a template makes of them.

The template that training uses is saved with the model, and `apply_chat_template` is what renders it in training,
evaluation and serving alike, so that the three cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmkit.core.errors import ConfigError, DataError
from llmkit.data.rows import Row
from llmkit.data.rows.messages import Messages

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Turns = Sequence[Mapping[str, str]]
"""A conversation as chat templates take it: {role, content} in order."""

CONVERSATION = Messages()
"""Rows that are conversations, as our own artifacts hold them."""

CONVERSATIONS = ("messages", "prompt_completion")
"""Kinds of rows that are conversations."""

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


def render(tokenizer: PreTrainedTokenizerFast, turns: Turns, *, prompt: bool = False) -> str:
    """Return the text of a conversation; with `prompt`, ending where the assistant is to speak.

    Raises:
        DataError: The template refuses the conversation, such as one whose roles do not alternate.
    """
    (text,) = render_all(tokenizer, [turns], prompt=prompt)
    if isinstance(text, DataError):
        raise text
    return text


def encode_prompt(tokenizer: PreTrainedTokenizerFast, turns: Turns) -> list[int]:
    """Return the ids up to where the assistant is to speak; no special token is added twice."""
    ids: list[int] = tokenizer(render(tokenizer, turns, prompt=True), add_special_tokens=False)["input_ids"]
    return ids


def render_all(
    tokenizer: PreTrainedTokenizerFast, conversations: Sequence[Turns], *, prompt: bool = False
) -> list[str | DataError]:
    """Return the text of each conversation, or why the template refuses it."""
    from jinja2 import TemplateError
    from transformers.utils.chat_template_utils import _compile_jinja_template

    # `apply_chat_template` does the same, three times as slowly: it also copies what may be no plain text.
    compiled = _compile_jinja_template(tokenizer.get_chat_template())
    shared = {"tools": None, "documents": None, "add_generation_prompt": prompt, **tokenizer.special_tokens_map}
    found: list[str | DataError] = []
    for turns in conversations:
        try:
            found.append(compiled.render(messages=turns, **shared))
        except TemplateError as error:
            roles = ", ".join(turn["role"] for turn in turns)
            refused = DataError(
                f"the chat template refuses a conversation of {roles}: {error}",
                hint="leave such conversations out of the data, or give the tokenizer another chat_template",
            )
            refused.__cause__ = error
            found.append(refused)
    return found
