"""The labelled rows of a run are of a kind that its objective reads."""

from __future__ import annotations

from collections.abc import Iterator

from llmkit.chain.known import rows_of
from llmkit.chain.runs import ABSENT, Chain, Finding, Run


def check(chain: Chain, run: Run) -> Iterator[Finding]:
    """Compare the rows of a training with its objective, and settle what kind of rows a cleaning makes."""
    if run.stage == "clean" and (kind := rows_of(chain, run)) is not None:
        yield run.found("ok", f"rows are {kind.describe()}", about="inputs")
    objective = getattr(run.config, "objective", None)
    if not hasattr(objective, "rows"):
        return
    from llmkit.cleaning.reading import row_kind
    from llmkit.training.labelled import check_kind, choose_rows

    made = {id(read.source): read for read in run.reading("data")}
    there = []
    for source in run.config.data:
        read = made.get(id(source))
        if read is not None and read.maker is not None:
            if read.maker.makes == "examples" and read.maker.stage == "clean":
                kind = check_kind(rows_of(chain, read.maker), objective)
                words = f"{objective.type_name} reads the {kind.type_name} rows of {read.maker.label}"
                yield run.found("ok", words, about="objective")
        elif getattr(source, "path", "") != ABSENT:
            there.append(source)
    if there:
        sources = choose_rows(there, objective, run.config.columns)
        kind = check_kind(row_kind(sources, "data"), objective)
        yield run.found("ok", f"{objective.type_name} reads rows that are {kind.describe()}", about="objective")
