"""Masking of tokens for encoders (Devlin et al. 2018, "BERT", section 3.1).

Of the ordinary tokens of a block a share is chosen; of the chosen 80% become MASK, 10% another ordinary token and 10%
stay. Their own ids are the targets, all other positions have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from llmkit.data.packing import IGNORED
from llmkit.objectives.documents import DocumentObjective

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmkit.modeling.vocabulary import Vocabulary


class Masking(DocumentObjective):
    """Objectives that mask tokens."""

    mask_fraction: float = Field(0.15, gt=0, lt=1)
    """Share of a block's tokens to predict; special tokens are never chosen."""
    whole_word: bool = False
    """Choose whole words, all their tokens together."""

    def mask(
        self,
        ids: NDArray[np.int64],
        positions: NDArray[np.int64],
        vocabulary: Vocabulary,
        generator: np.random.Generator,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return ids with masked tokens, and labels, both `[time]`.

        As in BERT's own code, round(fraction * tokens) are chosen, at least one; with whole words at most as many, and
        each of a word's tokens is replaced by a draw of its own.

        Args:
            ids: `[time]` token ids of a block, the padding a special token or left out.
            positions: `[time]`, 0 where a document starts: no word goes over a border.
            vocabulary: Which ids are special, and which start a word.
            generator: Where the draws come from.
        """
        maskable = np.flatnonzero(~np.isin(ids, vocabulary.special))
        count = min(maskable.size, max(1, round(self.mask_fraction * maskable.size)))
        if self.whole_word:
            chosen = _whole_words(ids, positions, maskable, count, vocabulary, generator)
        else:
            chosen = np.sort(generator.permutation(maskable)[:count])
        labels = np.full(ids.shape, IGNORED, np.int64)
        labels[chosen] = ids[chosen]
        draw = generator.random(chosen.size)
        others = generator.choice(vocabulary.ordinary, chosen.size)
        masked = ids.copy()
        mask = vocabulary.need("mask", self.type_name)
        masked[chosen] = np.where(draw < 0.8, mask, np.where(draw < 0.9, others, ids[chosen]))
        return masked, labels


def _whole_words(
    ids: NDArray[np.int64],
    positions: NDArray[np.int64],
    maskable: NDArray[np.int64],
    count: int,
    vocabulary: Vocabulary,
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Return the places of whole words, ascending: in random order, leaving out those that would be too many."""
    after_gap = np.diff(maskable, prepend=-2) > 1
    starts = np.flatnonzero(vocabulary.starts_word[ids[maskable]] | after_gap | (positions[maskable] == 0))
    lengths = np.diff(starts, append=maskable.size)
    order = generator.permutation(starts.size)
    chosen: list[NDArray[np.int64]] = []
    left = count
    for word in order.tolist():
        if left <= 0:
            break
        # The first may be too long: a block without any target would teach nothing.
        if lengths[word] <= left or (not chosen and lengths.min() > count):
            chosen.append(maskable[starts[word] : starts[word] + lengths[word]])
            left -= int(lengths[word])
    return np.sort(np.concatenate(chosen)) if chosen else maskable[:0]
