"""Bits per byte and perplexities of texts that a model has scored, or why there are none.

Everything is computed from samples as `samples-TASK.jsonl` has them: `log_likelihood` in nats, `bytes` in UTF-8,
`tokens`, `unread_bytes` and, where they are counted, `words`, `whitespace_words`, and the `source` and `language` that
the text is of.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmkit.data.unread import MAX_UNREAD_SHARE, Unread
from llmkit.evaluation.measures import exponential, ratio

if TYPE_CHECKING:
    from llmkit.evaluation.measures import Measure

Samples = Sequence[Mapping[str, Any]]

MAX_PERPLEXITY = 1e12
"""A greater one is left out: it tells nothing that bits per byte do not, and its digits fill a line."""
MAX_GROUPS = 20
"""Sources, or languages, that have scores of their own: those with the most text."""
_PERPLEXITIES = (
    ("word_perplexity", "words", "words"),
    ("whitespace_word_perplexity", "whitespace_words", "words"),
    ("byte_perplexity", "bytes", "bytes"),
    ("token_perplexity", "tokens", "tokens"),
)
_SPACE = re.compile(r"\s+")


def count_whitespace_words(text: str) -> int:
    """Return the words of a text as lm-evaluation-harness counts them: what stands between runs of white space.

    Of a text that begins or ends with white space it counts an empty one there, and one of an empty text.
    """
    return len(_SPACE.split(text))


def unread_facts(unread: Unread) -> dict[str, int]:
    """Return what a sample says of text that the tokenizer did not read: `unread_bytes` and, if any, of which kind."""
    return {"unread_bytes": unread.total, **(unread.as_counts() if unread.total else {})}


def bits_per_byte(sample: Mapping[str, Any], log_likelihood: float) -> float | None:
    """Return the bits per byte of one sample; None where nothing of it was read."""
    read = sample["bytes"] - sample["unread_bytes"]
    return -log_likelihood / read / math.log(2) if read else None


def text_measures(
    samples: Samples, said: str = "log_likelihood", prefix: str = ""
) -> tuple[dict[str, Measure], list[str], dict[str, float]]:
    """Return bits_per_byte and the perplexities, sentences on what is left out, and the shares that were not read.

    Bits per byte are of the bytes that were read: unknown text costs nothing and counts nothing. What would mean
    nothing is left out: all of text of which more than 1% was not read, and perplexities over 10^12.

    Args:
        samples: The samples.
        said: Which of their numbers is the log-likelihood.
        prefix: What the names of the scores begin with.
    """
    unread, num_bytes = _unread(samples), sum(sample["bytes"] for sample in samples)
    shares, words = unread.shares(num_bytes), unread.words(num_bytes)
    if unread.is_too_much(num_bytes):
        reason = f"no scores: {words}, and with more than {100 * MAX_UNREAD_SHARE:g}% they mean nothing"
        return {}, [reason], shares
    nats = [sample[said] for sample in samples]
    read = [sample["bytes"] - sample["unread_bytes"] for sample in samples]
    bits = ratio(nats, read, scale=-1 / math.log(2), higher_is_better=False)
    measures: dict[str, Measure] = {f"{prefix}bits_per_byte": bits}
    notes = [f"{words}; bits per byte are of the others"] if words else []
    for name, counted, unit in _PERPLEXITIES:
        if not samples or counted not in samples[0]:
            continue
        counts = read if counted == "bytes" else [sample[counted] for sample in samples]
        if not sum(counts):
            notes.append(f"no {prefix}{name}: the text has no {unit}")
        elif -math.fsum(nats) / sum(counts) > math.log(MAX_PERPLEXITY):
            notes.append(f"no {prefix}{name}: it is over {MAX_PERPLEXITY:,.0f}")
        else:
            measures[f"{prefix}{name}"] = exponential(nats, counts)
    return measures, notes, shares


def group_measures(
    samples: Samples, by: str, said: str = "log_likelihood", prefix: str = ""
) -> tuple[dict[str, Measure], list[str]]:
    """Return the bits per byte of each group of samples, and sentences on groups that have none.

    Nothing where all are of one group. The groups with the most text come first.

    Args:
        samples: The samples.
        by: What they say of their group: `source` or `language`.
        said: Which of their numbers is the log-likelihood.
        prefix: What the names of the scores begin with.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for number, sample in enumerate(samples):
        if sample.get(by):
            groups[sample[by]].append(number)
    if len(groups) < 2:
        return {}, []
    sizes = {name: sum(samples[i]["bytes"] for i in members) for name, members in groups.items()}
    largest = sorted(groups, key=lambda name: (-sizes[name], name))[:MAX_GROUPS]
    notes = [f"by {by}: the {MAX_GROUPS} largest of {len(groups):,}"] if len(groups) > MAX_GROUPS else []
    measures: dict[str, Measure] = {}
    for name in largest:
        members, unread = set(groups[name]), _unread([samples[i] for i in groups[name]])
        if unread.is_too_much(sizes[name]) or unread.total >= sizes[name]:
            notes.append(f"no scores of {by} {name}: {unread.words(sizes[name]) or 'it has no text'}")
            continue
        nats = [sample[said] if i in members else 0.0 for i, sample in enumerate(samples)]
        read = [sample["bytes"] - sample["unread_bytes"] if i in members else 0 for i, sample in enumerate(samples)]
        bits = ratio(nats, read, scale=-1 / math.log(2), higher_is_better=False)
        measures[f"{prefix}bits_per_byte[{by}={name}]"] = bits
    return measures, notes


def _unread(samples: Samples) -> Unread:
    unread = Unread()
    for sample in samples:
        unread = unread.plus(Unread.in_counts(sample))
    return unread
