"""Text that a model does not get to see: its tokenizer's vocabulary lacks it, or its tokenizer drops it.

Such text costs a model nothing: an unknown token is easy to predict, whatever it stands for. A figure per byte over
text that was read as 99% unknown is near zero, and says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

MAX_UNREAD_SHARE = 0.01
"""Share of the bytes of a text that may be unknown or lost: with more of it no figure per byte, word or token is given.
With less, figures per byte are divided by the bytes that were read."""


class Unread(NamedTuple):
    """UTF-8 bytes of text that a model does not get to see.

    Attributes:
        unknown: Of characters that became the unknown token, whole or in part.
        lost: Of characters that became no token at all. White space does not count, which many tokenizers imply, nor do
            case and accents that a normalizer folds.
    """

    unknown: int = 0
    lost: int = 0

    @classmethod
    def in_counts(cls, counts: Mapping[str, Any]) -> Unread:
        """Return what a split of a tokens artifact says of itself; one of an earlier version says nothing."""
        return cls(counts.get("unknown_bytes", 0), counts.get("lost_bytes", 0))

    def as_counts(self) -> dict[str, int]:
        """Return what `in_counts` reads."""
        return {"unknown_bytes": self.unknown, "lost_bytes": self.lost}

    @property
    def total(self) -> int:
        """Bytes of both kinds."""
        return self.unknown + self.lost

    def plus(self, other: Unread) -> Unread:
        """Add those of another text."""
        return Unread(self.unknown + other.unknown, self.lost + other.lost)

    def shares(self, num_bytes: int) -> dict[str, float]:
        """Return `unknown_share` and `lost_share` of so many bytes."""
        whole = max(num_bytes, 1)
        return {"unknown_share": round(self.unknown / whole, 6), "lost_share": round(self.lost / whole, 6)}

    def is_too_much(self, num_bytes: int) -> bool:
        """Tell whether figures over so many bytes of text mean nothing."""
        return self.total > MAX_UNREAD_SHARE * num_bytes

    def words(self, num_bytes: int) -> str:
        """Say it: `12.3% of the bytes are unknown to the tokenizer, 0.5% lost by it`; nothing where all was read."""
        if not self.total:
            return ""
        unknown, lost = (f"{100 * part / max(num_bytes, 1):.3g}%" for part in self)
        if not self.lost:
            return f"{unknown} of the bytes are unknown to the tokenizer"
        if not self.unknown:
            return f"{lost} of the bytes are lost by the tokenizer"
        return f"{unknown} of the bytes are unknown to the tokenizer, {lost} lost by it"
