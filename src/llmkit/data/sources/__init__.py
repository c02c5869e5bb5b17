"""Family "source": where raw documents come from, one module each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from llmkit.core.inputs import RawFile
from llmkit.core.registry import Part

__all__ = ["Broken", "RawFile", "Record", "Source"]


@dataclass(slots=True)
class Record:
    """One raw row of a file.

    Attributes:
        row: Row number within the file, from 0.
        text: The document, or for labelled rows the text that stands for the row (filters and dedup read it).
        source: Name of the source the row belongs to, shown in reports and used by mixtures.
        fields: Labelled rows only: the columns that training or evaluation reads, such as `messages`.
        meta: Everything else that travels with the row; JSON-serializable.
        language: BCP 47 tag, where the source knows it.
    """

    row: int
    text: str
    source: str
    fields: dict[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """One raw row that could not be read; it is quarantined and counted, its neighbours are kept.

    Attributes:
        row: Row number within the file, from 0.
        line: Line number within the file, from 1, where the format has lines.
        reason: One sentence for a person.
        excerpt: The first characters of what was there.
    """

    row: int
    reason: str
    line: int | None = None
    excerpt: str = ""


class Source(Part):
    """A place raw documents come from. Both methods are deterministic, whatever the machine or the worker."""

    def kind(self) -> Literal["corpus", "examples"]:
        """Say what the rows are: text to train on, or labelled rows."""
        return "corpus"

    def files(self) -> list[RawFile]:
        """List the input files, sorted by name.

        Raises:
            DataError: Nothing is there; the message names the path.
        """
        raise NotImplementedError

    def root(self) -> str:
        """Return the absolute path that stands for the source in `llmkit lineage`."""
        raise NotImplementedError

    def left_out(self) -> int:
        """Return how many documents the source itself leaves out, because they are held out for evaluation."""
        return 0

    def read(self, file: RawFile) -> Iterator[Record | Broken]:
        """Yield the rows of one file in file order, each as a `Record` or as a `Broken`."""
        raise NotImplementedError
