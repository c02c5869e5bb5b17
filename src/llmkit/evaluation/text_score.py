"""Bits per byte and perplexities of texts that a model has scored, or why there are none.

Everything is computed from samples as `samples-TASK.jsonl` has them: `log_likelihood` in nats, `bytes` in UTF-8,
`tokens`, `unread_bytes` and, where words are counted, `words`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmkit.data.unread import MAX_UNREAD_SHARE, Unread
from llmkit.evaluation.measures import exponential, ratio

if TYPE_CHECKING:
    from llmkit.evaluation.measures import Measure

MAX_PERPLEXITY = 1e12
"""A greater one is left out: it tells nothing that bits per byte do not, and its digits fill a line."""
_PERPLEXITIES = (("word_perplexity", "words"), ("token_perplexity", "tokens"))


def unread_facts(unread: Unread) -> dict[str, int]:
    """Return what a sample says of text that the tokenizer did not read: `unread_bytes` and, if any, of which kind."""
    return {"unread_bytes": unread.total, **(unread.as_counts() if unread.total else {})}


def text_measures(
    samples: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Measure], list[str], dict[str, float]]:
    """Return bits_per_byte and the perplexities, sentences on what is left out, and the shares that were not read.

    Bits per byte are of the bytes that were read: unknown text costs nothing and counts nothing. What would mean
    nothing is left out: all of text of which more than 1% was not read, and perplexities over 10^12.
    """
    unread, num_bytes = Unread(), sum(sample["bytes"] for sample in samples)
    for sample in samples:
        unread = unread.plus(Unread.in_counts(sample))
    shares, words = unread.shares(num_bytes), unread.words(num_bytes)
    if unread.is_too_much(num_bytes):
        reason = f"no scores: {words}, and with more than {100 * MAX_UNREAD_SHARE:g}% they mean nothing"
        return {}, [reason], shares
    said = [sample["log_likelihood"] for sample in samples]
    read = [sample["bytes"] - sample["unread_bytes"] for sample in samples]
    bits = ratio(said, read, scale=-1 / math.log(2), higher_is_better=False)
    measures: dict[str, Measure] = {"bits_per_byte": bits}
    notes = [f"{words}; bits per byte are of the others"] if words else []
    for name, counted in _PERPLEXITIES:
        if not samples or counted not in samples[0]:
            continue
        counts = [sample[counted] for sample in samples]
        if not sum(counts):
            notes.append(f"no {name}: the text has no {counted}")
        elif -math.fsum(said) / sum(counts) > math.log(MAX_PERPLEXITY):
            notes.append(f"no {name}: it is over {MAX_PERPLEXITY:,.0f}")
        else:
            measures[name] = exponential(said, counts)
    return measures, notes, shares
