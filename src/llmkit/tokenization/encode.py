"""Encode batches of documents: their ids, and the token at which each sentence begins.

The ids are those of `tokenizers`, read literally. For byte-level tokenizers the bytes of the tokens, added up, say
where each token ends; other tokenizers, and documents that a normalizer changes, need the offsets of `tokenizers`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmkit.modeling.coverage import Coverage
from llmkit.modeling.fast import FastEncoder, is_normal, lacks_bytes, token_sizes
from llmkit.modeling.literal import LiteralEncoder, flatten
from llmkit.text.sentences import sentence_starts
from llmkit.tokenization.batch import Batch
from llmkit.tokenization.borders import border_of, chunks
from llmkit.tokenization.scan import find_segments

GROUP_BYTES = 1 << 20
"""Text that `tokenizers` gets at a time: its encodings take some hundred bytes per token."""


@dataclass(frozen=True)
class Encoded:
    """The tokens of a batch.

    Attributes:
        ids: All documents' ids, one document after another, `[tokens]`.
        counts: Tokens of each document, `[documents]`.
        segments: Tokens at which sentences begin, counted from the document's first, `[segments]`.
        num_segments: Segments of each document, `[documents]`.
        unread: Bytes of each document that are unknown, and that are lost, `[documents, 2]`; see `Unread`.
    """

    ids: NDArray[Any]
    counts: NDArray[np.int64]
    segments: NDArray[np.int32]
    num_segments: NDArray[np.int64]
    unread: NDArray[np.int64]

    @property
    def lost_bytes(self) -> int:
        """Bytes of text that no token stands for."""
        return int(self.unread[:, 1].sum())


class Encoder:
    """Encodes batches as `LiteralEncoder` would document by document.

    Args:
        literal: The definition of the ids.
        fast: What finds the ids instead, where it can.
    """

    def __init__(self, literal: LiteralEncoder, fast: FastEncoder | None = None) -> None:
        self.literal = literal
        self.fast = fast
        content = literal.content
        self._forms = [part["type"] for part in flatten(content["normalizer"], "normalizers")]
        self._token_bytes = token_sizes(content, literal.vocab_size)
        self._loses = self._token_bytes is not None and lacks_bytes(content, literal.special)
        self._coverage = Coverage(literal) if self._token_bytes is None else None
        self._border = border_of(content, allow_special=literal.allow_special)

    def encode(self, batch: Batch) -> Encoded:
        """Encode the documents of a batch."""
        if self._token_bytes is None:
            return self._encode_by_offsets(batch)
        changed = self._changed(batch)
        found = self._ids(batch, changed)
        counts = np.fromiter(map(len, found), np.int64, len(found))
        ids = np.concatenate(found) if found else np.zeros(0, self.literal.dtype)
        if ids.size and int(ids.max()) >= self.literal.vocab_size:
            raise AssertionError("an id is not in the vocabulary")
        segments, num_segments, lost = find_segments(batch.data, batch.bounds, ids, counts, self._token_bytes)
        ids = ids.astype(self.literal.dtype, copy=False)
        # Of a text that was changed the bytes may add up by chance.
        wrong = np.flatnonzero(changed | (lost != 0))
        if wrong.size:
            segments, num_segments = self._repair(batch, segments, num_segments, wrong)
        unread = np.zeros((len(batch), 2), np.int64)
        if self._loses:
            unread[~changed, 1] = lost[~changed].clip(0)
        return Encoded(ids, counts, segments, num_segments, unread)

    def _changed(self, batch: Batch) -> NDArray[np.bool_]:
        """Tell which documents the normalizer changes, `[documents]`."""
        if not self._forms:
            return np.zeros(len(batch), np.bool_)
        return np.fromiter((not is_normal(d, self._forms) for d in batch.documents()), np.bool_, len(batch))

    def _ids(self, batch: Batch, changed: NDArray[np.bool_]) -> list[NDArray[Any]]:
        if self.fast is None:
            return self._literal_ids(batch, range(len(batch)))
        encode = self.fast.encode
        found: list[Any] = []
        left = []
        for d, (document, differs) in enumerate(zip(batch.documents(), changed.tolist(), strict=True)):
            if differs:
                left.append(d)
                found.append(b"")
            elif len(document) > GROUP_BYTES:
                found.append(np.concatenate([encode(document[a:b]) for a, b in self._pieces(document)]))
            else:
                found.append(encode(document))
        for d, ids in zip(left, self._literal_ids(batch, left), strict=True):
            found[d] = ids
        return found

    def _literal_ids(self, batch: Batch, documents: Any) -> list[NDArray[Any]]:
        return [ids for ids, _ in self._literal(batch, documents, spans=False)]

    def _literal(
        self, batch: Batch, documents: Any, *, spans: bool
    ) -> Iterator[tuple[NDArray[Any], NDArray[np.int64]]]:
        """Yield ids and, with `spans`, where each token begins and ends, in groups that bound the memory."""
        encode = self.literal.spans if spans else self.literal.encode
        group: list[str] = []
        size = 0
        for d in documents:
            document = batch.raw(d)
            if len(document) > GROUP_BYTES:
                yield from encode(group)
                group, size = [], 0
                yield self._long(document, spans=spans)
                continue
            group.append(document.decode())
            size += len(document)
            if size >= GROUP_BYTES:
                yield from encode(group)
                group, size = [], 0
        yield from encode(group)

    def _long(self, document: bytes, *, spans: bool) -> tuple[NDArray[Any], NDArray[np.int64]]:
        encode = self.literal.spans if spans else self.literal.encode
        ids, positions, before = [], [], 0
        for a, b in self._pieces(document):
            text = document[a:b].decode()
            ((piece_ids, piece_spans),) = encode([text])
            ids.append(piece_ids)
            positions.append(piece_spans + before)
            before += len(text)
        return np.concatenate(ids), np.concatenate(positions)

    def _pieces(self, document: bytes) -> list[tuple[int, int]]:
        return chunks(document, GROUP_BYTES, self._border) if self._border else [(0, len(document))]

    def _repair(
        self, batch: Batch, segments: NDArray[np.int32], num_segments: NDArray[np.int64], wrong: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Find the segments of the documents whose tokens do not have their bytes by the offsets instead."""
        parts = np.split(segments, np.cumsum(num_segments)[:-1])
        for d, (_, spans) in zip(wrong, self._literal(batch, wrong, spans=True), strict=True):
            parts[d] = segments_by_offsets(batch.text(int(d)), spans[:, 1])
        return np.concatenate(parts), np.fromiter(map(len, parts), np.int64, len(parts))

    def _encode_by_offsets(self, batch: Batch) -> Encoded:
        assert self._coverage is not None
        found, parts, unread = [], [], []
        for d, (ids, spans) in enumerate(self._literal(batch, range(len(batch)), spans=True)):
            text = batch.text(d)
            found.append(ids)
            parts.append(segments_by_offsets(text, spans[:, 1]))
            unread.append(self._coverage.of(text, ids, spans))
        return Encoded(
            np.concatenate(found) if found else np.zeros(0, self.literal.dtype),
            np.fromiter(map(len, found), np.int64, len(found)),
            np.concatenate(parts) if parts else np.zeros(0, np.int32),
            np.fromiter(map(len, parts), np.int64, len(parts)),
            np.array(unread, np.int64).reshape(-1, 2),
        )

    @cached_property
    def name(self) -> str:
        """Which encoder finds the ids."""
        return "tokenizers" if self.fast is None else self.fast.name


def segments_by_offsets(text: str, ends: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the token at which each sentence begins: the first one that ends behind its first character.

    Args:
        text: The document.
        ends: The character behind each token, `[tokens]`.
    """
    found = np.unique(np.searchsorted(ends, np.array(sentence_starts(text), dtype=np.int64), side="right"))
    return found[found < ends.size].astype(np.int32)
