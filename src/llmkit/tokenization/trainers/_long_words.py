"""Cut words of enormous length before training: merging takes time that grows with the square of the longest word.

What a language writes is far shorter. A genome, a megabyte of base64 or a line of blanks is one word to the patterns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers.pre_tokenizers import PreTokenizer

    from llmkit.core.console import Console

MAX_WORD_CHARS = 1000
_BLOCK = MAX_WORD_CHARS // 2
"""A longer word covers at least one whole block of so many characters, counted from the start of the text."""
_REGION_CHARS = 200 * _BLOCK
"""What the pre-tokenizer is given at a time, which makes a Python object of every word."""
# What lies inside a word is free of white space and common punctuation, or it is nothing but such. Both expressions
# give up at the first character that is not, so that looking at ordinary text costs next to nothing.
_LETTERS = re.compile(rf"[^\s!-/:-@\[-`{{-~，。、；：？！“”‘’（）《》…]{{{_BLOCK}}}")
_SIGNS = re.compile(rf"[\W_]{{{_BLOCK}}}")


class LongWords:
    """Cuts the words of more than 1,000 characters in texts to train on, and counts them.

    Args:
        pre_tokenizer: Decides what a word is.
    """

    def __init__(self, pre_tokenizer: PreTokenizer) -> None:
        self._pre_tokenizer = pre_tokenizer
        self.count = 0

    def cut(self, texts: Iterable[str]) -> Iterator[str]:
        """Yield the texts; one with a long word in parts, each of which ends where a piece of a long word does."""
        for text in texts:
            start = 0
            if len(text) > MAX_WORD_CHARS:
                for stop in self._places(text):
                    yield text[start:stop]
                    start = stop
            yield text[start:] if start else text

    def say(self, console: Console) -> None:
        """Tell of what was cut."""
        if self.count:
            words = "1 word" if self.count == 1 else f"{self.count:,} words"
            console.warn(f"{words} of more than {MAX_WORD_CHARS:,} characters: trained on in pieces of that length")

    def _places(self, text: str) -> Iterator[int]:
        for start, stop in _regions(text):
            for _, (first, last) in self._pre_tokenizer.pre_tokenize_str(text[start:stop]):
                if last - first > MAX_WORD_CHARS:
                    self.count += 1
                    yield from range(start + first + MAX_WORD_CHARS, start + last, MAX_WORD_CHARS)


def _regions(text: str) -> Iterator[tuple[int, int]]:
    """Yield the stretches that may hold a long word: runs of blocks, with the block on either side."""
    start = None
    for block in range(0, len(text) - _BLOCK + 1, _BLOCK):
        inside = _may_be_inside(text, block)
        if start is not None and not inside:
            yield start, block + _BLOCK
            start = None
        elif start is not None and block - start >= _REGION_CHARS:
            yield start, block
            start = block
        elif start is None and inside:
            start = max(0, block - _BLOCK)
    if start is not None:
        yield start, len(text)


def _may_be_inside(text: str, start: int) -> bool:
    return bool(_LETTERS.match(text, start) or _SIGNS.match(text, start))
