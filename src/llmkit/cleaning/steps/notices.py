"""Drop documents that are nothing but notices: cookie banners, rights and terms, calls to share, error pages."""

from __future__ import annotations

import functools
import re

from pydantic import Field

from llmkit.cleaning.steps import Drop, Step
from llmkit.cleaning.steps._notices import STRONG, WEAK
from llmkit.cleaning.steps._phrases import BOILERPLATE, Phrases
from llmkit.data.corpus import Document

_SENTENCE = re.compile(r"[^.!?\n。！？]+(?:[.!?](?!\s)[^.!?\n。！？]+)*+")
_ADDRESSED = re.compile(
    r"\b(?:we|our|us|you|your|site|website|page|browser|partners?)\b|我们|我們|您|你|本站|网站|網站|浏览器", re.I
)
_DIFFERENT = 3
"""Different phrases that it takes where none is said in notices alone: a recipe has cookies, a law licences and an
essay consent, again and again."""
_FIRST_TOKENS, _TOKENS_PER_HIT = 200, 100
"""A text with fewer hits than one in so many tokens is no notice, and is not cut into sentences."""


class Notices(Step):
    """Drop documents whose sentences are mostly about cookies, rights, terms, sharing and errors; English and Chinese.

    A page about cookies, or a licence below an article, stays: it is the share of the text that counts. `lines`
    removes single lines of that kind.
    """

    max_ratio: float = Field(0.4, ge=0, le=1)
    """Largest share of characters in sentences that hold a phrase of notices."""
    phrases: list[str] = []
    """More phrases; they match whole words, upper and lower case alike."""

    def apply(self, document: Document) -> Drop | None:
        """Return the share, if it is too large."""
        from llmkit.cleaning.features import features

        found = features(document)
        known = _phrases(tuple(self.phrases))
        # What is no notice at its beginning is none: most documents cost a look at 200 words.
        if len(known.find(found, _FIRST_TOKENS)) * _TOKENS_PER_HIT < min(_FIRST_TOKENS, len(found.tokens.kinds)):
            return None
        if not _is_notice(found.text.casefold(), known):
            return None
        hits = found.tokens.starts[known.find(found)].tolist()
        share = _share(found.text, hits, (*known.groups["only"], *known.groups["sure"]))
        return Drop("notices.max_ratio", share, self.max_ratio) if share > self.max_ratio else None


def _is_notice(text: str, known: Phrases) -> bool:
    """Tell whether a text has a phrase of notices alone, or several others; `cookies` and `cookie` are the same one."""
    if any(phrase in text for phrase in known.groups["only"]):
        return True
    said = {phrase.rstrip("s") for name in ("sure", "doubtful") for phrase in known.groups[name] if phrase in text}
    return sum(not any(one != other and one in other for other in said) for one in said) >= _DIFFERENT


def _share(text: str, hits: list[int], sure: tuple[str, ...]) -> float:
    """Return the share of the text in sentences with a phrase; one that is not sure needs somebody spoken to."""
    total, noticed = 0, 0
    for match in _SENTENCE.finditer(text):
        size = match.end() - match.start()
        total += size
        if _within(hits, match):
            sentence = match.group().casefold()
            noticed += size * bool(any(phrase in sentence for phrase in sure) or _ADDRESSED.search(sentence))
    return noticed / (total or 1)


def _within(hits: list[int], match: re.Match[str]) -> bool:
    """Drop the hits before the end of a sentence from the list; say whether there were any."""
    count = 0
    while count < len(hits) and hits[count] < match.end():
        count += 1
    del hits[:count]
    return count > 0


@functools.cache
def _phrases(extra: tuple[str, ...]) -> Phrases:
    built_in = tuple(p for name in ("cookies", "share", "copyright") for p in BOILERPLATE[name])
    return Phrases({"only": (*built_in, *extra), "sure": STRONG, "doubtful": WEAK})
