"""The n-grams of evaluation sets as sorted hashes, and the loop that looks a document's n-grams up in them."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmkit.cleaning.features import Features
from llmkit.cleaning.kernels import gram_hashes
from llmkit.work.kernel import kernel

Hashes = NDArray[np.uint64]
_BITS_PER_GRAM = 16


@kernel
def _set_bits(grams, bits):
    mask = np.uint64(bits.shape[0] - 1)
    for i in range(grams.shape[0]):
        bits[(grams[i] >> np.uint64(6)) & mask] |= np.uint64(1) << (grams[i] & np.uint64(63))


@kernel
def look_up(hashes, order, bits, wanted):
    """Return which n-grams of a text are among the wanted ones, as positions in the text and in `wanted`.

    Args:
        hashes: `[words]` uint64.
        order: Words per n-gram.
        bits: `[2^k]` uint64, a bit per hash value: 1 in 16 n-grams passes it, the others cost one memory access.
        wanted: `[n]` uint64, sorted and distinct.
    """
    grams = gram_hashes(hashes, order)
    mask = np.uint64(bits.shape[0] - 1)
    positions, members = np.empty(grams.shape[0], np.int64), np.empty(grams.shape[0], np.int64)
    count = 0
    for i in range(grams.shape[0]):
        gram = grams[i]
        if bits[(gram >> np.uint64(6)) & mask] >> (gram & np.uint64(63)) & np.uint64(1):
            at = np.searchsorted(wanted, gram)
            if at < wanted.shape[0] and wanted[at] == gram:
                positions[count], members[count] = i, at
                count += 1
    return positions[:count], members[:count]


class Table(NamedTuple):
    """N-grams of one order.

    Attributes:
        order: Words per n-gram.
        grams: `[n]` uint64, sorted and distinct.
        owners: `[n]` int32, number of the set that each is from; of several sets the first.
        bits: See `look_up`.
    """

    order: int
    grams: Hashes
    owners: NDArray[np.int32]
    bits: Hashes

    @classmethod
    def build(cls, order: int, grams: Hashes, owners: NDArray[np.int32], max_examples: int) -> Table:
        """Sort the n-grams; those of more than `max_examples` examples are a set's phrases, not its content."""
        distinct, first, counts = np.unique(grams, return_index=True, return_counts=True)
        kept = counts <= max_examples
        distinct = distinct[kept]
        bits = np.zeros(1 << max(4, (len(distinct) * _BITS_PER_GRAM // 64).bit_length()), np.uint64)
        _set_bits(distinct, bits)
        return cls(order, distinct, owners[first[kept]], bits)


class Whole(NamedTuple):
    """An example too short for an n-gram: all of it has to occur.

    Attributes:
        length: Words.
        gram: Hash of all of them.
        owner: Number of its set.
    """

    length: int
    gram: int
    owner: int


class Hit(NamedTuple):
    """What a document has in common with one set.

    Attributes:
        owner: Number of the set.
        order: Words per n-gram, or of the whole example.
        overlap: N-grams of the document that the set has.
        total: N-grams of the document.
        whole: Whether it is a whole example.
    """

    owner: int
    order: int
    overlap: int
    total: int
    whole: bool


@dataclass
class Index:
    """The n-grams of all sets, and their short examples by the n-gram that they begin with."""

    tables: list[Table]
    anchors: list[Table]
    wholes: dict[int, list[Whole]]

    def search(self, hashes: Hashes) -> Iterator[Hit]:
        """Yield what a text has in common with the sets, for each set and order.

        Args:
            hashes: `[words]` uint64 of the text's words.
        """
        for table in self.tables:
            _, members = look_up(hashes, table.order, table.bits, table.grams)
            if len(members):
                overlaps = np.bincount(table.owners[members])
                for owner in np.flatnonzero(overlaps).tolist():
                    total = len(hashes) - table.order + 1
                    yield Hit(owner, table.order, int(overlaps[owner]), total, whole=False)
        for table in self.anchors:
            positions, members = look_up(hashes, table.order, table.bits, table.grams)
            for position, member in zip(positions.tolist(), members.tolist(), strict=True):
                for whole in self.wholes[int(table.grams[member])]:
                    found = hashes[position : position + whole.length]
                    if len(found) == whole.length and int(gram_hashes(found, whole.length)[0]) == whole.gram:
                        yield Hit(whole.owner, whole.length, 1, len(hashes) - whole.length + 1, whole=True)


@dataclass
class Orders:
    """Words per n-gram and in the shortest example looked for, of one kind of script."""

    order: int
    shortest: int
    grams: list[Hashes] = field(default_factory=list)
    owners: list[NDArray[np.int32]] = field(default_factory=list)
    anchors: list[int] = field(default_factory=list)


def build_index(
    examples: Iterable[tuple[int, list[str]]], *, words: Orders, characters: Orders, max_examples: int
) -> Index:
    """Index evaluation examples.

    Args:
        examples: Number of the set and the texts of one example, such as its question and its choices.
        words: Orders for scripts with spaces between words.
        characters: Orders for scripts without, where each character is a word.
        max_examples: Leave out n-grams that more texts of all sets contain.
    """
    wholes: dict[int, list[Whole]] = defaultdict(list)
    seen: set[bytes] = set()

    def add(owner: int, text: str) -> bool:
        features = Features(text)
        hashes = features.word_hashes
        orders = characters if 2 * features.totals.characters > features.totals.words else words
        if len(hashes) < orders.shortest:
            return False
        if (key := hashes.tobytes()) in seen:  # a passage with many questions is one text
            return True
        seen.add(key)
        if len(hashes) >= orders.order:
            grams = np.unique(gram_hashes(hashes, orders.order))
            orders.grams.append(grams)
            orders.owners.append(np.full(len(grams), owner, np.int32))
        else:
            anchor = int(gram_hashes(hashes[: orders.shortest], orders.shortest)[0])
            wholes[anchor].append(Whole(len(hashes), int(gram_hashes(hashes, len(hashes))[0]), owner))
            orders.anchors.append(anchor)
        return True

    for owner, texts in examples:
        added = [add(owner, text) for text in texts]
        if not any(added):
            add(owner, "\n".join(texts))
    kinds = (words, characters)
    return Index(
        [
            Table.build(kind.order, np.concatenate(kind.grams), np.concatenate(kind.owners), max_examples)
            for kind in kinds
            if kind.grams
        ],
        [_anchor_table(kind) for kind in kinds if kind.anchors],
        dict(wholes),
    )


def _anchor_table(kind: Orders) -> Table:
    anchors: Any = np.array(sorted(set(kind.anchors)), np.uint64)
    return Table.build(kind.shortest, anchors, np.zeros(len(anchors), np.int32), max_examples=1)
