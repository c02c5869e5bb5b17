"""Drop all but the first of documents with equal text."""

from __future__ import annotations

import hashlib

from llmkit.cleaning.steps import Deduplicate
from llmkit.data.corpus import Document


class ExactDuplicates(Deduplicate):
    """Compare 128-bit hashes of the text, with runs of whitespace taken as one space."""

    def key(self, document: Document) -> bytes:
        """Return the hash. 128 bits: no unique document is lost to a collision, as with a Bloom filter."""
        return hashlib.blake2b(" ".join(document.text.split()).encode("utf-8"), digest_size=16).digest()
