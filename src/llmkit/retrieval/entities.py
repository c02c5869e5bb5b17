"""Find the triples of the entities that a question names."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from llmkit.text.characters import UNSPACED, character_table


class Entities:
    """Triples by the names of their subjects and objects.

    Args:
        subjects: Of each passage; None for what is no triple.
        objects: The same.
    """

    def __init__(self, subjects: Sequence[str | None], objects: Sequence[str | None]) -> None:
        import ahocorasick_rs

        self._passages: dict[str, list[int]] = {}
        for number, pair in enumerate(zip(subjects, objects, strict=True)):
            for name in dict.fromkeys(_plain(name) for name in pair if name):
                if name:
                    self._passages.setdefault(name, []).append(number)
        self._names = list(self._passages)
        longest = ahocorasick_rs.MatchKind.LeftmostLongest
        self._found = ahocorasick_rs.AhoCorasick(self._names, matchkind=longest) if self._names else None

    def named_in(self, text: str) -> list[int]:
        """Return the triples of all entities that a text names, in order; of names within names the longest counts."""
        if self._found is None:
            return []
        text = _plain(text)
        hits = self._found.find_matches_as_indexes(text)
        names = {name for name, start, end in hits if _is_whole(text, start, end)}
        return sorted({number for name in names for number in self._passages[self._names[name]]})


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _is_whole(text: str, start: int, end: int) -> bool:
    """Tell whether a part of a text is no part of a longer word; scripts without spaces have no such borders."""
    return not (_joined(text, start - 1, start) or _joined(text, end - 1, end))


def _joined(text: str, left: int, right: int) -> bool:
    if left < 0 or right >= len(text):
        return False
    pair, info = (text[left], text[right]), character_table().info
    return all(one.isalnum() for one in pair) and not any(info[ord(one)] & UNSPACED for one in pair)
