"""Exact match and F1 of answers as SQuAD's own script counts them (Rajpurkar et al. 2016, 2018), Chinese by characters.

A text without characters of scripts that have no spaces gets what the official script gives. In one with them each such
character is a word of its own, as in CMRC 2018, and punctuation of all scripts is left out. The F1 is that of bags of
words; CMRC's own, `longest_overlap`, is that of the longest stretch that both have (Cui et al. 2019).
"""

from __future__ import annotations

import functools
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)


def answer_words(text: str) -> list[str]:
    """Return the words of an answer: lower case, without punctuation and articles."""
    words = _ARTICLES.sub(" ", text.lower().translate(_ASCII_PUNCTUATION)).split()
    if text.isascii() or not _unspaced().search(text):
        return words
    kept = "".join(char for char in " ".join(words) if not unicodedata.category(char).startswith("P"))
    return _unspaced().sub(r" \g<0> ", kept).split()


def exact(answer: str, references: Sequence[str]) -> float:
    """Return 1 where the words are those of a reference; no answer at all is right where there is no reference."""
    words = answer_words(answer)
    return float(any(words == answer_words(reference) for reference in _known(references)))


def overlap(answer: str, references: Sequence[str]) -> float:
    """Return the F1 of the words, as a bag, with the reference that they are most like."""
    return max(_f1(answer_words(answer), answer_words(reference)) for reference in _known(references))


def longest_overlap(answer: str, references: Sequence[str]) -> float:
    """Return the F1 of the longest stretch of words that answer and reference share, best of several; as CMRC 2018."""
    words = answer_words(answer)
    return max(_stretch_f1(words, answer_words(reference)) for reference in _known(references))


def is_by_characters(texts: Sequence[str]) -> bool:
    """Tell whether any of some texts has characters that are words of their own."""
    return any(not text.isascii() and _unspaced().search(text) for text in texts)


def best_threshold(margins: NDArray[np.float64], right: NDArray[np.float64], answerable: NDArray[np.bool_]) -> float:
    """Return the threshold with which most is right: below it the best span is said, above it that there is no answer.

    It lies between two margins, or 1 beyond the outermost, so that none is decided by rounding. Where all questions are
    of one kind it is 0: nothing says then what is too much.

    Args:
        margins: How far "no answer" is above the best span, by question.
        right: What the span is worth, from 0 to 1.
        answerable: Which questions have an answer.
    """
    if answerable.all() or not answerable.any():
        return 0.0
    order = np.argsort(margins, kind="stable")
    margins, gains = margins[order], np.where(answerable, right, -1.0)[order]
    borders = np.append(np.flatnonzero(np.diff(margins) > 0), len(margins) - 1)  # those alike are decided alike
    best = int(np.append(0.0, np.cumsum(gains)[borders]).argmax())
    distinct = np.concatenate([[margins[0] - 1], margins[borders], [margins[-1] + 1]])
    if best in (0, len(borders)):
        return float(distinct[0] if best == 0 else distinct[-1])
    return float(distinct[best : best + 2].mean())


def _known(references: Sequence[str]) -> Sequence[str]:
    """Return the references, or that nothing is to be said; those that are nothing but articles are none."""
    return [reference for reference in references if answer_words(reference)] or [""]


def _f1(words: list[str], reference: list[str]) -> float:
    if not (words and reference):
        return float(words == reference)
    same = sum((Counter(words) & Counter(reference)).values())
    return 2 * same / (len(words) + len(reference))


def _stretch_f1(words: list[str], reference: list[str]) -> float:
    if not (words and reference):
        return float(words == reference)
    longest, before = 0, [0] * (len(reference) + 1)
    for word in words:
        row = [0] * (len(reference) + 1)
        for place, other in enumerate(reference):
            if word == other:
                row[place + 1] = before[place] + 1
        longest, before = max(longest, *row), row
    return 2 * longest / (len(words) + len(reference))


@functools.cache
def _unspaced() -> re.Pattern[str]:
    from llmkit.text.characters import unspaced_class

    return re.compile(f"[{unspaced_class()}]")
