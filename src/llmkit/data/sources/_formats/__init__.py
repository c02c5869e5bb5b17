"""File formats, one module each: a module's `FORMAT` says which suffixes it reads and how."""

from __future__ import annotations

import difflib
import importlib
import io
import pkgutil
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import BinaryIO, ClassVar, cast

from llmkit.core.inputs import RawFile
from llmkit.data.rows import RowError
from llmkit.data.sources import Broken, Record, Span
from llmkit.data.sources._columns import Columns
from llmkit.data.sources._lines import read_whole
from llmkit.data.sources._streams import BUFFER_BYTES, CODECS, DAMAGE, Section, buffered, decompress, describe_damage
from llmkit.data.sources._text import HEAD_BYTES, Decoder, Transcoded, wide_encoding

_BOOKKEEPING = frozenset({"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"})
"""What the datasets library writes beside the data."""
_PART = re.compile(r"\.xml-p\d+p\d+$")
"""What the names of Wikipedia's dumps in parts end in: the first and the last page in them."""


@dataclass(frozen=True)
class Reading:
    """One file that is being read.

    Attributes:
        file: The file.
        codec: Suffix of its compression, or nothing.
        open_raw: Opens it, compressed as it is; seekable.
        encoding: A Python codec or `auto`.
        columns: How rows become records.
        local: Whether it is cheap to read it once more.
    """

    file: RawFile
    codec: str
    open_raw: Callable[[], BinaryIO]
    encoding: str
    columns: Columns
    local: bool

    def open_bytes(self, span: Span | None = None) -> io.BufferedReader:
        """Open the decompressed contents, or those of a span of bytes."""
        if span is not None and span.stop is not None:
            return buffered(Section(self.open_raw(), span.start, span.stop))
        if not self.codec:
            return cast("io.BufferedReader", self.open_raw())
        with self.open_raw() as raw:
            if not raw.read(1):  # an empty file, compressed by nobody
                return io.BufferedReader(io.BytesIO())
        return decompress(self.open_raw, self.codec, self.file.num_bytes)

    def open_seekable(self) -> BinaryIO:
        """Open the decompressed contents so that any place can be read: they are unpacked to a temporary file."""
        if not self.codec:
            return self.open_raw()
        file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever reads it closes it
        try:
            with self.open_bytes() as stream:
                shutil.copyfileobj(stream, file, BUFFER_BYTES)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return cast("BinaryIO", file)

    def open_text(self, span: Span | None = None) -> tuple[io.BufferedReader, Decoder]:
        """Open the contents as bytes in which a newline is one byte, with what turns them into text."""
        stream = self.open_bytes(span)
        wide = None if span is not None and span.start else wide_encoding(self.encoding, stream.peek(4)[:4])
        if wide:
            return buffered(Transcoded(stream, wide)), Decoder("utf-8", bytes)
        return stream, Decoder(self.encoding, self.head)

    def head(self) -> bytes:
        """Return the first bytes, to judge the encoding by."""
        with self.open_bytes() as stream:
            return stream.read(HEAD_BYTES)

    def whole(self) -> list[Span]:
        """Return the one span of a file that cannot be cut."""
        return [Span(num_bytes=self.file.num_bytes)]


class Format:
    """A file format. What cannot be read is a `Broken`, and its neighbours are kept.

    Attributes:
        suffixes: What file names end in, in lower case, without compression.
        has_rows: Whether a file holds many rows, rather than being one document.
    """

    suffixes: ClassVar[tuple[str, ...]]
    has_rows: ClassVar[bool] = True

    def read(self, reading: Reading, span: Span | None) -> Iterator[Record | Broken]:
        """Yield the rows of a file, or of one of its spans."""
        raise NotImplementedError

    def spans(self, reading: Reading, num_bytes: int) -> list[Span]:  # noqa: ARG002 - for the formats that can
        """Cut a file into spans; see `Source.spans`."""
        return reading.whole()


class DocumentFormat(Format):
    """A format of which each file is one document."""

    has_rows = False

    def read(self, reading: Reading, span: Span | None) -> Iterator[Record | Broken]:  # noqa: ARG002 - always whole
        """Yield the document; nothing for an empty file."""
        data = b""
        try:
            with reading.open_bytes() as stream:
                data = read_whole(stream)
            if data:
                yield self.document(reading, data)
        except RowError as error:
            yield Broken(0, str(error), excerpt=data[:200].decode("utf-8", "replace"))
        except DAMAGE as error:
            yield Broken(0, describe_damage(error, 0))

    def document(self, reading: Reading, data: bytes) -> Record:
        """Return the document that the bytes of a file are."""
        raise NotImplementedError


@cache
def formats() -> dict[str, Format]:
    """Return the format of every suffix, longest suffix first."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    found: dict[str, Format] = {suffix: module.FORMAT for module in modules for suffix in module.FORMAT.suffixes}
    return dict(sorted(found.items(), key=lambda item: (-len(item[0]), item[0])))


def format_of(suffix: str) -> Format:
    """Return the format of a suffix that `split_suffix` gives."""
    return formats()[suffix.partition("-")[0]]


def split_suffix(name: str) -> tuple[str, str]:
    """Return the suffixes of the format and of the compression, both empty if the file is not read."""
    name = name.lower()
    codec = next((codec for codec in CODECS if name.endswith(codec)), "")
    stem = name.removesuffix(codec)
    part = _PART.search(stem)
    suffix = part[0] if part else next((suffix for suffix in formats() if stem.endswith(suffix)), "")
    return (suffix, codec) if suffix else ("", "")


def suffix_of(name: str) -> str:
    """Return the suffix that is read, compression included, as long as it is in `name`; or nothing."""
    return "".join(split_suffix(name))


def listing(suffix: str = "") -> str:
    """Say which suffixes are read, and which is nearest to an unknown one."""
    close = difflib.get_close_matches(suffix.lower(), [*formats(), *CODECS], n=1) if suffix else []
    guess = f"did you mean '{close[0]}'? " if close else ""
    return f"{guess}suffixes that are read: {', '.join(sorted(formats()))}; compressed: {', '.join(CODECS)}"


def companions(names: list[str]) -> set[str]:
    """Return those files of a searched directory that describe its data: the datasets library's own, and cards.

    A README is a document among documents, and a card beside tables or archives.
    """
    found = {name for name in names if name.rpartition("/")[2].lower() in _BOOKKEEPING}
    if any(format_of(split_suffix(name)[0]).has_rows for name in names if name not in found):
        found |= {name for name in names if name.rpartition("/")[2].lower() == "readme.md"}
    return found
