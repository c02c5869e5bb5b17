"""Family "step": one cleaning operation each; a filter says keep (None) or drop, with the rule and its numbers."""

from __future__ import annotations

from dataclasses import dataclass

from llmkit.core.registry import Part
from llmkit.data.corpus import Document


@dataclass(frozen=True, slots=True)
class Drop:
    """Why a document is dropped.

    Attributes:
        rule: Name of the rule, `step` or `step.rule`.
        value: What was measured.
        threshold: What it was compared with.
    """

    rule: str
    value: str | float
    threshold: str | float


class Step(Part):
    """One operation on one document; it may change the document in place or drop it."""

    def apply(self, document: Document) -> Drop | None:
        """Return None to keep the document, or why it is dropped."""
        raise NotImplementedError


class Rewrite(Step):
    """A step that changes text: the document's own, or every message's where the rows are labelled."""

    def rewrite(self, text: str, document: Document) -> str:
        """Return the new text."""
        raise NotImplementedError

    def apply(self, document: Document) -> Drop | None:
        """Rewrite the document."""
        if document.messages is None:
            document.text = self.rewrite(document.text, document)
        else:
            for message in document.messages:
                message["content"] = self.rewrite(message["content"], document)
            document.text = "\n".join(message["content"] for message in document.messages)
        return None


class Deduplicate(Step):
    """A step that compares documents with each other: of equal keys, the first in input order is kept."""

    def key(self, document: Document) -> bytes:
        """Return 16 bytes that are equal for duplicates."""
        raise NotImplementedError

    def apply(self, document: Document) -> Drop | None:  # noqa: ARG002 - the interface
        """Keep every document: duplicates are found in the merge, which sees all of them in order."""
        return None
