"""Conversations: rows as turns, and turns to ids with the assistant's part marked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmkit.core.errors import ConfigError, DataError
from llmkit.data.rendering import Turns, render_all
from llmkit.data.rows import Row
from llmkit.data.rows.messages import Messages

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerFast

Fast = Callable[[Sequence[str]], Sequence[tuple[NDArray[Any], NDArray[np.int64]] | None]]
"""Texts to the ids of each and the UTF-8 byte behind each id; None for what is left to the tokenizer."""

CONVERSATION = Messages()
"""Rows that are conversations, as our own artifacts hold them."""

CONVERSATIONS = ("messages", "prompt_completion")
"""Kinds of rows that are conversations."""


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


def encode_chats(
    tokenizer: PreTrainedTokenizerFast, conversations: Sequence[Turns], fast: Fast | None = None
) -> list[tuple[NDArray[Any], NDArray[np.bool_]] | DataError]:
    """Encode conversations and mark what the assistant says.

    The assistant's part is found by rendering the conversation up to each of its turns: that works with any template,
    whether or not it has `{% generation %}` tags. The end-of-turn token is part of what is said; blanks after it are
    not. A turn with which the assistant opens a conversation answers nothing and is only context.

    Args:
        tokenizer: The tokenizer, with a template.
        conversations: What to encode.
        fast: Finds the same ids as the tokenizer sooner, where it can.

    Returns:
        For each ids `[length]` and a mask `[length]`, true on the assistant's tokens; or why it cannot be encoded: the
        template refuses it, or rewrites earlier turns when more follow, so that no part can be found.
    """
    rendered = render_all(tokenizer, conversations)
    spans = _spoken(tokenizer, conversations, rendered)
    found: list[Any] = []
    left: list[tuple[int, str, list[tuple[int, int]]]] = []
    for number, (text, where) in enumerate(zip(rendered, spans, strict=True)):
        if isinstance(text, str) and not isinstance(where, DataError):
            left.append((number, text, where))
        found.append(text if isinstance(text, DataError) else where)
    if fast is not None:
        sooner = fast([text for _, text, _ in left])
        for (number, text, where), encoded in zip(left, sooner, strict=True):
            found[number] = encoded and _marked_by_bytes(*encoded, text, where)
        left = [item for item in left if found[item[0]] is None]
    texts = [text for _, text, _ in left]
    settings: Any = {"add_special_tokens": False, "return_offsets_mapping": True, "verbose": False}
    encodings = tokenizer(texts, **settings).encodings if texts else ()
    for (number, _, where), encoding in zip(left, encodings, strict=True):
        found[number] = _marked(encoding, where)
    return found


def _spoken(
    tokenizer: PreTrainedTokenizerFast, conversations: Sequence[Turns], rendered: Sequence[str | DataError]
) -> list[list[tuple[int, int]] | DataError]:
    """Return where the assistant's turns begin and end in the texts of conversations."""
    asked = [
        (number, i)
        for number, turns in enumerate(conversations)
        for i in range(1, len(turns))
        if turns[i]["role"] == "assistant" and isinstance(rendered[number], str)
    ]
    befores = render_all(tokenizer, [conversations[number][:i] for number, i in asked], prompt=True)
    inner = [(number, i) for number, i in asked if i + 1 < len(conversations[number])]
    afters = dict(zip(inner, render_all(tokenizer, [conversations[n][: i + 1] for n, i in inner]), strict=True))
    spans: list[list[tuple[int, int]] | DataError] = [[] for _ in conversations]
    for (number, i), before in zip(asked, befores, strict=True):
        full, own = rendered[number], spans[number]
        after = afters.get((number, i), full)
        if isinstance(own, DataError):
            continue
        if isinstance(before, DataError) or isinstance(after, DataError) or isinstance(full, DataError):
            spans[number] = next(text for text in (before, after, full) if isinstance(text, DataError))
        elif full.startswith(before) and full.startswith(after) and len(before) < len(after):
            own.append((len(before), len(after.rstrip())))
        else:
            spans[number] = DataError(
                "the chat template renders a turn differently when more follow: what the assistant says cannot be told",
                hint="use a template that writes each turn the same way",
            )
    return spans


def _marked_by_bytes(
    ids: NDArray[Any], ends: NDArray[np.int64], text: str, spans: Sequence[tuple[int, int]]
) -> tuple[NDArray[Any], NDArray[np.bool_]] | None:
    """Do what `_marked` does by the UTF-8 byte behind each id; None where a token lies across a border of a span."""
    mask = np.zeros(ids.size, dtype=bool)
    plain = text.isascii()
    for start, end in spans:
        if start >= end:
            continue
        a, b = (start, end) if plain else (len(text[:at].encode()) for at in (start, end))
        first, last = ends.searchsorted((a, b), "right").tolist()
        if (ends[first - 1] if first else 0) != a or ends[last - 1] != b:
            return None
        mask[first:last] = True
    return ids.astype(np.int64), mask


def _marked(encoding: Encoding, spans: Sequence[tuple[int, int]]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return ids, and which of them lie within spans of the text."""
    ids = np.array(encoding.ids, dtype=np.int64)
    mask = np.zeros(ids.size, dtype=bool)
    offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
    for start, end in spans:
        # Some tokenizers trim blanks from offsets, which leaves a token of blanks empty, at its own end.
        mask |= (offsets[:, 0] >= start) & (offsets[:, 1] <= end) & (offsets[:, 1] > start)
    return ids, mask


def literal_special(tokenizer: PreTrainedTokenizerFast, turns: Turns) -> str | None:
    """Return a special token that stands literally in a message, if there is one: it could fake a turn."""
    return next(literal_specials(tokenizer, [turns]))


def literal_specials(tokenizer: PreTrainedTokenizerFast, conversations: Iterable[Turns]) -> Iterator[str | None]:
    """Yield of each conversation a special token that stands literally in a message, if there is one."""
    tokens = {*tokenizer.all_special_tokens}
    tokens |= {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    longest_first = sorted(filter(None, tokens), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
    for turns in conversations:
        yield next((match[0] for turn in turns if (match := pattern.search(turn["content"]))), None)
