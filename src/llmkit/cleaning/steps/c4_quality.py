"""Remove lines that are no sentences and drop pages of code or placeholders, by C4's rules (Raffel et al. 2020)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from llmkit.cleaning.steps import Drop, Rewrite
from llmkit.cleaning.steps._counted import Counted, cut_units
from llmkit.data.corpus import Document

if TYPE_CHECKING:
    from llmkit.cleaning.features import Features

_CITATION = re.compile(r"\[(?:\d*|edit|citation needed)\]")
_TERMINAL = (".", "?", "!", '"', "'", "”", "’")
_POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
# Possessive, and never begun inside a run of marks: else a megabyte of `!` takes quadratic time.
_SENTENCE_END = re.compile(r"[.!?](?<![.!?][.!?])[.!?]*+[\"'”’)\]]*+\s")
_NO_END = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|[A-Z])$")
"""What stands before the point of a title or an initial, which ends no sentence."""
_BLANK_LINES = re.compile(r"\n{3,}")


class C4Quality(Counted, Rewrite):
    """Keep the lines that are sentences, and the documents that have enough of them.

    Rules, defaults and order are those of the C4 code and of datatrove (arXiv:1910.10683, section 2.2); null or
    false switches a rule off. The lines of a hard-wrapped paragraph are judged as one and stay or go together, and a
    text that was cut off keeps its last line. For English: Chinese sentences end otherwise. The report counts removed
    lines, a paragraph as one, as `c4_quality.RULE`.
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
            number = _count_sentences(self._lines(text, document), self.min_num_sentences)
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
        lines = list(self._lines(text, document))
        last = max((place for place, line in enumerate(lines) if line.strip()), default=-1)
        for place, line in enumerate(lines):
            bare = _joined(line)
            if not bare:
                kept.append(line)
                continue
            cleared = _CITATION.sub("", line) if citations and "[" in line else line
            rule = self._long_word(bare) or self._fails(_joined(cleared), bare) or _names(_joined(cleared), unwanted)
            if rule == "filter_no_terminal_punct" and place == last and self._is_cut(text, document):
                rule = ""
            if rule:
                document.count(f"c4_quality.{rule}")
            else:
                kept.append(cleared)
            changed |= bool(rule) or cleared is not line
        return _BLANK_LINES.sub("\n\n", "\n".join(kept)).strip("\n") if changed else text

    def _found(self, text: str, document: Document) -> Features:
        from llmkit.cleaning.features import Features, features

        return features(document) if text is document.text else Features(text)

    def _lines(self, text: str, document: Document) -> Iterator[str]:
        """Yield the lines, those of a wrapped paragraph as one with the line feeds in it."""
        if (
            self.manner == "datatrove"
            or "\n" not in text
            or not (found := self._found(text, document)).units.joined.any()
        ):
            yield from text.split("\n")
            return
        starts, joined = found.lines.starts, found.units.joined
        begin = 0
        for start in starts[~joined].tolist()[1:]:
            end = text.rindex("\n", begin, start)  # the line may be indented
            yield from _behind(text[begin:end])
            begin = end + 1
        yield from _behind(text[begin:])

    def _is_cut(self, text: str, document: Document) -> bool:
        """Say whether the last line breaks off in mid-sentence."""
        return self.manner == "papers" and cut_units(self._found(text, document)) > 0

    def _long_word(self, line: str) -> str:
        limit = self.max_word_length
        # A line that is short as a whole needs no splitting.
        if limit is not None and len(line) > limit and any(len(word) > limit for word in line.split()):
            return "max_word_length"
        return ""

    def _fails(self, line: str, words: str) -> str:
        """Return the rule by which a line falls; `words` is the line with its citations, which count as words."""
        if self.filter_no_terminal_punct and (not line.endswith(_TERMINAL) or line.endswith("...")):
            return "filter_no_terminal_punct"
        limit = self.min_words_per_line
        if limit is not None and len(words.split(None, limit)) < limit:
            return "min_words_per_line"
        return ""


def _names(line: str, unwanted: tuple[str, ...]) -> str:
    folded = line.lower()
    for phrase in unwanted:
        if phrase in folded:
            return "filter_javascript" if phrase == "javascript" else "filter_policy"
    return ""


def _joined(line: str) -> str:
    """Return a line without the blanks around it; the lines of a paragraph with one space between."""
    bare = line.strip()
    return " ".join(map(str.strip, bare.split("\n"))) if "\n" in bare else bare


def _behind(paragraph: str) -> Iterator[str]:
    """Yield a paragraph, and the blank lines behind it one by one."""
    whole = paragraph.rstrip()
    tail = paragraph[len(whole) :].partition("\n")
    yield whole + tail[0]
    if tail[1]:
        yield from tail[2].split("\n")


def _count_sentences(lines: Iterator[str], enough: int) -> int:
    """Return how many sentences the lines have, but at most `enough`; every line that is not blank has one at least."""
    number = 0
    for line in lines:
        bare = _joined(line)
        number += bool(bare)
        for match in _SENTENCE_END.finditer(bare):
            number += not _NO_END.search(bare, max(match.start() - 4, 0), match.start())
            if number >= enough:
                return enough
    return min(number, enough)
