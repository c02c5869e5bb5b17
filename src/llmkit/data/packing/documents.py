"""Packers of tokenized documents: reading ids and targets, with what is put around every document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from llmkit.core.errors import DataError
from llmkit.data.packing.batch import IGNORED, Ints
from llmkit.data.packing.packer import Packer, Stretches, ranges


class Tokens(Protocol):
    """What document packers read; `llmkit.data.token_reader.TokenSplit` is one."""

    offsets: Ints

    def gather(self, positions: Ints) -> Ints:
        """Return the ids at positions of the documents laid one after another, in the shape of `positions`."""

    def ids(self, documents: Ints) -> list[str]:
        """Return the documents' ids."""


class DocumentPacker(Packer):
    """Packs documents, each as prefix + tokens + suffix; those without tokens are left out.

    Args:
        tokens: The documents.
        context_length: Input positions per block.
        prefix: Ids before every document, such as BOS.
        suffix: Ids after every document, such as EOS.
        seed, source, pad_id: See `Packer`.

    Raises:
        DataError: There are no tokens.
    """

    def __init__(
        self,
        tokens: Tokens,
        context_length: int,
        *,
        prefix: Sequence[int] = (),
        suffix: Sequence[int] = (),
        seed: int | None,
        source: int = 0,
        pad_id: int = 0,
    ) -> None:
        super().__init__(context_length, seed=seed, source=source, pad_id=pad_id)
        if context_length < 1:
            raise ValueError(f"context_length must be positive, not {context_length}")
        self._tokens = tokens
        self._prefix, self._suffix = np.asarray(prefix, np.int64), np.asarray(suffix, np.int64)
        if not tokens.offsets[-1]:
            raise DataError("there are no tokens to pack", "check the counts in the token artifact's tokens.json")

    def names(self, documents: Ints) -> list[str]:
        """Return the documents' ids."""
        return self._tokens.ids(documents)

    def _lengths(self) -> Ints:
        """Return the documents' lengths with what is put around them, 0 where there are no tokens."""
        lengths = np.diff(self._tokens.offsets)
        return np.where(lengths, lengths + self._prefix.size + self._suffix.size, 0)

    def _pieces(self) -> tuple[Ints, Ints, Ints]:
        """Cut documents longer than a block: return document, skip and size of every piece, in the given order."""
        lengths = self._lengths()
        counts = -(-lengths // self.context_length)
        documents = np.repeat(np.arange(lengths.size), counts)
        skips = ranges(np.zeros_like(counts), counts) * self.context_length
        return documents, skips, np.minimum(lengths[documents] - skips, self.context_length)

    def _read(self, stretches: Stretches) -> tuple[Ints, Ints]:
        documents, offsets, sizes = stretches.documents, stretches.offsets, stretches.sizes
        starts, ends = self._tokens.offsets[documents], self._tokens.offsets[documents + 1]
        # Read everything as if it were stored, then write over what is put around: one gather, whatever the pieces.
        inside = starts + offsets - self._prefix.size
        ids = self._tokens.gather(np.clip(ranges(inside, sizes), 0, self._tokens.offsets[-1] - 1))
        first = np.cumsum(sizes) - sizes
        whole = ends - starts + self._prefix.size
        for at, special in [*self._around(np.zeros_like(whole), self._prefix), *self._around(whole, self._suffix)]:
            here = at - offsets
            held = (here >= 0) & (here < sizes)
            ids[first[held] + here[held]] = special
        labels = np.empty_like(ids)
        labels[:-1] = ids[1:]
        labels[first + sizes - 1] = self._next(documents, offsets + sizes)
        return ids, labels

    @staticmethod
    def _around(base: Ints, specials: Ints) -> list[tuple[Ints, int]]:
        return [(base + index, int(special)) for index, special in enumerate(specials)]

    def _next(self, documents: Ints, offsets: Ints) -> Ints:
        """Return the id at an offset of each document, `IGNORED` where it has ended."""
        starts = self._tokens.offsets[documents]
        inside, length = offsets - self._prefix.size, self._tokens.offsets[documents + 1] - starts
        ids = np.full(documents.size, IGNORED, np.int64)
        stored = (inside >= 0) & (inside < length)
        ids[stored] = self._tokens.gather((starts + inside)[stored])
        before = inside < 0
        ids[before] = self._prefix[inside[before]]  # counted from the prefix's end
        after = (inside >= length) & (inside < length + self._suffix.size)
        ids[after] = self._suffix[(inside - length)[after]]
        return ids
