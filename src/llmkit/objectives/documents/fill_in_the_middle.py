"""Fill in the middle (Bavarian et al. 2022, "Efficient Training of Language Models to Fill in the Middle").

Some documents are cut in three and written with the middle last, so that a causal model learns to insert:

    text  def f(x): return x + 1
    PSM   PRE def f(x): SUF + 1 MID return x EOS
    SPM   PRE SUF + 1 MID def f(x): return x EOS
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from llmkit.core.errors import ConfigError
from llmkit.data.packing import IGNORED
from llmkit.data.randomness import row_generators
from llmkit.objectives.documents import Collated, NextTokenOfDocuments
from llmkit.objectives.documents._blocks import pieces

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmkit.data.packing import Batch
    from llmkit.modeling.vocabulary import Vocabulary


class FillInTheMiddle(NextTokenOfDocuments):
    """Causal language modelling in which documents of a block are rearranged, drawn anew every epoch.

    The paper's context level: what lies in a block is rearranged, so that prefix, middle and suffix are always seen
    together. Cuts fall between tokens.
    """

    scores_text: ClassVar[bool] = False

    fim_rate: float = Field(0.5, ge=0, le=1)
    """Share of the documents, or pieces of one, that are rearranged."""
    spm_rate: float = Field(0.5, ge=0, le=1)
    """Share of those that have the suffix first (SPM), as the paper's joint training."""
    max_per_block: int = Field(4, ge=1)
    """At most so many in a block; a block leaves room for their sentinels and for an EOS."""
    prefix_token: str = Field("<|fim_prefix|>", min_length=1)
    """Stands before the prefix."""
    suffix_token: str = Field("<|fim_suffix|>", min_length=1)
    """Stands before the suffix."""
    middle_token: str = Field("<|fim_middle|>", min_length=1)
    """Stands before the middle, which EOS ends."""

    def check(self, vocabulary: Vocabulary) -> None:
        """Refuse a tokenizer without EOS or one of the three sentinels."""
        vocabulary.need("eos", self.type_name)
        self._sentinels(vocabulary)

    def own_tokens(self) -> tuple[str, ...]:
        """Return the three sentinels."""
        return self.prefix_token, self.suffix_token, self.middle_token

    def raw_length(self, context_length: int) -> int:
        """Return the tokens of text in a block: each rearranged document takes three more, the last one an EOS."""
        room = context_length - 3 * self.max_per_block - 1
        if room < 1:
            raise ConfigError(
                f"context_length: {context_length} leaves no room for text beside the sentinels of a block",
                "raise context_length, or lower objective.max_per_block",
            )
        return room

    def collate(self, batch: Batch, vocabulary: Vocabulary, seed: int) -> Collated:
        """Return `input_ids`, `labels` and `position_ids`, each `[blocks, context_length]` int64, and `num_tokens`.

        No token of the text is lost; room that is not used is padding, and not in `num_tokens`, `[blocks]`.
        """
        import torch

        length = batch.input_ids.shape[1] + 3 * self.max_per_block + 1
        fill = vocabulary.need("eos", self.type_name) if vocabulary.pad is None else vocabulary.pad
        input_ids = np.full((len(batch.input_ids), length), fill, np.int64)
        labels, position_ids = np.full_like(input_ids, IGNORED), np.zeros_like(input_ids)
        num_tokens = np.zeros(len(input_ids), np.int64)
        for row, generator in enumerate(row_generators(seed, batch.numbers)):
            spans = list(pieces(batch, row))
            chosen = self._choose(len(spans), generator)
            at = 0
            for index, (start, stop) in enumerate(spans):
                ids, targets = batch.input_ids[row, start:stop], batch.labels[row, start:stop]
                alone = ids.tolist() == [vocabulary.eos]  # nothing to fill in, and it would take another EOS
                if index in chosen and not alone:
                    ids = self._rearrange(ids, vocabulary, generator)
                    targets = np.append(ids[1:], IGNORED)
                part = slice(at, at + ids.size)
                input_ids[row, part], labels[row, part] = ids, targets
                position_ids[row, part] = np.arange(ids.size)
                at += ids.size
            position_ids[row, at:] = np.arange(length - at)
            num_tokens[row] = at
        arrays = {"input_ids": input_ids, "labels": labels, "position_ids": position_ids, "num_tokens": num_tokens}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}, {"tokens": int((labels >= 0).sum())}

    def _choose(self, count: int, generator: np.random.Generator) -> set[int]:
        """Return which of the documents of a block to rearrange."""
        drawn = np.flatnonzero(generator.random(count) < self.fim_rate)
        return set(generator.permutation(drawn)[: self.max_per_block].tolist())

    def _rearrange(
        self, ids: NDArray[np.int64], vocabulary: Vocabulary, generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return a document with its middle last; BOS stays first, and EOS comes last even if it had none."""
        bos, eos = vocabulary.bos, vocabulary.need("eos", self.type_name)
        start, stop = int(ids[0] == bos), ids.size - int(ids.size > 1 and ids[-1] == eos)
        first, second = np.sort(generator.integers(start, stop, 2, endpoint=True)).tolist()
        pre, suf, mid = ([number] for number in self._sentinels(vocabulary))
        prefix, middle, suffix = ids[start:first], ids[first:second], ids[second:stop]
        if generator.random() < self.spm_rate:
            parts = [pre, suf, suffix, mid, prefix, middle]
        else:
            parts = [pre, prefix, suf, suffix, mid, middle]
        return np.concatenate([ids[:start], *parts, [eos]]).astype(np.int64)

    def _sentinels(self, vocabulary: Vocabulary) -> tuple[int, int, int]:
        pre, suf, mid = (vocabulary.token(name, self.type_name) for name in self.own_tokens())
        return pre, suf, mid
