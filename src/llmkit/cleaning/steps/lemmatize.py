"""Put words into their dictionary form (went -> go, houses -> house), for classic text mining."""

from __future__ import annotations

import functools

from llmkit.cleaning.steps._words import Memo, WordRewrite
from llmkit.core.extras import require

_LANGUAGES = {
    "ar", "ast", "bg", "ca", "cs", "cy", "da", "de", "el", "en", "enm", "eo", "es", "et", "fa", "fi", "fr", "ga",
    "gd", "gl", "grc", "gv", "hbs", "he", "hi", "hu", "hy", "id", "is", "it", "ka", "la", "lb", "lt", "lv", "mk",
    "ml", "ms", "nb", "nl", "nn", "pl", "pt", "ro", "ru", "se", "sk", "sl", "sq", "sv", "sw", "tl", "tr", "uk",
}  # fmt: skip
_ALIASES = {"no": "nb", "hr": "hbs", "sr": "hbs", "bs": "hbs", "sh": "hbs"}

_NEEDS = ("classic", "simplemma")


class Lemmatize(WordRewrite):
    """Put each word's lemma in its place (simplemma, 54 languages), word by word, without its context.

    Languages without a dictionary, Chinese among them, stay as they are. Needs the extra `classic`.
    """

    def needs(self) -> tuple[str, str]:
        """Return what brings the dictionaries."""
        return _NEEDS

    def memo(self, language: str) -> Memo | None:
        """Return the lemmas of a language; its dictionary takes about 0.1 s to load."""
        language = _ALIASES.get(language, language)
        return _lemmas(language) if language in _LANGUAGES else None


@functools.cache
def _lemmas(language: str) -> Memo:
    # Without simplemma's own cache of 65,536 words: the memo is the cache.
    lemmatizer = require(*_NEEDS).Lemmatizer(cache_max_size=0)
    return Memo(lambda word: lemmatizer.lemmatize(word, language))
