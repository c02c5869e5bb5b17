"""From token artifacts to a job: what pretraining and fine-tuning on documents have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from llmkit.core.console import Console
from llmkit.core.errors import DataError
from llmkit.data.artifacts import Tokens
from llmkit.data.feeds import Feed
from llmkit.data.mixture import PackingPlan, held_out_of, training_stream
from llmkit.data.token_reader import TokenSplit
from llmkit.modeling.tokenizer import tokenizer_digest
from llmkit.objectives.documents import DocumentObjective, Packing

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.data.feeds import Stream
    from llmkit.modeling.vocabulary import Vocabulary
    from llmkit.training.config import TrainingConfig

VERIFIED_FROM, VERIFIED = 256, 8
"""`verify_packing` measures so many blocks with several documents, out of so many from the start."""


def document_feed(
    tokens: list[Path],
    plan: PackingPlan,
    config: TrainingConfig,
    *,
    weights: Sequence[float | None] | None = None,
    temperature: float | None = None,
) -> Feed:
    """Return the blocks of token artifacts, to train and to validate on; see `training_stream`."""
    data = training_stream(tokens, plan, seed=config.seed, weights=weights, temperature=temperature)
    return Feed(data, held_out_of(tokens, plan), block_tokens=config.context_length)


def check_apart(model: PreTrainedModel, objective: DocumentObjective, vocabulary: Vocabulary, packing: Packing) -> None:
    """Refuse a model whose documents see each other; with padding alone there is nothing to see."""
    from llmkit.modeling.isolation import check_isolation

    if packing != "pad":
        check_isolation(model, objective, vocabulary)


def verify_apart(
    model: PreTrainedModel,
    objective: DocumentObjective,
    vocabulary: Vocabulary,
    packing: Packing,
    data: Stream,
    seed: int,
    console: Console,
) -> None:
    """Measure on blocks of a run's data that no document sees another, and say what was found."""
    from llmkit.modeling.isolation import measure_isolation

    if packing == "pad":
        console.info("packing: one document or pair a block, so there is nothing to keep apart")
        return
    batch = data.batch(range(VERIFIED_FROM))
    several = np.flatnonzero((batch.position_ids == 0).sum(1) > 1)[:VERIFIED]
    if not several.size:
        console.info(f"packing: none of the first {VERIFIED_FROM} blocks holds two documents")
        return
    found = measure_isolation(model, objective, vocabulary, batch.take(several), seed=seed)
    attention = model.config._attn_implementation
    console.info(
        f"packing: in blocks of this data the loss of a document depends on other documents by {found:.1e} of what"
        f" it depends on its own ({attention} attention)"
    )


def document_prompts(
    config: TrainingConfig,
    objective: DocumentObjective,
    tokenizer: PreTrainedTokenizerFast,
    vocabulary: Vocabulary,
    tokens: list[Path],
) -> list[list[int]]:
    """Return what the texts at validations begin with; only causal models write any."""
    from llmkit.training.samples import prompt_ids

    if objective.model_head().answer != "tokens" or not objective.scores_text:
        return []
    held_out = next((TokenSplit(path, "validation") for path in tokens if Tokens(path).has("validation")), None)
    documents = (held_out.document(i).tolist() for i in range(held_out.num_documents)) if held_out else ()
    prefix, _ = objective.around(vocabulary)
    return prompt_ids(config.samples, tokenizer, prefix=prefix, documents=documents)


def check_tokenizers(tokens: list[Path]) -> None:
    """Refuse token artifacts of different tokenizers, and a tokenizer that changed after the tokens were made."""
    digests = [Tokens(path).facts["tokenizer_digest"] for path in tokens]
    for path, digest in zip(tokens, digests, strict=True):
        if tokenizer_digest(path) != digest:
            raise DataError(
                f"data: the tokenizer in {path} was changed after its tokens were made", hint="tokenize again"
            )
        if digest != digests[0]:
            raise DataError(f"data: {path} and {tokens[0]} were made with different tokenizers")
