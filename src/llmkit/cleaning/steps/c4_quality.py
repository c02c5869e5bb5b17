"""Remove lines that are no sentences and drop pages of code or placeholders, by C4's rules (Raffel et al. 2020)."""

from __future__ import annotations

import re
from typing import ClassVar

from pydantic import Field

from llmkit.cleaning.steps import Drop, Rewrite
from llmkit.data.corpus import Document

_CITATION = re.compile(r"\[(?:\d*|edit|citation needed)\]")
_TERMINAL = (".", "?", "!", '"', "'", "”", "’")
_POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
# Possessive, and never begun inside a run of marks: else a megabyte of `!` takes quadratic time.
_SENTENCE_END = re.compile(r"[.!?](?<![.!?][.!?])[.!?]*+[\"'”’)\]]*+\s")
_NO_END = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|[A-Z])$")
"""What stands before the point of a title or an initial, which ends no sentence."""
_BLANK_LINES = re.compile(r"\n{3,}")


class C4Quality(Rewrite):
    """Keep the lines that are sentences, and the documents that have enough of them.

    Rules, defaults and order are those of the C4 code and of datatrove (arXiv:1910.10683, section 2.2); null or
    false switches a rule off. Hard-wrapped text loses most of its lines: unwrap it first. For English: Chinese
    sentences end otherwise. The report counts removed lines as `c4_quality.RULE`.
    """

    by_line: ClassVar[bool] = True

    max_word_length: int | None = Field(1000, ge=1)
    """Remove lines with a longer word, in characters."""
    remove_citations: bool = True
    """Remove `[1]`, `[]`, `[edit]` and `[citation needed]`, as Wikipedia has them."""
    filter_no_terminal_punct: bool = True
    """Remove lines that do not end in `.` `?` `!` or a closing quote, or that end in an ellipsis."""
    min_words_per_line: int | None = Field(3, ge=1)
    """Remove lines of fewer words, counted between blanks."""
    filter_lorem_ipsum: bool = True
    """Drop documents with a kept line that contains "lorem ipsum"."""
    filter_javascript: bool = True
    """Remove lines that contain "javascript"."""
    filter_curly_bracket: bool = True
    """Drop documents with a kept line that contains `{`."""
    filter_policy: bool = True
    """Remove lines about terms of use, privacy and cookies."""
    min_num_sentences: int | None = Field(5, ge=1)
    """Fewest sentences in the lines that are kept."""

    def apply(self, document: Document) -> Drop | None:
        """Drop the document, or rewrite it."""
        if drop := super().apply(document):
            return drop
        text = document.text
        if self.filter_lorem_ipsum and "lorem ipsum" in text.lower():
            return Drop("c4_quality.filter_lorem_ipsum", "lorem ipsum", "none")
        if self.filter_curly_bracket and "{" in text:
            return Drop("c4_quality.filter_curly_bracket", text.count("{"), 0)
        if self.min_num_sentences is not None:
            number = _count_sentences(text, self.min_num_sentences)
            if number < self.min_num_sentences:
                return Drop("c4_quality.min_num_sentences", number, self.min_num_sentences)
        return None

    def rewrite(self, text: str, document: Document) -> str:
        """Return the text without the lines that fall; blank lines between the others stay."""
        folded = text.lower()
        unwanted: tuple[str, ...] = ("javascript",) if self.filter_javascript and "javascript" in folded else ()
        unwanted += tuple(phrase for phrase in _POLICY if phrase in folded) if self.filter_policy else ()
        citations = self.remove_citations and "[" in text
        kept: list[str] = []
        changed = False
        for line in text.split("\n"):
            bare = line.strip()
            if not bare:
                kept.append(line)
                continue
            rule = self._long_word(bare)
            if not rule:
                words = bare
                if citations and "[" in bare:
                    line, bare = _CITATION.sub("", line), _CITATION.sub("", bare)  # noqa: PLW2901
                    changed |= len(bare) != len(words)
                rule = self._fails(bare, words) or _names(bare, unwanted)
            if rule:
                document.count(f"c4_quality.{rule}")
                changed = True
            else:
                kept.append(line)
        return _BLANK_LINES.sub("\n\n", "\n".join(kept)).strip("\n") if changed else text

    def _long_word(self, line: str) -> str | None:
        limit = self.max_word_length
        # A line that is short as a whole needs no splitting.
        if limit is not None and len(line) > limit and any(len(word) > limit for word in line.split()):
            return "max_word_length"
        return None

    def _fails(self, line: str, words: str) -> str | None:
        """Return the rule by which a line falls; `words` is the line with its citations, which count as words."""
        if self.filter_no_terminal_punct and (not line.endswith(_TERMINAL) or line.endswith("...")):
            return "filter_no_terminal_punct"
        limit = self.min_words_per_line
        if limit is not None and len(words.split(None, limit)) < limit:
            return "min_words_per_line"
        return None


def _names(line: str, unwanted: tuple[str, ...]) -> str | None:
    folded = line.lower()
    for phrase in unwanted:
        if phrase in folded:
            return "filter_javascript" if phrase == "javascript" else "filter_policy"
    return None


def _count_sentences(text: str, enough: int) -> int:
    """Return how many sentences the lines have, but at most `enough`; every line that is not blank has one at least."""
    number = 0
    for line in text.split("\n"):
        bare = line.strip()
        number += bool(bare)
        for match in _SENTENCE_END.finditer(bare):
            number += not _NO_END.search(bare, max(match.start() - 4, 0), match.start())
            if number >= enough:
                return enough
    return min(number, enough)
