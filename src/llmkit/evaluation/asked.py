"""What tasks need to know of a model before they ask it anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmkit.core.errors import ConfigError
from llmkit.runtimes import Score

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.runtimes import Running

POSITIONS = 2048
"""Longest row of a model that has no limit of its own."""


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

    if model.tokenizer is None:
        raise ConfigError("runtime: it has no tokenizer here, and likelihoods are those of tokens")
    special_ids(model.tokenizer)
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
