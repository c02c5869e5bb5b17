"""Source "files": documents in files of any common format, compressed or not, on disk or at a URL.

A row of JSON Lines is one object per line, `{"text": "...", "url": "..."}`; a text file is one document. The formats
are the modules of `_formats`.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from llmkit.core.config import NotIdentity
from llmkit.data.rows import Row
from llmkit.data.sources import Broken, RawFile, Record, Span
from llmkit.data.sources._columns import Columns
from llmkit.data.sources._dialect import Dialect
from llmkit.data.sources._formats import split_suffix
from llmkit.data.sources._local import artifact_row, find_files, local_path
from llmkit.data.sources._reading import cut_file, describe_file, read_file
from llmkit.data.sources._remote import find_urls, is_url, remote_row
from llmkit.data.sources._streams import CODECS
from llmkit.data.sources._tabular import Tabular

TABLES_SHOWN = 20
_TABLES = tuple(form + codec for form in (".csv", ".tsv") for codec in ("", *CODECS))


class Files(Tabular):
    """Read files: one, a directory searched recursively, or a glob pattern; local, or any URL that fsspec opens.

    JSON Lines, JSON, text, CSV, TSV, Markdown, HTML, WARC, WET, TMX, Parquet and Arrow, also as .gz, .bz2, .xz or .zst.
    In directories and globs, names that begin with a dot are skipped, links are followed, and a file with two names is
    read once. Columns other than those that are read go to `meta`; values that JSON does not have become text, and
    NaN and infinity become null. Rows of a corpus of ours keep their source, language and meta.
    """

    path: Annotated[str, NotIdentity] = Field(min_length=1)
    """File, directory, glob (`data/**/*.jsonl.gz`) or URL (`s3://bucket/data`); `~` is the home directory."""

    name: str | None = None
    """Source name shown in reports and used by mixtures; default: each file's name without its suffixes."""

    encoding: str = "auto"
    """Encoding of text, such as `gb18030` or `latin-1`; `auto` is UTF-8, UTF-16 and UTF-32 with a byte order mark,
    and GB18030 where it decodes to Chinese. Anything else is an unreadable row rather than a guess."""

    delimiter: str = "auto"
    """What stands between the fields of a table: one character, or `tab`. `auto` tries commas, semicolons, tabs and
    bars on the first rows of each file, and in `.tsv` tabs alone."""

    quoting: Literal["auto", "quotes", "none"] = "auto"
    """Whether a `"` at the beginning of a table's field goes on to the next `"`, over delimiters and lines, or is a
    character like any other. `auto` decides on each file."""

    escape: Literal["auto", "double", "backslash"] = "auto"
    """How a `"` is written in a quoted field: as `""`, or with a backslash before it. `auto` decides on each file."""

    header: bool | Literal["auto"] = "auto"
    """Whether a table's first row names the columns; else they are `column1`, `column2` and so on. `auto` finds a
    header where a column that is read is among the names, or nothing in the row looks like a value."""

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str) -> str:
        value = {"tab": "\t", "\\t": "\t"}.get(value, value)
        if value != "auto" and (len(value) != 1 or value in '"\r\n'):
            raise ValueError("expected one character, tab, or auto")
        return value

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str) -> str:
        if value == "auto":
            return value
        try:
            name = codecs.lookup(value).name
            "".encode(name)  # refuses codecs from bytes to bytes, such as hex
        except LookupError:
            raise ValueError(f"unknown encoding '{value}'; for example: auto, utf-8, gb18030, big5, latin-1") from None
        return name

    def own_row(self) -> Row | None:
        """Return what kind of labelled rows the path holds, where it names an examples artifact or a file of one."""
        return remote_row(self.path) if is_url(self.path) else artifact_row(local_path(self.path))

    def root(self) -> str:
        """Return the absolute path, the absolute pattern, or the URL."""
        return self.path if is_url(self.path) else str(Path(local_path(self.path)).expanduser().absolute())

    def files(self) -> list[RawFile]:
        """List the input files, sorted by their names relative to the directory (or to the glob's fixed part).

        Raises:
            DataError: Nothing is there, or nothing with a suffix that is read; the message names it.
            SetupError: The package for a kind of URL is not installed.
        """
        return find_urls(self.path) if is_url(self.path) else find_files(local_path(self.path))

    def records(self, file: RawFile, span: Span | None, columns: Columns) -> Iterator[Record | Broken]:
        """Yield the rows; whatever cannot be read is one `Broken`, and the rows around it are kept.

        Row numbers count non-empty lines. One line, document or Parquet batch is in memory at a time.

        Raises:
            DataError: The operating system or the server refuses to read the file.
        """
        return read_file(file, span, columns, self.encoding, self._dialect())

    def spans(self, file: RawFile, num_bytes: int) -> list[Span]:
        """Cut JSON Lines at newlines and Parquet at row groups; other files and compressed ones are one span.

        Raises:
            DataError: The operating system or the server refuses to read the file.
        """
        return cut_file(file, num_bytes, self.columns_of(file), self.encoding)

    def describe(self) -> list[str]:
        """Say how tables are written, the first `TABLES_SHOWN` of them: a line for each way, with a file as example."""
        found: dict[str, list[str]] = {}
        for file in islice((file for file in self.files() if file.name.lower().endswith(_TABLES)), TABLES_SHOWN):
            if how := describe_file(file, self.columns_of(file), self.encoding, self._dialect()):
                found.setdefault(how, []).append(file.name)
        return [
            f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}: {how}" for how, names in found.items()
        ]

    def columns_of(self, file: RawFile) -> Columns:
        """Return what is read of a file's rows; its name without suffixes is that of the source."""
        name = self.name or Path(file.name).name[: -len("".join(split_suffix(file.name)))]
        return Columns(self.text_field, self.row_kind(), source=name, keeps_source=self.name is None)

    def _dialect(self) -> Dialect:
        return Dialect(self.delimiter, self.quoting, self.escape, self.header)
