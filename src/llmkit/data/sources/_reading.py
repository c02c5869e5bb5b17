"""Read one file by the format that its name says, wherever it lies: what the sources of files have in common."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from llmkit.core.errors import DataError
from llmkit.core.machine import raise_limit
from llmkit.data.sources import Broken, RawFile, Record, Span
from llmkit.data.sources._columns import Columns
from llmkit.data.sources._dialect import FOUND_OUT, Dialect
from llmkit.data.sources._formats import Format, Reading, format_of, split_suffix
from llmkit.data.sources._local import open_local
from llmkit.data.sources._remote import is_url, open_url


def describe_file(file: RawFile, columns: Columns, encoding: str = "auto", dialect: Dialect = FOUND_OUT) -> str:
    """Say how a file is written, where its format finds that out."""
    form, reading = _open(file, columns, encoding, dialect)
    return form.describe(reading)


def read_file(
    file: RawFile, span: Span | None, columns: Columns, encoding: str = "auto", dialect: Dialect = FOUND_OUT
) -> Iterator[Record | Broken]:
    """Yield the rows of a file, or of a span of it.

    Raises:
        DataError: The operating system or the server refuses to read the file.
    """
    form, reading = _open(file, columns, encoding, dialect)
    try:
        yield from form.read(reading, span)
    except OSError as error:
        raise _unreadable(file, error) from error


def cut_file(file: RawFile, num_bytes: int, columns: Columns, encoding: str = "auto") -> list[Span]:
    """Cut a file into spans of about so many bytes.

    Raises:
        DataError: The operating system or the server refuses to read the file.
    """
    form, reading = _open(file, columns, encoding, FOUND_OUT)
    try:
        return form.spans(reading, num_bytes)
    except OSError as error:
        raise _unreadable(file, error) from error


def _open(file: RawFile, columns: Columns, encoding: str, dialect: Dialect) -> tuple[Format, Reading]:
    suffix, codec = split_suffix(file.name)
    remote = is_url(file.path)
    open_raw = partial(open_url if remote else open_local, file.path)
    return format_of(suffix), Reading(file, codec, open_raw, encoding, columns, not remote, dialect)


def _unreadable(file: RawFile, error: OSError) -> DataError:
    raise_limit(error)
    where = "check the network and the credentials" if is_url(file.path) else f"ls -l {file.path}"
    return DataError(f"cannot read {file.path}: {error.strerror or error}", where)
