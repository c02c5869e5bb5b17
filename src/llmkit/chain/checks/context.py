"""A model has a position for every token of a block, and for what it is to write."""

from __future__ import annotations

from collections.abc import Iterator

from llmkit.chain.known import first_place, model_of
from llmkit.chain.runs import Chain, Finding, Run
from llmkit.modeling.architecture import position_limit
from llmkit.modeling.load import check_positions


def check(chain: Chain, run: Run) -> Iterator[Finding]:
    """Compare the context with the positions of the model that is trained."""
    length = getattr(run.config, "context_length", None)
    if not isinstance(length, int):
        return
    base = run.reading("model")
    model = model_of(chain, first_place(base) if base else run)
    if model is None:
        yield run.found("unknown", "not known before the model is there")
        return
    limit = position_limit(model.config)
    if limit is None:
        yield run.found("ok", f"{length:,} tokens, and the model has no limit of positions", about="context_length")
        return
    if base and not run.is_given("context_length") and run.stage != "pretrain":
        length = min(length, limit)  # as the run does it
    check_positions(model.config, length, model.where)
    yield run.found("ok", f"{length:,} of {limit:,} positions", about="context_length")
