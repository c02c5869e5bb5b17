"""What is found out of the encoded rows and said before the first step, so that training on nothing looks like it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from llmkit.core.errors import DataError
from llmkit.core.page import percent
from llmkit.data.row_facts import RowFacts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.core.console import Console
    from llmkit.data.encoding import Counts
    from llmkit.data.packing import EncodedRows
    from llmkit.objectives.rows import RowObjective

MANY = 0.01
"""Share of the rows from which copies are worth a warning."""


def check_rows(
    train: EncodedRows,
    held_out: EncodedRows,
    objective: RowObjective,
    tokenizer: PreTrainedTokenizerFast,
    console: Console,
    *,
    fraction: float,
) -> dict[str, Any]:
    """Say what stands out of the rows that are trained on; costs a few passes over their ids.

    Args:
        train: The rows to train on.
        held_out: Those to validate on.
        objective: What is learned of them.
        tokenizer: The model's.
        console: Where to.
        fraction: Share of the rows that were to be held out.

    Returns:
        The same in numbers, for the manifest.

    Raises:
        DataError: Nothing is learned of any row.
    """
    if fraction and not len(held_out):
        rows = len(np.unique(train.positions))  # of which some may be several examples
        console.warn(
            f"validation_fraction {fraction:g} leaves none of {rows:,} rows to validate on: raise it, or name"
            " validation_data"
        )
    goes_on = objective.model_head().answer == "tokens" and _go_on(train)
    spoken = goes_on and objective.learns_answers
    facts = RowFacts.of(train, spoken=spoken)
    if facts is None:
        return {}
    found = _say_targets(facts, train, objective, console, spoken=spoken)
    found |= _say_copies(facts, objective, console, spoken=spoken)
    if goes_on:
        _say_begins(facts, tokenizer, console)
    if spoken:
        found |= _say_ends(facts, objective.end_ids(tokenizer, train), tokenizer, console)
    return found


def say_leaks(counts: Mapping[str, Counts], held: Mapping[str, Counts], console: Console) -> dict[str, Any]:
    """Say how many rows of validation data of their own stand in the training data as well, by their whole text."""
    keys = np.array(held["validation"].keys, np.uint64)
    leaks = int(np.isin(keys, np.array(counts["train"].keys, np.uint64)).sum())
    if leaks:
        console.warn(
            f"{leaks:,} of {len(keys):,} validation rows stand in the training data, too: what validation says of them"
            " is no measure"
        )
    return {"validation_rows_in_training": leaks}


def _go_on(rows: EncodedRows) -> bool:
    """Whether labels stand at the ids that they follow, not in a sequence of their own."""
    if not {"input_ids", "labels"} <= {*rows.ragged}:
        return False
    return bool((rows.lengths("input_ids") == rows.lengths("labels")).all())


def _say_targets(
    facts: RowFacts, rows: EncodedRows, objective: RowObjective, console: Console, *, spoken: bool
) -> dict[str, Any]:
    total = int(facts.targets.sum())
    if not total:
        raise DataError(
            f"data: none of {len(rows):,} rows has {objective.target}: nothing would be learned",
            "llmkit finetune ... --preview 3 shows what of each row is learned",
        )
    none, bare = int((facts.targets == 0).sum()), int((facts.targets == 1).sum())
    if none:
        console.warn(f"{none:,} rows have no {objective.target}: they are read and nothing is learned of them")
    if int(facts.targets.max()) < 2:
        return {}
    middle, tokens = float(np.median(facts.targets)), int(rows.num_tokens.sum())
    share = f", {percent(total, tokens)} of all tokens" if spoken else ""
    console.info(f"{objective.target}: {middle:,.0f} a row (median){share}")
    if spoken and bare:
        console.warn(f"{bare:,} rows have an answer of which only the end is learned: it is empty")
    return {"targets_median": middle, **({"target_share": round(total / tokens, 4)} if spoken else {})}


def _say_copies(facts: RowFacts, objective: RowObjective, console: Console, *, spoken: bool) -> dict[str, Any]:
    copies, conflicts, total = facts.duplicates(), facts.conflicts(), len(facts.asked)
    if copies:
        say = console.warn if copies > MANY * total else console.info
        say(f"{copies:,} of {total:,} rows are copies of others; the step exact_duplicates of llmkit clean drops them")
    if conflicts and spoken:  # several good answers to a question are usual
        console.info(f"{conflicts:,} of {total:,} rows ask what others ask, and have another answer")
    elif conflicts:
        console.warn(f"{conflicts:,} of {total:,} rows have the text of others, and other {objective.target}")
    return {"duplicates": copies, "conflicting": conflicts}


def _say_begins(facts: RowFacts, tokenizer: PreTrainedTokenizerFast, console: Console) -> None:
    """Say where rows begin with two BOS, or with none although the tokenizer writes one before every text."""
    bos, name = tokenizer.bos_token_id, tokenizer.bos_token
    if bos is None:
        return
    twice = int(((facts.first == bos) & (facts.second == bos)).sum())
    if twice and bos != tokenizer.eos_token_id:
        console.warn(f"{twice:,} rows begin with {name} twice: the chat template writes it twice")
    without = int((facts.first != bos).sum())
    if without and tokenizer("a")["input_ids"][:1] == [bos]:
        console.warn(f"{without:,} rows do not begin with {name}, which the tokenizer puts before every other text")


def _say_ends(facts: RowFacts, ends: list[int], tokenizer: PreTrainedTokenizerFast, console: Console) -> dict[str, Any]:
    learned = facts.targets > 0
    open_ends = int((learned & ~np.isin(facts.last, ends)).sum())
    if open_ends:
        names = " or ".join(tokenizer.convert_ids_to_tokens(ends)) or "no end token"
        console.warn(
            f"{open_ends:,} of {int(learned.sum()):,} rows do not end with a token at which generation stops ({names}):"
            " the model does not learn to stop there"
        )
    return {"open_ends": open_ends}
