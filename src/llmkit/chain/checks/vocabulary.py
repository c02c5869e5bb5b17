"""The ids of a tokenizer have rows in the embedding of the model, and all data of a training have one tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llmkit.chain.known import first_place, model_of, tokenizer_of
from llmkit.chain.runs import Chain, Finding, Run
from llmkit.modeling.load import check_extension, check_vocabulary
from llmkit.modeling.tokenizer import load_tokenizer


def check(chain: Chain, run: Run) -> Iterator[Finding]:
    """Compare the tokenizer with the model that is trained."""
    if not hasattr(run.config, "objective"):
        return
    if run.stage == "pretrain":
        yield from _one_tokenizer(chain, run)
        if run.reading("model"):
            yield from _of_base(chain, run)
            return
    model = model_of(chain, run)
    if model is None or model.tokenizer is None or model.tokenizer.size is None:
        yield run.found("unknown", "not known before the tokenizer is there")
        return
    size, rows = model.tokenizer.size, int(model.config.get_text_config().vocab_size)
    check_vocabulary(model.config, size, model.tokenizer.where)
    most = "at most " if model.tokenizer.trained else ""
    yield run.found("ok", f"{most}{size:,} tokens, {rows:,} rows in the embedding", about="model")


def _one_tokenizer(chain: Chain, run: Run) -> Iterator[Finding]:
    """Refuse data of several tokenizers: two that are trained are never the same."""
    first = None
    for read in run.reading("data"):
        known = tokenizer_of(chain, read.place)
        if known is None:
            continue
        first = first or (read, known)
        if known.origin != first[1].origin:
            maker, at = read.maker, first[0]
            hint = "make the tokens of all data with one tokenizer"
            if maker is not None:
                hint = f"-s {maker.label}.tokenizer={at.path} takes the tokenizer of the first for {maker.label}"
            words = f"{read.shown} and {at.shown} have different tokenizers"
            yield run.problem(words, about=read.field, code=3, hint=hint)
            return


def _of_base(chain: Chain, run: Run) -> Iterator[Finding]:
    """Compare the tokens with the tokenizer of the model that is gone on with."""
    base = tokenizer_of(chain, first_place(run.reading("model")))
    data = tokenizer_of(chain, first_place(run.reading("data")))
    if base is None or data is None:
        yield run.found("unknown", "not known before model and tokens are there")
    elif data.trained and data.origin != base.origin:
        read = run.reading("data")[0]
        label = read.maker.label if read.maker is not None else "tokenize"
        yield run.problem(
            f"{read.shown} get a new tokenizer, and the model was trained with another",
            about="model.path",
            code=3,
            hint=f"-s {label}.tokenizer={run.reading('model')[0].path} takes the model's",
        )
    elif data.origin == base.origin:
        yield run.found("ok", "the tokens are of the model's own tokenizer", about="model.path")
    elif isinstance(model := first_place(run.reading("model")), Path) and isinstance(
        tokens := first_place(run.reading("data")), Path
    ):
        check_extension(load_tokenizer(model), load_tokenizer(tokens), tokens)
        yield run.found("ok", "the tokens are of the model's tokenizer with more at its end", about="model.path")
    else:
        yield run.found("unknown", "whether only tokens at the end were added is seen when the tokens are there")
