"""Cut words to their stems (running, runs -> run), for classic text mining."""

from __future__ import annotations

import functools

from llmkit.cleaning.steps._words import Memo, WordRewrite
from llmkit.core.extras import require

_ALGORITHMS = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english",
    "eo": "esperanto", "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish",
    "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian",
    "it": "italian", "lt": "lithuanian", "nb": "norwegian", "ne": "nepali", "nl": "dutch", "nn": "norwegian",
    "no": "norwegian", "pl": "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian",
    "st": "sesotho", "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip

_NEEDS = ("classic", "Stemmer")


class Stem(WordRewrite):
    """Put each word's lower-case Snowball stem in its place (https://snowballstem.org, 34 languages).

    Languages without an algorithm, Chinese among them, stay as they are. Needs the extra `classic`.
    """

    def needs(self) -> tuple[str, str]:
        """Return what brings the stemmers."""
        return _NEEDS

    def memo(self, language: str) -> Memo | None:
        """Return the stems of a language."""
        return _stems(_ALGORITHMS[language]) if language in _ALGORITHMS else None


@functools.cache
def _stems(algorithm: str) -> Memo:
    stemmer = require(*_NEEDS).Stemmer(algorithm, 0)  # 0: the memo is the cache
    return Memo(lambda word: stemmer.stemWord(word.lower().replace("’", "'")))
