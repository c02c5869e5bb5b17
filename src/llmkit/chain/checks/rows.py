"""The labelled rows of a run are of a kind that its objective reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmkit.chain.known import rows_of
from llmkit.chain.runs import Chain, Finding, Run


def check(chain: Chain, run: Run) -> Iterator[Finding]:
    """Compare the rows of a training with its objective, and settle what kind of rows a cleaning makes."""
    if run.stage == "clean" and (kind := rows_of(chain, run)) is not None:
        yield run.found("ok", f"rows are {kind.describe()}", about="inputs")
    objective: Any = getattr(run.config, "objective", None)
    if not hasattr(objective, "rows"):
        return
    from llmkit.cleaning.reading import row_kind
    from llmkit.training.labelled import check_kind, choose_rows

    for read in run.reading("data"):
        if read.maker is not None and read.maker.stage == "clean" and not read.broken:
            kind = check_kind(rows_of(chain, read.maker), objective)
            words = f"{objective.type_name} reads the {kind.type_name} rows of {read.maker.label}"
            yield run.found("ok", words, about="objective")
    if there := [source for _, source in run.raw("data")]:
        sources = choose_rows(there, objective, run.config.columns)
        kind = check_kind(row_kind(sources, "data"), objective)
        yield run.found("ok", f"{objective.type_name} reads rows that are {kind.describe()}", about="objective")
