"""Family "step": one cleaning operation each; a filter says keep (None) or drop, with the rule and its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

from pydantic import AfterValidator

from llmkit.core.registry import Part
from llmkit.data.corpus import Document
from llmkit.data.rows import RowError
from llmkit.text.languages import check_tag, covers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmkit.cleaning.survey import Survey, Verdict
    from llmkit.work.engine import Engine


LanguageTag = Annotated[str, AfterValidator(check_tag)]


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

    only_languages: list[LanguageTag] | None = None
    """Apply the step only to documents of these languages (`language` finds them); null for all. `zh` means `zh-Hant`
    and `yue` too, `eng` is `en`."""

    def concerns(self, document: Document) -> bool:
        """Say whether the step applies to a document."""
        return self.only_languages is None or covers(self.only_languages, document.language)

    def reads(self) -> list[Path]:
        """Return the files that the step's work depends on: their digests are part of the run's identity."""
        return []

    def needs(self) -> tuple[str, str] | None:
        """Return the extra and the module of it that the step imports later: without it, no run begins."""
        return None

    def apply(self, document: Document) -> Drop | None:
        """Return None to keep the document, or why it is dropped."""
        raise NotImplementedError

    def conceal(self, text: str) -> str:
        """Take out of a sample for the report what no reader of it may see; it fell before it came to this step."""
        return text


class Rewrite(Step):
    """A step that changes text: the document's own, or each text of its row where the rows are labelled."""

    by_line: ClassVar[bool] = False
    """Whether it removes lines: single words, which some rows are made of, are none."""

    def rewrite(self, text: str, document: Document) -> str:
        """Return the new text; the same object where nothing changes, so that what was computed about it stays."""
        raise NotImplementedError

    def apply(self, document: Document) -> Drop | None:
        """Rewrite the document; drop it if that leaves no row of its kind."""
        if document.row is None or document.kind is None:
            document.text = self.rewrite(document.text, document)
            return None
        if self.by_line and not document.kind.prose:
            return None
        before = document.kind.texts(document.row)
        after = {name: self.rewrite(text, document) for name, text in before.items()}
        if all(after[name] is text for name, text in before.items()):
            return None
        try:
            document.row = document.kind.with_texts(document.row, after)
        except RowError as error:
            return Drop(f"{self.type_name}.emptied", str(error), "no empty text")
        document.text = document.kind.key_text(document.row)
        return None


class Recorder(Protocol):
    """Collects what a global step wants to know about the documents of one task."""

    def add(self, row: int, document: Document) -> None:
        """Take in the document that stands at `row` of the task."""

    def tables(self) -> Mapping[str, NDArray[Any]]:
        """Return what was collected, as arrays by name. One with a field `key` is cut into buckets by it."""


class GlobalStep(Step):
    """A step that decides about each document by what it knows of all of them.

    The work is a plan in three parts, none of which holds all documents: every task records a few bytes per document,
    `decide` compares the records bucket by bucket and leaves verdicts, and `act` carries them out in the next pass.
    """

    edits: ClassVar[bool] = False
    """Whether `act` changes text, so that the steps behind it have to read the documents anew."""

    def apply(self, document: Document) -> Drop | None:  # noqa: ARG002 - the interface
        """Keep every document: one alone tells nothing."""
        return None

    def recorder(self) -> Recorder:
        """Return a new recorder for one task."""
        raise NotImplementedError

    def decide(self, survey: Survey, engine: Engine) -> Mapping[str, int]:
        """Leave the verdicts with `survey.judge`; return counts for the report."""
        raise NotImplementedError

    def act(self, document: Document, verdicts: list[Verdict]) -> Drop | None:
        """Carry out the verdicts on one document."""
        raise NotImplementedError


class Order(Step):
    """A step that puts all documents in another order; the last of a recipe."""

    def apply(self, document: Document) -> Drop | None:  # noqa: ARG002 - the interface
        """Keep every document."""
        return None

    def order_key(self, document: Document) -> int:
        """Return 64 bits; the corpus is sorted by them, then by id. They should be spread evenly over their range."""
        raise NotImplementedError
