"""Encode documents for a training that begins at once: tokens as `llmkit tokenize` makes them, without its reports."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llmkit.core.errors import DataError
from llmkit.data.artifacts import Tokens
from llmkit.modeling.tokenizer import load_tokenizer, tokenizer_digest
from llmkit.tokenization.plan import encode_corpora
from llmkit.tokenization.show import Cutter
from llmkit.work.engine import Engine
from llmkit.work.once import run_once, run_plan

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.core.console import Console


def tokens_for_training(
    corpora: Sequence[Path],
    tokenizer: PreTrainedTokenizerFast,
    place: Path,
    engine: Engine,
    console: Console,
    *,
    validation_fraction: float,
) -> Path:
    """Encode corpora by a tokenizer as it is, once; return the folder of tokens.

    Args:
        corpora: Where the documents are, in this order.
        tokenizer: The model's.
        place: Folder to work in; what is there from a run that was killed is used.
        engine: Workers.
        console: For progress.
        validation_fraction: Share of the documents, by a hash of their text, that is held out.

    Raises:
        DataError: No document is left to train on.
    """
    folder = place / "tokens"

    def encode() -> dict[str, dict[str, int]]:
        tokenizer.save_pretrained(folder)
        cutter = Cutter(load_tokenizer(folder))  # as those who train on the tokens will find it
        fractions = {"validation_fraction": validation_fraction, "test_fraction": 0.0}
        made = encode_corpora(
            corpora, cutter, folder, place / "work-tokens", engine=engine, run_plan=run_plan, console=console,
            validation_fraction=validation_fraction, test_fraction=0,
        )  # fmt: skip
        splits, digest = made.splits(), tokenizer_digest(cutter.tokenizer)
        Tokens(folder).write_facts(
            vocab_size=len(cutter.kinds), tokenizer_digest=digest, splits=splits, fractions=fractions
        )
        return splits

    splits = run_once(place, "tokens-made", encode)
    shutil.rmtree(place / "work-tokens", ignore_errors=True)
    if not splits.get("train", {}).get("tokens"):
        num_documents = sum(split["documents"] for split in splits.values())
        raise DataError(
            f"data: {num_documents:,} documents gave none to train on",
            "lower validation_fraction" if num_documents else "name data that hold text",
        )
    return folder
