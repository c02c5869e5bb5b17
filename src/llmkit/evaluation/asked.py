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

    from llmkit.runtimes import Running

POSITIONS = 2048
"""Longest row of a model that has no limit of its own."""
STRETCHES = (1, 2, 4, 8, *sorted(side << power for power in range(3, 24) for side in (2, 3)))
"""First positions of the stretches of a context: doubled, from 16 on with one between: 16, 24, 32, 48, 64."""


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
