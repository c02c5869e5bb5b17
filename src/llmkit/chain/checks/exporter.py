"""The exporter can write a model of this architecture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llmkit.chain.known import first_place, model_of
from llmkit.chain.runs import Chain, Finding, Run
from llmkit.modeling.tokenizer import load_tokenizer


def check(chain: Chain, run: Run) -> Iterator[Finding]:
    """Ask the exporter."""
    exporter = getattr(run.config, "exporter", None)
    if exporter is None:
        return
    model = model_of(chain, first_place(run.reading("model")))
    if model is None:
        yield run.found("unknown", "not known before the model is there")
        return
    place = first_place(run.reading("model"))
    tokenizer = load_tokenizer(place) if isinstance(place, Path) else None
    try:
        why = exporter.supports(model.config, tokenizer)
    except (AttributeError, TypeError):
        if tokenizer is not None:
            raise
        yield run.found("unknown", "not known before the tokenizer is there")
        return
    if why:
        words = f"{exporter.type_name} cannot write a {model.config.model_type}: {why}"
        yield run.problem(words, about="exporter", hint=f"llmkit schema {run.stage} --fields lists the exporters")
        return
    yield run.found("ok", f"{exporter.type_name} of a {model.config.model_type}", about="exporter")
