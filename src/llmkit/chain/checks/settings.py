"""The settings of a run: fields and values, and what its stage checks before it reads anything."""

from __future__ import annotations

from collections.abc import Iterator

from llmkit.chain.reads import MODEL_FIELDS
from llmkit.chain.runs import ABSENT, Chain, Finding, Run


def check(chain: Chain, run: Run) -> Iterator[Finding]:  # noqa: ARG001 - the interface
    """Say what is wrong with a recipe, all of it, or that it is right."""
    yield from run.problems
    if run.resolved is None:
        return
    for read in run.reads:
        if read.path == ABSENT and read.maker is None:
            yield run.found("unknown", f"not known before the command line gives {read.field.partition('.')[0]}")
    base = [read for name in MODEL_FIELDS for read in run.reading(name) if read.maker is not None or read.broken]
    if base and run.stage == "pretrain":  # its check reads the model, which may be made anew
        yield run.found("unknown", f"not all known before {base[0].shown} is there")
        return
    run.given.stage.check(run.config)
    yield run.found("ok", f"{len(type(run.config).model_fields)} fields")
