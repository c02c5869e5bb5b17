"""Put the documents of all sources in one random order, the same on every machine."""

from __future__ import annotations

import hashlib

from pydantic import Field

from llmkit.cleaning.steps import Order
from llmkit.data.corpus import Document


class Shuffle(Order):
    """Sort the documents by a hash of the seed and their ids; the last step of a recipe."""

    seed: int = Field(0, ge=0)
    """Seed of the order."""

    def order_key(self, document: Document) -> int:
        """Return 64 bits of the hash."""
        digest = hashlib.blake2b(f"{self.seed}\0{document.id}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big")
