"""Show blocks of documents as the model sees them, with what is learned of them marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from llmkit.core.console import Console
from llmkit.modeling.vocabulary import vocabulary_of
from llmkit.objectives import Tensors
from llmkit.objectives.documents import DocumentObjective
from llmkit.objectives.documents._plans import PackingChoice, plan_of
from llmkit.training.config import RowTrainingConfig
from llmkit.training.documents import document_feed
from llmkit.training.onward import fit_documents
from llmkit.training.preview import marked

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

LEARNED_MARK = "learned"


def preview_documents(
    config: RowTrainingConfig,
    objective: DocumentObjective,
    packing: PackingChoice,
    model: Path,
    tokens: Sequence[Path],
    encode: Callable[[PreTrainedTokenizerFast], list[Path]],
    count: int,
    console: Console,
) -> None:
    """Show the first blocks of a run: what stands in them, and what is learned.

    Args:
        config: The run's.
        objective: Its objective.
        packing: How documents become blocks.
        model: Where the model is; only its tokenizer and its sizes are read.
        tokens: Tokens that are there already.
        encode: Returns folders of tokens with the first documents, by a tokenizer.
        count: How many blocks to show at most.
        console: Where to.
    """
    config, tokenizer, _ = fit_documents(config, objective, model, tokens, console)
    vocabulary = vocabulary_of(tokenizer)
    objective.check(vocabulary)
    plan = plan_of(objective, vocabulary, context_length=config.context_length, packing=packing)
    stream = document_feed(encode(tokenizer), plan, config).stream
    batch = stream.batch(range(min(count, stream.blocks_in(1))))
    tensors, _ = objective.collate(batch, vocabulary, config.seed)
    lengths = tensors["num_tokens"].tolist() if "num_tokens" in tensors else batch.num_tokens.tolist()
    seen = [seen_block(tensors, row, length, objective, tokenizer) for row, length in enumerate(lengths)]
    if console.json_mode:
        spec = objective.spec(mode="json")
        blocks = [{"seen": block} for block in seen]
        console.print_json({"status": "preview", "exit_code": 0, "objective": spec, "blocks": blocks})
        return
    for block in seen:
        for name, pieces in block.items():
            console.print(marked(name, pieces, tokenizer, colours=console.out.is_terminal))
        console.print()


def seen_block(
    tensors: Tensors, row: int, length: int, objective: DocumentObjective, tokenizer: PreTrainedTokenizerFast
) -> dict[str, list[tuple[str, str]]]:
    """Return what the model reads of a block, and is to write: pieces of text, each with what is learned of it.

    A causal model's target at a position is the token behind it; an encoder's is what stands there under a mask; an
    encoder-decoder's targets are a text of their own.
    """
    ids, labels = tensors["input_ids"][row].tolist(), tensors["labels"][row].tolist()
    if objective.head == "sequence_to_sequence":
        written = [(token, LEARNED_MARK) for token in labels if token >= 0]
        read = [(token, "") for token in ids[:length]]
        return {"input_ids": _pieces(read, tokenizer), "written": _pieces(written, tokenizer)}
    if objective.head == "causal_lm":
        learned = [False, *(label >= 0 for label in labels[:-1])]
        marks = [LEARNED_MARK if known else "" for known in learned]
    else:
        marks = [tokenizer.decode([label]) if label >= 0 else "" for label in labels]
    return {"input_ids": _pieces(list(zip(ids, marks, strict=True))[:length], tokenizer)}


def _pieces(tokens: Sequence[tuple[int, str]], tokenizer: PreTrainedTokenizerFast) -> list[tuple[str, str]]:
    return [(tokenizer.decode([i for i, _ in group]), mark) for mark, group in groupby(tokens, key=lambda one: one[1])]
