"""What a text is found by: stems of its words and, in scripts without spaces, characters and pairs of them.

Recall@5 of 513 questions about the help of LibreOffice (benchmarks/retrieval.py): English words 0.536, their stems
0.602; Chinese words as jieba cuts them for searching 0.579, without its guesses 0.589, pairs 0.589, characters and
pairs 0.618. A name that no dictionary has is cut alike in a text and a question only where nothing is guessed.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from itertools import pairwise
from typing import TYPE_CHECKING

from llmkit.core.extras import require
from llmkit.text.characters import MARK, character_table, unspaced_class, word_class

if TYPE_CHECKING:
    from Stemmer import Stemmer

_ASCII = re.compile(r"\w+")


def terms(text: str) -> list[str]:
    """Return what a text is found by, in order; width, case and the endings of English words do not count.

    Not to be called by several threads at a time: the stemmer is one.

    Raises:
        SetupError: What stems words is not installed.
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    if text.isascii():
        found: list[str] = _stemmer().stemWords(_ASCII.findall(text))
        return found
    return [term for part in _words().findall(text) for term in _terms(part)]


def _terms(part: str) -> list[str]:
    if part.isascii():
        return [_stemmer().stemWord(part)]
    found: list[str] = []
    for number, run in enumerate(_runs().split(part)):  # with spaces, without, with ...
        if number % 2:
            found += _characters(run)
        elif run:
            found.append(_stemmer().stemWord(run))
    return found


def _characters(run: str) -> list[str]:
    """Return each character with the marks on it, and each two that follow one another."""
    info, single = character_table().info, list[str]()
    for character in run:
        if single and info[ord(character)] & MARK:
            single[-1] += character
        else:
            single.append(character)
    return [*single, *(first + second for first, second in pairwise(single))]


@functools.cache
def _words() -> re.Pattern[str]:
    return re.compile(f"[{word_class()}]+")


@functools.cache
def _runs() -> re.Pattern[str]:
    return re.compile(f"([{unspaced_class()}]+)")


@functools.cache
def _stemmer() -> Stemmer:
    return require("retrieval", "Stemmer").Stemmer("english")
