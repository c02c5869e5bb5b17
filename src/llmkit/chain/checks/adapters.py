"""An adapter such as LoRA is trained beside a whole model: not beside another adapter, nor beside one that is split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llmkit.chain.runs import Chain, Finding, Read, Run
from llmkit.core.adapter import is_adapter


def check(chain: Chain, run: Run) -> Iterator[Finding]:  # noqa: ARG001 - the interface
    """Look at the model that an adapter is trained on."""
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
    if isinstance(read.place, Run):
        maker = read.place.resolved
        if maker is None or getattr(maker.config, "merge", False):
            return False
        return bool(getattr(getattr(maker.config, "adapter", None), "is_apart", False))
    return isinstance(read.place, Path) and is_adapter(read.place)
