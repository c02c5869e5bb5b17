"""Family "source": where raw documents come from, one module each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from llmkit.core.inputs import RawFile
from llmkit.core.registry import Part
from llmkit.data.rows import Row

__all__ = ["Broken", "RawFile", "Record", "Source", "Span"]


@dataclass(slots=True)
class Record:
    """One raw row of a file.

    Attributes:
        row: Row number within the file, from 0.
        text: The document, or for labelled rows the text that stands for the row (filters and dedup read it).
        source: Name of the source the row belongs to, shown in reports and used by mixtures.
        fields: Labelled rows only: the row, of the kind that `Source.row_kind` says.
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
    """One raw row, or several in a row, that could not be read; it is quarantined and counted, its neighbours are kept.

    Attributes:
        row: Row number within the file, from 0.
        line: Line number within the file, from 1, where the format has lines.
        reason: One sentence for a person.
        excerpt: The first characters of what was there.
        num_rows: How many rows it stands for: one, or as many as a damaged part of a file says that it had.
    """

    row: int
    reason: str
    line: int | None = None
    excerpt: str = ""
    num_rows: int = 1

    def place(self, path: str) -> str:
        """Return where in a file it stands, as people and editors read it."""
        return f"{path}:{self.line}" if self.line else f"{path}: row {self.row + 1}"


@dataclass(frozen=True, slots=True)
class Span:
    """A part of one file that is read by itself.

    Attributes:
        start: Where it begins, in the units of the format: bytes of line-based files, row groups of Parquet, rows.
        stop: Where it ends, exclusive; None for the end of the file.
        row: Number of its first row within the file, so that rows are numbered, and documents named, as without spans.
        line: Number of its first line within the file, from 1.
        num_bytes: Bytes to read, for progress.
    """

    start: int = 0
    stop: int | None = None
    row: int = 0
    line: int = 1
    num_bytes: int = 0


class Source(Part):
    """A place raw documents come from. Both methods are deterministic, whatever the machine or the worker."""

    def kind(self) -> Literal["corpus", "examples"]:
        """Say what the rows are: text to train on, or labelled rows."""
        return "corpus" if self.row_kind() is None else "examples"

    def row_kind(self) -> Row | None:
        """Return what kind of labelled rows they are, and how they are read; None where they are text.

        Raises:
            ConfigError: The data are no rows of the kind that is asked for.
        """
        return None

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

    def describe(self) -> list[str]:
        """Say how files are read, where the files themselves say it."""
        return []

    def read(self, file: RawFile) -> Iterator[Record | Broken]:
        """Yield the rows of one file in file order, each as a `Record` or as a `Broken`."""
        raise NotImplementedError

    def spans(self, file: RawFile, num_bytes: int) -> list[Span]:  # noqa: ARG002 - for the sources that can
        """Cut a file into spans of about so many bytes; the whole file is one span, where a source cannot do better.

        The spans are a function of the file and of `num_bytes`, never of the machine.
        """
        return [Span(num_bytes=file.num_bytes)]

    def read_span(self, file: RawFile, span: Span) -> Iterator[Record | Broken]:  # noqa: ARG002 - the only one there is
        """Yield the rows of one span; all spans of a file, in order, give what `read` gives."""
        return self.read(file)
