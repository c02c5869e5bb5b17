"""Pairs of texts for next-sentence prediction (Devlin et al. 2018, "BERT") and sentence order (Lan et al. 2019).

With room for 6 tokens and a document of the sentences [1 2] [3] [4 5] [6 7 8 9], unshuffled: the first pair gathers
the sentences that fit and is split at one of their borders, the second is one sentence, cut in its middle.

    input_ids     1 2 3 4 5 . | 6 7 8 9 . .
    position_ids  0 1 0 1 2 0 | 0 1 0 1 0 1        (split before [3]; it may as well be split before [4 5])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from llmkit.core.errors import ConfigError, DataError
from llmkit.data.packing.batch import Ints
from llmkit.data.packing.documents import DocumentPacker, Tokens
from llmkit.data.packing.packer import Layout, cumulative, ranges
from llmkit.data.randomness import generator


class Sentences(Tokens, Protocol):
    """What `PairPacker` reads; `llmkit.data.token_reader.TokenSplit` is one."""

    def sentence_starts(self) -> Ints:
        """Return the positions, in the documents laid one after another, at which sentences start, ascending."""


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs of neighbouring stretches: `begins` to `middles` and `middles` to `ends`, positions `[n]`."""

    begins: Ints
    middles: Ints
    ends: Ints


