"""An adapter is trained beside a whole model, not beside another one or a split one; virtual tokens end the chain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmkit.chain.runs import Chain, Finding, Read, Run
from llmkit.core.adapter import is_adapter

MAKERS = ("export", "finetune", "pretrain")
"""Stages that make another model of the one they read."""


def check(chain: Chain, run: Run) -> Iterator[Finding]:  # noqa: ARG001 - the interface
    """Look at the model that an adapter is trained on, and at what reads one."""
    for read in run.reading("model") if run.stage in MAKERS else ():
        made = _adapter_of(read.place)
        if made is not None and not made.merges:
            words = f"{read.shown} is an adapter of the kind {made.type_name}, whose virtual tokens cannot be merged"
            yield run.problem(words, about="model", hint="train with adapter=lora; eval and predict take it as it is")
    adapter = getattr(run.config, "adapter", None)
    if adapter is None:
        return
    for read in run.reading("model") if adapter.is_apart else ():
        if _leaves_adapter(read):
            words = f"{read.shown} is an adapter itself, and {adapter.type_name} needs a whole model"
            hint = f"export it first: -r export= --model {read.path} -o MERGED, then --model MERGED"
            yield run.problem(words, about="model", hint=hint)
    from llmkit.training.parallel import check_whole  # loads torch

    check_whole(run.config.parallel, adapter)


def _leaves_adapter(read: Read) -> bool:
    made = _adapter_of(read.place)
    if made is not None:
        return bool(made.is_apart and made.merges)
    return isinstance(read.place, Path) and is_adapter(read.place)


def _adapter_of(place: Any) -> Any:
    """Return the adapter that a run of the chain leaves; None for what it merges, and for all else."""
    if not isinstance(place, Run) or place.resolved is None or getattr(place.config, "merge", False):
        return None
    return getattr(place.config, "adapter", None)
