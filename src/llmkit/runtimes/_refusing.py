"""Why a model of transformers does not answer a request: every kind needs its head, and the words name another way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit.core.registry import Family
from llmkit.runtimes import Fill, Generate, Logits, Losses, Request, Score

if TYPE_CHECKING:
    from llmkit.runtimes._in_memory import InMemory
    from llmkit.runtimes._onnx_running import OnnxRunning
    from llmkit.runtimes._requests import Judge


def why_not(running: InMemory | OnnxRunning, request: Request) -> str | None:
    """Return why a request cannot be answered; None if it can. A second line, if any, says what to do instead."""
    if isinstance(request, Logits):
        return None
    if isinstance(request, Losses):
        return _not_learned(running, request.judge)
    if request.inputs and not isinstance(request, Generate):
        return "it reads text alone here, and the request has other inputs as well"
    if isinstance(request, Generate) and running.head.answer == "tokens":
        return None if isinstance(request.prompt[0], int) else "prompts are ids here, not turns"
    if isinstance(request, Score | Generate):
        return None if _is(running, "causal_lm") else _no_language_model(running)
    if isinstance(request, Fill):
        return None if _fills(running) else _no_masks(running)
    return running.heads.takes(request)


def _no_language_model(running: InMemory | OnnxRunning) -> str:
    from llmkit.modeling.heads.causal_lm import CausalLM

    hint = f"name another, for example of {CausalLM.examples}"
    if _fills(running):
        hint += "; the task pseudo_perplexity scores texts with this one"
    if goal := running.head.objective:
        hint += f"; `llmkit pretrain --model {running.where} -s objective={goal}` goes on with this one"
    return f"it {CausalLM.refusal}: {_saved_as(running)}\n{hint}"


def _not_learned(running: InMemory | OnnxRunning, judge: Judge | None) -> str | None:
    own = running.head.type_name
    if judge is None and running.head.objective is None:
        return f"its head is {own}, which no objective over documents trains"
    if judge is None or _is(running, judge.head) or (judge.head == "masked_lm" and _is(running, "pretraining")):
        return None
    return f"{judge.type_name} is what models with the head {judge.head} learn, and this one has {own}"


def _is(running: InMemory | OnnxRunning, head: str) -> bool:
    """Tell whether a model has a head, or one of the user's own that is derived from it."""
    return isinstance(running.head, Family("head").load(head))


def _fills(running: InMemory | OnnxRunning) -> bool:
    return running.head.answer == "token_labels" and not hasattr(running.head, "labels")


def _no_masks(running: InMemory | OnnxRunning) -> str:
    from llmkit.modeling.heads.masked_lm import MaskedLM

    hint = "\nthe task perplexity scores causal language models" if _is(running, "causal_lm") else ""
    return f"it {MaskedLM.refusal}: {_saved_as(running)}{hint}"


def _saved_as(running: InMemory | OnnxRunning) -> str:
    return f"it was saved as {', '.join(running.config.architectures or [running.config.model_type])}"
