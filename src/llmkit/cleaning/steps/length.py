"""Drop documents that are too short to teach anything or too long to be one text."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from llmkit.cleaning.steps import Drop, Step
from llmkit.data.corpus import Document


class Length(Step):
    """Keep documents whose length in characters lies within bounds, surrounding whitespace not counted."""

    min_chars: int = Field(1, ge=0)
    """Shortest document kept, in characters (a Chinese character counts as one)."""
    max_chars: int | None = Field(None, ge=1)
    """Longest document kept, in characters; null for no limit."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_chars is not None and self.max_chars < self.min_chars:
            raise ValueError(
                f"max_chars {self.max_chars} is less than min_chars {self.min_chars}: nothing would be kept"
            )
        return self

    def apply(self, document: Document) -> Drop | None:
        """Return why the document falls, if it does."""
        length = len(document.text.strip())
        if length < self.min_chars:
            return Drop("length.min_chars", length, self.min_chars)
        if self.max_chars is not None and length > self.max_chars:
            return Drop("length.max_chars", length, self.max_chars)
        return None
