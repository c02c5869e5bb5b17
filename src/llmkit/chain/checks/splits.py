"""There is something to validate on, and the split that an evaluation reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

from llmkit.chain.runs import Chain, Finding, Read, Run
from llmkit.core.manifest import read_manifest
from llmkit.data.artifacts import Tokens
from llmkit.data.split import Split

FRACTIONS = {"validation": "validation_fraction", "test": "test_fraction"}


def check(chain: Chain, run: Run) -> Iterator[Finding]:  # noqa: ARG001 - the interface
    """Look for the splits that a training and the tasks of an evaluation need."""
    if run.stage == "pretrain":
        missing = [read for read in run.reading("data") if _has(read, "validation") is False]
        if missing and len(missing) == len(run.reading("data")):
            yield run.found(
                "warning",
                f"{missing[0].shown} has no validation split: nothing will say how the model does on new text",
                about=missing[0].field,
                hint=_way(missing[0], "validation"),
            )
    elif getattr(run.config, "validation_fraction", None) == 0 and hasattr(run.config, "objective"):
        words = "validation_fraction is 0: nothing will say how the model does on new rows"
        yield run.found("warning", words, about="validation_fraction", hint="-s validation_fraction=0.02")
    for number, task in enumerate(getattr(run.config, "tasks", ())):
        split = getattr(task, "split", "")
        for read in run.reading(f"tasks.{number}") if split else ():
            if _has(read, split) is False:
                words = f"{read.shown} has no split '{split}', which {task.type_name} measures on"
                yield run.problem(words, about=f"tasks.{number}.split", code=3, hint=_way(read, split))


def _has(read: Read, split: str) -> bool | None:
    """Tell whether tokens have a split; None where that is not known, or where they are a corpus."""
    if read.maker is not None:
        tokens = read.maker.stage == "tokenize" and read.maker.resolved is not None and split in FRACTIONS
        return getattr(read.maker.config, FRACTIONS[split]) > 0 if tokens else None
    place = Path(read.path)
    manifest = read_manifest(place)
    return Tokens(place).has(cast("Split", split)) if manifest is not None and manifest.kind == Tokens.KIND else None


def _way(read: Read, split: str) -> str:
    label = read.maker.label if read.maker is not None else "tokenize"
    return f"-s {label}.{FRACTIONS.get(split, 'validation_fraction')}=0.02"
