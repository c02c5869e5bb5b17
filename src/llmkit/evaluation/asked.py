"""What tasks need to know of a model before they ask it anything."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from llmkit.core.errors import ConfigError
from llmkit.runtimes import Score, ScoreParts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.runtimes import Ids, Running, Turns, Written

POSITIONS = 2048
"""Longest row of a model that has no limit of its own."""
STRETCHES = (1, 2, 4, 8, *sorted(side << power for power in range(3, 24) for side in (2, 3)))
"""First positions of the stretches of a context: doubled, from 16 on with one between: 16, 24, 32, 48, 64."""
PROMPT_END = 64
"""Last tokens of a prompt that are looked at for a thought that it begins."""


def positions_of(model: Running) -> int:
    """Return the longest row, in tokens."""
    return model.facts.positions or POSITIONS


def tokenizer_of(model: Running) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a model whose likelihoods are asked for.

    Raises:
        ConfigError: The runtime has none here.
        DataError: It has neither BOS nor EOS, so nothing can be scored from.
    """
    from llmkit.modeling.tokenizer import special_ids

    tokenizer = tokenizer_here(model)
    special_ids(tokenizer)
    return tokenizer


def tokenizer_here(model: Running) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a model that is asked about tokens.

    Raises:
        ConfigError: The runtime has none here.
    """
    if model.tokenizer is None:
        raise ConfigError(
            "runtime: it has no tokenizer here, and likelihoods are those of tokens",
            "-s runtime.type=openai -s runtime.tokenizer=DIR",
        )
    return model.tokenizer


def rolling_requests(ids: Sequence[int], *, start: int, max_length: int) -> list[Score]:
    """Cut a text into requests so that every id is a target exactly once.

    As lm-eval does: the first id is predicted from `start`; windows have `max_length` targets and one id of context;
    the last window is shifted left to full length, so that only the tail not yet scored is scored, with more context.
    """
    whole = (start, *ids)
    requests = []
    for begin in range(0, len(ids), max_length):
        end = min(begin + max_length, len(ids))
        left = max(0, end - max_length)
        requests.append(Score(whole[left : begin + 1], whole[begin + 1 : end + 1]))
    return requests


def in_stretches(request: Score) -> ScoreParts:
    """Return a request for the same score by stretches of the context: a target's position is the ids before it."""
    start = len(request.context)
    stop = start + len(request.target)
    inner = STRETCHES[bisect_right(STRETCHES, start) : bisect_right(STRETCHES, stop - 1)]
    parts = tuple(end - begin for begin, end in pairwise((start, *inner, stop)))
    return ScoreParts(request.context, request.target, parts)


def stretches_of(request: ScoreParts) -> Iterator[tuple[int, int]]:
    """Yield the first position of the stretch that each part lies in, and the part's tokens."""
    starts = accumulate(request.parts, initial=len(request.context))
    for start, size in zip(starts, request.parts, strict=False):
        yield STRETCHES[bisect_right(STRETCHES, start) - 1], size


def asks_in_chat(model: Running, chat: str) -> bool:
    """Return whether a model is asked through its chat template.

    Args:
        model: The model; of one without a tokenizer here the server has the template.
        chat: `on`, `off`, or `auto`: where it has a template.

    Raises:
        ConfigError: What is asked for cannot be.
    """
    if model.tokenizer is None:
        if chat == "off":
            raise ConfigError(
                "tasks.chat: off, but the model's tokenizer is not here: a server is sent turns",
                "-s runtime.type=openai -s runtime.tokenizer=DIR",
            )
        return True
    if chat == "on" and not model.tokenizer.chat_template:
        raise ConfigError("tasks.chat: on, but the model has no chat template", "-s tasks.0.chat=off")
    return chat != "off" and bool(model.tokenizer.chat_template)


def encoded(model: Running, text: str, *, chat: bool) -> Ids | Turns | None:
    """Return what a model is sent for a text: to go on with it or, in a chat, to answer it.

    None for a message that holds a token which could fake a turn.
    """
    from llmkit.data.borders import literal_special
    from llmkit.data.rendering import encode_prompt
    from llmkit.modeling.tokenizer import special_ids

    turns = ({"role": "user", "content": text},)
    if model.tokenizer is None:
        return turns
    if chat:
        is_fake = literal_special(model.tokenizer, list(turns)) is not None
        return None if is_fake else tuple(encode_prompt(model.tokenizer, list(turns)))
    if model.facts.two_sided:
        return tuple(model.tokenizer(text)["input_ids"])
    return (
        special_ids(model.tokenizer).bos,
        *model.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"],
    )


def shown_prompt(model: Running, prompt: Ids | Turns) -> str:
    """Return a prompt as text, with the special tokens that are sent."""
    if model.tokenizer is None:
        return "\n".join(str(turn["content"]) for turn in prompt if not isinstance(turn, int))
    return str(model.tokenizer.decode(list(prompt), clean_up_tokenization_spaces=False))


def answer_in(model: Running, prompt: Ids | Turns, written: Written) -> str:
    """Return what a chat model says, without what it thinks before."""
    from llmkit.data.thinking import decode_said, opened, split_thinking

    if written.ids is None or model.tokenizer is None:
        return split_thinking(written.text, None).answer
    begun = opened(shown_prompt(model, prompt[-PROMPT_END:]))
    return decode_said(model.tokenizer, written.ids, begun).answer
