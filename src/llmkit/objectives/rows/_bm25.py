"""Texts that share words with a query, the rarer the better (Robertson and Zaragoza 2009, "BM25")."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from llmkit.text.characters import UNSPACED, character_table

K1, B = 1.2, 0.75
"""Saturation of a word's count, and how much a text's length counts: Lucene's."""


def words_of(text: str) -> Iterator[str]:
    """Yield a text's words in lower case, and each character of a script without spaces."""
    for word in re.findall(r"\w+", text.casefold()):
        if word.isascii():
            yield word
            continue
        run = ""
        for character in word:
            if character_table().info[ord(character)] & UNSPACED:
                yield from (part for part in (run, character) if part)
                run = ""
            else:
                run += character
        if run:
            yield run


def bm25(pool: Sequence[str], queries: Sequence[str]) -> Callable[[slice], NDArray[np.float32]]:
    """Return what scores some queries against all texts of a pool, `[queries, texts]`."""
    counted = [Counter(words_of(text)) for text in pool]
    lengths = np.array([counts.total() for counts in counted], np.float32)
    norms = K1 * (1 - B + B * lengths / max(float(lengths.mean()), 1.0))
    places: dict[str, list[int]] = {}
    numbers: dict[str, list[int]] = {}
    for place, counts in enumerate(counted):
        for word, number in counts.items():
            places.setdefault(word, []).append(place)
            numbers.setdefault(word, []).append(number)
    weighed: dict[str, tuple[NDArray[np.int64], NDArray[np.float32]]] = {}
    for word, found in places.items():
        where, count = np.array(found), np.array(numbers[word], np.float32)
        rarity = np.log(1 + (len(pool) - len(found) + 0.5) / (len(found) + 0.5))
        weighed[word] = where, (rarity * count * (K1 + 1) / (count + norms[where])).astype(np.float32)

    def scores(part: slice) -> NDArray[np.float32]:
        chosen = queries[part]
        found = np.zeros((len(chosen), len(pool)), np.float32)
        for row, query in enumerate(chosen):
            for word in dict.fromkeys(words_of(query)):
                if word in weighed:
                    where, weight = weighed[word]
                    found[row, where] += weight
        return found

    return scores
