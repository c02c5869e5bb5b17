"""Bits per byte and perplexities of text that a model has scored, or why there are none."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from llmkit.data.unread import MAX_UNREAD_SHARE, Unread

MAX_PERPLEXITY = 1e12
"""A greater one is left out: it tells nothing that bits per byte do not, and its digits fill a line."""


@dataclass
class TextScore:
    """Sums over texts.

    Attributes:
        log_likelihood: Of all their tokens, in nats.
        num_bytes: UTF-8 bytes.
        num_tokens: Targets.
        num_words: Words, as `count_words` finds them in any language; None where words are not asked for.
        unread: What the model's tokenizer did not read of them.
    """

    log_likelihood: float = 0.0
    num_bytes: int = 0
    num_tokens: int = 0
    num_words: int | None = None
    unread: Unread = field(default_factory=Unread)

    def add(
        self, log_likelihood: float, num_bytes: int, num_tokens: int, unread: Unread, *, num_words: int = 0
    ) -> None:
        """Add a text."""
        self.log_likelihood += log_likelihood
        self.num_bytes += num_bytes
        self.num_tokens += num_tokens
        self.unread = self.unread.plus(unread)
        if self.num_words is not None:
            self.num_words += num_words

    def shares(self) -> dict[str, float]:
        """Return what was not read, as shares of the bytes: `unknown_share` and `lost_share`."""
        return self.unread.shares(self.num_bytes)

    def scores(self) -> tuple[dict[str, float], list[str]]:
        """Return bits_per_byte and perplexities, and sentences on what is left out since it would mean nothing.

        Bits per byte are of the bytes that were read: unknown text costs nothing and counts nothing.
        """
        words = self.unread.words(self.num_bytes)
        if self.unread.is_too_much(self.num_bytes):
            return {}, [f"no scores: {words}, and with more than {100 * MAX_UNREAD_SHARE:g}% they mean nothing"]
        scores = {"bits_per_byte": -self.log_likelihood / (self.num_bytes - self.unread.total) / math.log(2)}
        notes = [f"{words}; bits per byte are of the others"] if words else []
        for name, count in (("word_perplexity", self.num_words), ("token_perplexity", self.num_tokens)):
            if count is None:
                continue
            if not count:
                notes.append(f"no {name}: the text has no words")
            elif -self.log_likelihood / count > math.log(MAX_PERPLEXITY):
                notes.append(f"no {name}: it is over {MAX_PERPLEXITY:,.0f}")
            else:
                scores[name] = math.exp(-self.log_likelihood / count)
        return scores, notes
