"""An objective of chats has a chat template, or the tokens that the default one is made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llmkit.chain.known import first_place, tokenizer_of
from llmkit.chain.runs import Chain, Finding, Run
from llmkit.core.errors import nearest
from llmkit.data.rendering import chosen_template, templates_in
from llmkit.data.templates.shipped import DEFAULT_TOKENS, SHIPPED


def check(chain: Chain, run: Run) -> Iterator[Finding]:
    """Look for the template of a training on chats."""
    objective = getattr(run.config, "objective", None)
    if not getattr(objective, "chats", False):
        return
    base = run.reading("model")
    known = tokenizer_of(chain, first_place(base))
    if known is None:
        yield run.found("unknown", "not known before the model is there")
        return
    if known.template:
        if isinstance(place := first_place(base), Path):
            chosen_template(templates_in(place), run.config.template)
        yield run.found("ok", f"{known.where} has a chat template", about="template")
        return
    if run.config.template in SHIPPED:
        yield run.found("ok", f"it gets the chat template '{run.config.template}' and its tokens", about="template")
        return
    if run.config.template is not None:
        words = f"the model has no chat template '{run.config.template}'{nearest(run.config.template, SHIPPED)}"
        yield run.problem(words, about="template", hint="leave it out: the default one is ChatML")
        return
    gone = [token for token in DEFAULT_TOKENS if known.vocabulary is None or token not in known.vocabulary.ids]
    if gone:
        yield run.problem(
            f"the tokenizer of {known.where} has no chat template, and the default one needs {' and '.join(gone)}",
            about="objective",
            code=3,
            hint=f"tokenize with --set 'tokenizer.special_tokens={list(DEFAULT_TOKENS)}'".replace("'<", '"<').replace(
                ">'", '>"'
            ),
        )
        return
    yield run.found("ok", "no chat template is there: it gets the ChatML one, whose tokens are", about="objective")
