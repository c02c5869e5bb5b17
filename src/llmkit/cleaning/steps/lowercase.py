"""Bring text into lower case, for classic text mining: models for generation want the case kept."""

from __future__ import annotations

from llmkit.cleaning.steps import Rewrite
from llmkit.cleaning.steps._words import primary
from llmkit.data.corpus import Document

_DOTLESS = str.maketrans({"I": "ı", "İ": "i"})


class Lowercase(Rewrite):
    """Lower-case the text by Unicode's rules; in Turkish and Azerbaijani documents `I` becomes `ı`."""

    def rewrite(self, text: str, document: Document) -> str:
        """Return the text in lower case."""
        lowered = text.translate(_DOTLESS) if primary(document.language) in ("tr", "az") else text
        lowered = lowered.lower()
        return text if lowered == text else lowered
