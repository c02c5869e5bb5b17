"""Keep a part of the documents, chosen by a hash of their ids: the same ones on every machine and in every order."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import Field

from llmkit.cleaning.steps import Drop, Step
from llmkit.data.corpus import Document

Fraction = Annotated[float, Field(ge=0, le=1)]


class Sample(Step):
    """Keep a fraction of the documents; with one seed, a smaller sample is part of every larger one."""

    fraction: Fraction = 1.0
    """Part of the documents that is kept, 0 to 1."""
    per_source: dict[str, Fraction] = {}
    """Other fractions for the sources named here."""
    seed: int = 0
    """Another seed, another sample."""

    def apply(self, document: Document) -> Drop | None:
        """Return why the document falls, if it does."""
        fraction = self.per_source.get(document.source, self.fraction)
        digest = hashlib.blake2b(f"{self.seed} {document.id}".encode(), digest_size=8).digest()
        # 53 bits, as many as a float holds, so that the value is below 1 and a fraction of 1 keeps everything.
        value = (int.from_bytes(digest) >> 11) / 2**53
        return None if value < fraction else Drop("sample", round(value, 6), fraction)
