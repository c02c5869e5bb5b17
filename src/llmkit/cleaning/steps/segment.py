"""Cut Chinese into words, joined by spaces, for steps and tools that take what stands between spaces for a word."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from llmkit.cleaning.steps import Rewrite
from llmkit.cleaning.steps._words import blocks, is_chinese
from llmkit.core.extras import require
from llmkit.data.corpus import Document
from llmkit.text.characters import has_script, script_class

_NEEDS = ("classic", "rjieba")


class Segment(Rewrite):
    """Put spaces between Chinese words (jieba's dictionary and HMM); all that is not Chinese stays.

    Documents in Japanese and Korean, and those of no known language with kana in them, are left alone. Needs the
    extra `classic`.
    """

    hmm: bool = True
    """Guess words that are not in the dictionary, such as names."""

    def needs(self) -> tuple[str, str]:
        """Return what brings the segmenter."""
        return _NEEDS

    def rewrite(self, text: str, document: Document) -> str:
        """Return the text with its Chinese words apart."""
        if text.isascii() or not has_script(text, "Han") or not is_chinese(text, document):
            return text
        new = "".join(_segment(block, self.hmm) for block in blocks(text))
        return text if new == text else new


def _segment(text: str, hmm: bool) -> str:
    parts = _han().split(text)  # other, Chinese, other, ... other
    # One call for all runs: a newline is a word of its own to jieba, and no run holds one.
    words = _cutter()("\n".join(parts[1::2]), hmm)
    parts[1::2] = " ".join(words).split(" \n ")
    # `用Python写` -> `用 Python 写`; beside punctuation and spaces nothing is needed.
    last = len(parts) - 1
    for i in range(0, last + 1, 2):
        other = parts[i]
        left = " " if i > 0 and other[:1].isalnum() else ""
        right = " " if i < last and other[-1:].isalnum() else ""
        parts[i] = f"{left}{other}{right}" if left or right else other
    return "".join(parts)


@functools.cache
def _han() -> re.Pattern[str]:
    return re.compile(f"([{script_class('Han')}]+)")


@functools.cache
def _cutter() -> Callable[[str, bool], list[str]]:
    return require(*_NEEDS).cut  # type: ignore[no-any-return]
