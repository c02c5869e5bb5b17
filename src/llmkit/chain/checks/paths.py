"""No two runs write to one place, none into what it reads or another writes, and none into what is not ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llmkit.chain.runs import ABSENT, Chain, Finding, Run
from llmkit.core.claim import check_owner


def check(chain: Chain, run: Run) -> Iterator[Finding]:
    """Compare where a run writes with what it reads and where those before it write."""
    if run.output is None:
        if any(run in (read.maker for read in other.reads) for other in chain.runs):
            return
        yield run.found("unknown", "where it writes is not known before -o says it")
        return
    out = run.output.expanduser().resolve()
    for other in chain.before(run):
        theirs = other.output.expanduser().resolve() if other.output is not None else None
        if theirs == out:
            yield run.problem(
                f"{run.label} and {other.label} both write to {run.output}",
                hint=f"llmkit preflight ... -r {run.label} -o {run.output}-2",
            )
            return
        if theirs is not None and (theirs in out.parents or out in theirs.parents):
            inner, outer = (run, other) if theirs in out.parents else (other, run)
            words = (
                f"{inner.output}, which {inner.label} writes, lies inside {outer.output}, which {outer.label} writes"
            )
            yield run.problem(words, hint=f"llmkit preflight ... -r {run.label} -o {run.stage}-{run.label}")
            return
    for read in run.reads:
        place = Path(read.path).expanduser().resolve()
        if read.path != ABSENT and read.late is None and (place == out or out in place.parents):
            words = f"the output {run.output} holds the input {read.path}: writing would remove it"
            yield run.problem(words, about=read.field, hint="choose another --output")
            return
    check_owner(run.output)
    yield run.found("ok", f"writes {run.output}")
