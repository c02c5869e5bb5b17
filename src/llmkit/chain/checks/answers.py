"""A model can answer what is asked of it: a prediction needs a head that predicts, a task one that scores or writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llmkit.chain.known import first_place, head_of_place
from llmkit.chain.runs import Chain, Finding, Run
from llmkit.modeling.heads.causal_lm import CausalLM
from llmkit.prediction.model import check_predicts
from llmkit.runtimes import Generate, Request, Score
from llmkit.runtimes.transformers import Transformers

if TYPE_CHECKING:
    from llmkit.modeling.heads import Head


def check(chain: Chain, run: Run) -> Iterator[Finding]:
    """Compare the heads of the models with what a prediction, or the tasks of an evaluation, ask."""
    if run.stage == "predict" and run.config.answer == "auto":
        head = head_of_place(chain, first_place(run.reading("model")))
        if head is None:
            yield run.found("unknown", "not known before the model is there")
            return
        check_predicts(head, f"model: {run.reading('model')[0].shown}")
        yield run.found("ok", f"{head.type_name} predicts", about="model")
    elif isinstance(getattr(run.config, "runtime", None), Transformers):
        for role in ("model", "baseline"):
            yield from _of_tasks(chain, run, role)


def _of_tasks(chain: Chain, run: Run, role: str) -> Iterator[Finding]:
    head = head_of_place(chain, first_place(run.reading(role)))
    if head is None:
        return
    for task in run.config.tasks:
        if not _answers(head, task.example):
            words = f"{run.reading(role)[0].shown} has the head {head.type_name}, which does not answer"
            hint = "name a causal language model; llmkit predict asks the other heads"
            words = f"{words} the {task.example.kind} requests of {task.type_name}"
            yield run.problem(words, about=role, code=3, hint=hint)
            return
    yield run.found("ok", f"{head.type_name} answers all tasks", about=role)


def _answers(head: Head, request: Request) -> bool:
    if isinstance(request, Generate):
        return head.answer == "tokens"
    return isinstance(head, CausalLM) or not isinstance(request, Score)
