"""A step of every training fits into memory, by the estimate that `llmkit plan` and the training itself make."""

from __future__ import annotations

from collections.abc import Iterator

from llmkit.chain.room import training_of
from llmkit.chain.runs import Chain, Finding, Run
from llmkit.core.page import size


def check(chain: Chain, run: Run) -> Iterator[Finding]:
    """Compare what a training needs with what there is."""
    if not hasattr(run.config, "objective"):
        return
    found = training_of(chain, run)
    parallel = run.config.parallel
    split = parallel.activation_checkpointing or parallel.shard not in (None, 1, "auto") or parallel.tensor > 1
    if found is None:
        yield run.found("unknown", "not known before the model is there")
    elif found.memory is None or split:
        yield run.found("unknown", f"{found.parameters:,} parameters; what a step of it takes is not known beforehand")
    else:
        from llmkit.training.memory import MARGIN

        words = f"a step needs about {size(found.memory.total)} of memory, {size(found.limit)} are there"
        hint = (
            f"-s {run.label}.micro_batch_tokens={run.config.context_length} gives the same result with less at a time"
        )
        if found.memory.total > found.limit * MARGIN:
            yield run.problem(words, about="micro_batch_tokens", code=4, hint=hint)
        elif found.memory.total > found.limit:
            yield run.found("warning", words, about="micro_batch_tokens", hint=hint)
        else:
            yield run.found("ok", f"{words}; {found.parameters:,} parameters")
