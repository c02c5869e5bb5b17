"""How much of some items, such as those of a benchmark, stands in other texts, such as those of a training.

As in GPT-3 (Brown et al. 2020, appendix C): n-grams of 13 lower-cased words, punctuation left out; in scripts without
spaces a word is one character, and 20 of them say about what 13 words say. A text that is shorter must occur as a
whole, and one of fewer than 8 words, or 12 characters, cannot be told from an ordinary phrase.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from llmkit.cleaning.features import Features
from llmkit.cleaning.grams import Hashes, Table, look_up
from llmkit.cleaning.kernels import gram_hashes
from llmkit.core.digest import digest_bytes

NGRAM, CHAR_NGRAM = 13, 20
MIN_WORDS, MIN_CHARS = 8, 12
MAX_ITEMS = 10
"""N-grams that more items contain are phrases of theirs, such as `choose the correct answer`."""


@dataclass
class Items:
    """The n-grams of items, and which of them have been seen.

    Attributes:
        tables: Of each order that occurs, the n-grams, sorted and distinct.
        seen: `[n-grams]` bool for each table.
        members: Of each item, by table, the numbers of its n-grams there.
    """

    tables: list[Table] = field(default_factory=list)
    seen: list[NDArray[np.bool_]] = field(default_factory=list)
    members: list[dict[int, NDArray[np.int64]]] = field(default_factory=list)

    @classmethod
    def of(cls, items: Iterable[Sequence[str]]) -> Items:
        """Index items, each of one or more texts."""
        by_item = [_grams(texts) for texts in items]
        made = cls(members=[{} for _ in by_item])
        for number, order in enumerate(sorted({order for grams in by_item for order in grams})):
            owners = [i for i, grams in enumerate(by_item) if order in grams]
            found = [by_item[i][order] for i in owners]
            table = Table.build(order, np.concatenate(found), np.zeros(sum(map(len, found)), np.int32), MAX_ITEMS)
            made.tables.append(table)
            made.seen.append(np.zeros(len(table.grams), np.bool_))
            for i, grams in zip(owners, found, strict=True):
                places = np.searchsorted(table.grams, grams)
                inside = places < len(table.grams)
                made.members[i][number] = places[inside][table.grams[places[inside]] == grams[inside]]
        return made

    @property
    def digest(self) -> str:
        """What is looked for: the same for equal items."""
        return digest_bytes(b"".join(table.order.to_bytes(4, "big") + table.grams.tobytes() for table in self.tables))

    def look_in(self, hashes: Hashes) -> None:
        """Note which n-grams a text contains.

        Args:
            hashes: `[words]` uint64 of its words.
        """
        for table, seen in zip(self.tables, self.seen, strict=True):
            if len(hashes) >= table.order:
                _, members = look_up(hashes, table.order, table.bits, table.grams)  # type: ignore[no-untyped-call]
                seen[members] = True

    def shares(self) -> list[float | None]:
        """Return the share of each item's n-grams that were seen; None of items too short to tell."""
        shares: list[float | None] = []
        for members in self.members:
            total = sum(len(places) for places in members.values())
            hits = sum(int(self.seen[number][places].sum()) for number, places in members.items())
            shares.append(hits / total if total else None)
        return shares


def _grams(texts: Sequence[str]) -> dict[int, Hashes]:
    """Return the distinct n-grams of an item's texts, by their order; of texts that are all too short, as of one."""
    return _grams_of(texts) or _grams_of(["\n".join(texts)])


def _grams_of(texts: Sequence[str]) -> dict[int, Hashes]:
    found: dict[int, list[Hashes]] = {}
    for text in texts:
        features = Features(text)
        is_unspaced = 2 * features.totals.characters > features.totals.words
        order, shortest = (CHAR_NGRAM, MIN_CHARS) if is_unspaced else (NGRAM, MIN_WORDS)
        size = len(features.word_hashes)
        if size >= shortest:
            order = min(order, size)
            found.setdefault(order, []).append(gram_hashes(features.word_hashes, order))
    return {order: np.unique(np.concatenate(grams)) for order, grams in found.items()}
