"""What all tokenizers trained on the corpus have in common: their size, their special tokens, the text they see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from llmkit.text.languages import check_tag
from llmkit.tokenization.trainers import Texts, TokenizerPart
from llmkit.tokenization.trainers._sampling import sample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class TrainedPart(TokenizerPart):
    """A tokenizer trained on the train split of the corpus."""

    vocab_size: int = Field(16384, gt=0, le=2**24)
    """Tokens in all, special tokens included."""
    special_tokens: list[str] = []
    """Special tokens beside those the type has of its own."""
    max_training_bytes: int | None = Field(None, gt=0)
    """Train on a sample of about so many UTF-8 bytes, spread over the whole corpus; null for all of it."""
    weight_by: Literal["source", "language"] = "source"
    """What `weights` names and `temperature` levels out."""
    weights: dict[str, Annotated[float, Field(ge=0)]] = {}
    """How much more or less the text of a source (or language) counts than its size says; 1 where it is not named, 0
    leaves it out. What counts more than it has bytes is read repeatedly. Of a language, `eng` is `en`."""
    temperature: float = Field(1.0, ge=1)
    """Above 1, small sources (or languages) count more: shares go with bytes^(1 / temperature)."""

    @field_validator("weights")
    @classmethod
    def _languages_in_one_form(cls, weights: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        if info.data.get("weight_by") != "language":
            return weights
        found = {check_tag(tag): weight for tag, weight in weights.items()}
        if len(found) < len(weights):
            raise ValueError(f"two tags name one language; in one form they are {', '.join(found)}")
        return found

    @field_validator("special_tokens")
    @classmethod
    def _check_special(cls, tokens: list[str]) -> list[str]:
        for token in tokens:
            if len(token) < 2:
                raise ValueError(f"special token {token!r} needs two characters or more: single ones stand for bytes")
        return tokens

    def known_size(self) -> int:
        """Return the size asked for; the text may give fewer."""
        return self.vocab_size

    def sample(self, texts: Texts) -> Iterator[str]:
        """Yield the text to train on; one pass."""
        return sample(
            texts,
            lambda text: text.language if self.weight_by == "language" else text.source,
            max_bytes=self.max_training_bytes,
            weights=self.weights,
            temperature=self.temperature,
        )

    def notes(self, tokenizer: PreTrainedTokenizerFast) -> list[str]:
        """Say where the text gave fewer tokens than asked for."""
        size = len(tokenizer)
        return [f"note: the text gave only {size:,} of {self.vocab_size:,} tokens"] if size < self.vocab_size else []