class PairPacker(DocumentPacker):
    """Blocks of two parts without specials; positions restart at the second part, and at padding.

    Consecutive sentences of a document are gathered while they fit into the target length, and split at a random
    border between them; one sentence alone is cut in its middle, one longer than a block into pieces of T tokens
    beforehand. BERT's script reads second parts from other documents again and again and cuts what is too long; here
    the second parts of half of the pairs are exchanged two by two, between documents and among the nearest in length,
    so that every token is an input once per epoch, but for what `lost` counts. Which pairs, which borders, which target
    lengths and the order of blocks are drawn from (seed, epoch, source); so the number of blocks differs from epoch to
    epoch. Without a seed the blocks come in the given order, and the rest is drawn as if the seed were 0.

    Args:
        tokens: The documents and their sentences.
        context_length: Tokens T of both parts together, at least 2: what the objective adds is not counted.
        random_second: Exchange the second parts of half of the pairs; `Batch.follows` says of which.
        short_fraction: Share of the pairs whose target length is drawn from 2..T instead of being T.
        seed, source, pad_id: See `Packer`.

    Raises:
        ConfigError: There is no room for two parts.
        DataError: There are no tokens, no document with two tokens, or with `random_second` and a seed only one.
    """

    _tokens: Sentences

    def __init__(
        self,
        tokens: Sentences,
        context_length: int,
        *,
        random_second: bool = False,
        short_fraction: float = 0.1,
        seed: int | None,
        source: int = 0,
        pad_id: int = 0,
    ) -> None:
        if context_length < 2:
            raise ConfigError(
                f"context_length: the two parts of a pair need a token each, and room is left for {context_length}",
                "raise context_length",
            )
        super().__init__(tokens, context_length, seed=seed, source=source, pad_id=pad_id)
        usable = int((np.diff(tokens.offsets) >= 2).sum())
        if not usable:
            raise DataError("there is no document with two tokens to make a pair of", "check the corpus")
        if random_second and seed is not None and usable < 2:
            raise DataError(
                "second parts are to come from other documents, but there is only one document",
                "split the corpus into documents, or use sentence_order",
            )
        self._random_second, self._short_fraction = random_second, short_fraction
        self._borders_of_sentences = _borders(tokens, context_length)

    def lost(self, epoch: int) -> int:
        """Return how many stored tokens are no input in an epoch.

        A pair that would be a single token is left out, and an exchanged second part that is too long is cut.
        """
        return int(self._tokens.offsets[-1] - self._layout(epoch).starts[-1])

    def _lay_out(self, draw: np.random.Generator | None) -> Layout:
        shuffled, draw = draw is not None, draw or generator(0, 0, self._source)
        pairs = self._split(draw)
        num_pairs = pairs.begins.size
        seconds = np.arange(num_pairs)
        if self._random_second:
            seconds = self._exchanged(pairs, draw)
        firsts = pairs.middles - pairs.begins
        sizes = np.minimum((pairs.ends - pairs.middles)[seconds], self.context_length - firsts)
        places = np.stack([pairs.begins, pairs.middles[seconds]], axis=1).ravel()
        starts = cumulative(np.stack([firsts, sizes], axis=1).ravel())
        documents = np.searchsorted(self._tokens.offsets, places, side="right") - 1
        skips = places - self._tokens.offsets[documents]
        follows = (seconds == np.arange(num_pairs)).astype(np.int64)
        order = draw.permutation(num_pairs) if shuffled else np.arange(num_pairs)
        return Layout(documents, skips, starts, starts[::2], order, follows)

    def _split(self, draw: np.random.Generator) -> _Pairs:
        """Gather sentences into pairs; all documents at once, one pair of each a step."""
        borders, length = self._borders_of_sentences, self.context_length
        last = np.searchsorted(borders, self._tokens.offsets[1:])  # the border at which each document ends
        first = np.concatenate([np.zeros(1, np.int64), last[:-1]])
        at, until = first[first < last], last[first < last]
        gathered: list[tuple[Ints, Ints]] = []
        while at.size:
            short = draw.random(at.size) < self._short_fraction
            target = np.where(short, draw.integers(2, length + 1, at.size), length)
            fitting = np.searchsorted(borders, borders[at] + target, side="right") - 1
            end = np.minimum(np.maximum(fitting, at + 1), until)
            gathered.append((at, end))
            at, until = end[end < until], until[end < until]
        froms, tos = (np.concatenate(column) for column in zip(*gathered, strict=True))
        order = np.argsort(froms)
        froms, tos = froms[order], tos[order]
        middles = borders[froms + 1 + (draw.random(froms.size) * (tos - froms - 1)).astype(np.int64)]
        begins, ends = borders[froms], borders[tos]
        middles = np.where(tos - froms == 1, begins + (ends - begins) // 2, middles)
        kept = ends - begins >= 2
        return _Pairs(begins[kept], middles[kept], ends[kept])

    def _exchanged(self, pairs: _Pairs, draw: np.random.Generator) -> Ints:
        """Return whose second part each pair gets: half of them exchange theirs, two by two.

        Neighbours in length exchange; those of one document wait for the next round. In the end at most pairs of one
        document are left, which keep their own.
        """
        num_pairs = pairs.begins.size
        seconds = np.arange(num_pairs)
        waiting = draw.permutation(num_pairs)[: num_pairs // 2]
        waiting = waiting[np.argsort((pairs.ends - pairs.middles)[waiting], kind="stable")]
        document = np.searchsorted(self._tokens.offsets, pairs.begins, side="right")
        shift, unchanged = 0, 0
        while waiting.size >= 2 and unchanged < 2:
            stop = shift + (waiting.size - shift) // 2 * 2
            left, right = waiting[shift:stop:2], waiting[shift + 1 : stop : 2]
            apart = document[left] != document[right]
            seconds[left[apart]], seconds[right[apart]] = right[apart], left[apart]
            unchanged = 0 if apart.any() else unchanged + 1
            done = np.zeros(waiting.size, bool)
            done[shift:stop] = np.repeat(apart, 2)
            waiting, shift = waiting[~done], 1 - shift
        return seconds


def _borders(tokens: Sentences, longest: int) -> Ints:
    """Return where sentences start and end, `[num_sentences + 1]`: documents' borders, too, and none is too long."""
    places = np.concatenate([tokens.offsets, tokens.sentence_starts()])
    places.sort(kind="stable")  # merges two runs
    borders: Ints = places[np.concatenate([[True], places[1:] != places[:-1]])]
    counts = -(-np.diff(borders) // longest)
    if (counts <= 1).all():
        return borders
    within = ranges(np.zeros_like(counts), counts)
    return np.append(np.repeat(borders[:-1], counts) + within * longest, borders[-1])
