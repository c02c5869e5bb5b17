"""The tokenizer has, or will get, the special tokens that the objective needs: [MASK], sentinels, the end of a text."""

from __future__ import annotations

from collections.abc import Iterator

from llmkit.chain.known import first_place, tokenizer_of
from llmkit.chain.runs import Chain, Finding, Run
from llmkit.core.errors import DataError


def check(chain: Chain, run: Run) -> Iterator[Finding]:
    """Ask the objective."""
    objective = getattr(run.config, "objective", None)
    if objective is None:
        return
    known = tokenizer_of(chain, first_place(run.reading("data")) if run.stage == "pretrain" else run)
    if known is None or known.vocabulary is None:
        yield run.found("unknown", "not known before the tokenizer is there")
        return
    try:
        objective.check(known.vocabulary)
        if hasattr(objective, "check_sentinels"):
            objective.check_sentinels(known.vocabulary, run.config.context_length)
    except DataError as error:
        yield run.problem(error.message, about="objective", code=error.exit_code, hint=error.hint)
        return
    yield run.found("ok", f"{known.where} has what {objective.type_name} needs", about="objective")
