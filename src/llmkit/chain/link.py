"""Make a chain of recipes: resolve each, and find out which of them writes what a later one reads.

Recipes do not say where their stage writes. An `-o` does; without it a run writes to the path that a later one reads
and that nothing else can have written: the recipe of that name, else the only earlier one that makes what is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmkit.chain.reads import DATA, reads_of
from llmkit.chain.runs import ABSENT, Chain, Finding, Given, Read, Run
from llmkit.core.errors import ConfigError
from llmkit.core.manifest import PARTIAL
from llmkit.core.reading import MANIFEST_NAME

MAKES = {"clean": "corpus", "tokenize": "tokens", "pretrain": "model", "finetune": "model"}
"""Kind of artifact by stage; one that is not here makes its own name. `clean` makes examples of labelled rows."""


def link(given: Sequence[Given]) -> Chain:
    """Return the chain of what was given, in that order."""
    runs = [_run(one) for one in given]
    for run in runs:
        run.makes = MAKES.get(run.stage, run.stage)
        if run.stage == "clean" and run.resolved is not None:
            _settle_rows(run, runs)
    _find_outputs(runs)
    for number, run in enumerate(runs):
        for read in run.reads:
            read.maker = _maker(read, runs[:number]) or _nearest(read, runs[:number])
            read.late = None if read.maker else _maker(read, runs[number:])
            read.broken = read.late is not None
    return Chain(runs)


def same_place(one: Path | str, other: Path | str) -> bool:
    """Tell whether two paths are the same."""
    return Path(one).expanduser().resolve() == Path(other).expanduser().resolve()


def _run(given: Given) -> Run:
    run = Run(given, output=given.output)
    fields = given.stage.config.model_fields
    absent: dict[str, Any] = {name: [ABSENT] for name in DATA if name in fields and fields[name].is_required()}
    if "model" in fields and fields["model"].annotation is str:
        absent["model"] = ABSENT
    try:
        run.resolved = given.stage.resolve(recipe=given.recipe, sets=given.sets, options=given.options, absent=absent)
    except ConfigError as error:
        where = "" if given.recipe is None else str(given.recipe)
        for line in error.message.split("\n"):
            field, _, words = line.partition(": ")
            about = (field, words) if words and " " not in field and where not in (field, field + ":") else ("", line)
            run.problems.append(
                Finding("problem", about[1], run.label, about[0], "", error.hint, error.exit_code, "settings")
            )
        return run
    run.reads = reads_of(run.stage, run.config)
    return run


def _settle_rows(run: Run, runs: Sequence[Run]) -> None:
    """Find out whether a cleaning makes a corpus or examples."""
    first = run.config.inputs[0]
    maker = next((maker for read in run.reads[:1] if read.source is first and (maker := _maker(read, runs))), None)
    if maker is not None and maker is not run and maker.makes and getattr(first, "row", None) in (None, "auto"):
        run.makes = maker.makes
    elif getattr(first, "path", "") != ABSENT:
        run.makes = first.kind()


def _maker(read: Read, runs: Sequence[Run]) -> Run | None:
    if read.path == ABSENT:
        return None
    return next((run for run in runs if run.output is not None and same_place(run.output, read.path)), None)


def _nearest(read: Read, before: Sequence[Run]) -> Run | None:
    """Return what a field reads that the recipe leaves to the command line: the last that makes such a thing."""
    if read.path != ABSENT:
        return None
    return next((run for run in reversed(before) if not read.kinds or run.makes in read.kinds), None)


def _find_outputs(runs: Sequence[Run]) -> None:
    """Give runs without an output that which later ones read."""
    for number, read in _wanted(runs):
        _by_name(read, number, runs)
    while any(_only(read, number, runs) for number, read in _wanted(runs)):
        pass


def _wanted(runs: Sequence[Run]) -> list[tuple[int, Read]]:
    """Return what is read and written by none so far, with the number of the run that reads it."""
    found = [(number, read) for number, run in enumerate(runs) for read in run.reads]
    return [(number, read) for number, read in found if not _maker(read, runs) and _may_be_made(read.path)]


def _may_be_made(path: str) -> bool:
    """Tell whether a stage may be going to write there, or has: raw data that is there is nobody's output."""
    place = Path(path)
    if path == ABSENT or place.suffix:
        return False
    return not place.exists() or (place / MANIFEST_NAME).exists() or (place / PARTIAL).is_dir()


def _by_name(read: Read, number: int, runs: Sequence[Run]) -> None:
    named = [run for run in runs[:number] if run.output is None and run.label == Path(read.path).name]
    _give(read, named)


def _only(read: Read, number: int, runs: Sequence[Run]) -> bool:
    free = [run for run in runs[:number] if run.output is None]
    return _give(read, [run for run in free if not read.kinds or run.makes in read.kinds])


def _give(read: Read, candidates: Sequence[Run]) -> bool:
    if len(candidates) != 1:
        return False
    candidates[0].output = Path(read.path)
    return True
