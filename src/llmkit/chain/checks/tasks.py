"""The tasks of an evaluation can read the rows that their data hold, and the model can write what they ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llmkit.chain.known import first_place, model_of, rows_of
from llmkit.chain.runs import Chain, Finding, Run
from llmkit.core.manifest import read_manifest
from llmkit.data.rows import Row
from llmkit.modeling.architecture import position_limit

CONVERSATIONS = ("answers", "generation")
"""Tasks that ask a question and look at the answer."""


def check(chain: Chain, run: Run) -> Iterator[Finding]:
    """Look at every task."""
    for number, task in enumerate(getattr(run.config, "tasks", ())):
        name = f"tasks.{number}"
        for read in run.reading(name):
            place = read.place
            if place is None:
                continue
            if isinstance(place, Path) and read_manifest(place) is None:
                continue  # told with the links
            kind = rows_of(chain, place)
            if task.type_name in CONVERSATIONS and kind is not None and type(kind).turns is Row.turns:
                words = f"{task.type_name} asks questions, and {read.shown} holds {kind.describe()}"
                yield run.problem(words, about=read.field, hint="name examples that are conversations")
            elif kind is not None:
                yield run.found("ok", f"{task.type_name} reads {kind.type_name} rows", about=read.field)
        yield from _room(chain, run, name, getattr(task, "max_new_tokens", 0))


def _room(chain: Chain, run: Run, name: str, new: int) -> Iterator[Finding]:
    for role in ("model", "baseline"):
        model = model_of(chain, first_place(run.reading(role))) if new and run.reading(role) else None
        limit = position_limit(model.config) if model is not None else None
        if limit is not None and new >= limit:
            words = f"{new:,} leave no room for a question in the {limit:,} positions of the {role}"
            yield run.problem(words, about=f"{name}.max_new_tokens", hint=f"-s {run.label}.{name}.max_new_tokens=64")
