"""Source "parallel": two text files of which line n of one is the translation of line n of the other, as Moses has it.

train.en   Good morning        train.zh   早上好
"""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from llmkit.core.config import NotIdentity
from llmkit.core.errors import DataError
from llmkit.core.inputs import RawFile
from llmkit.data.rows import Row, RowError
from llmkit.data.rows.source_target import SourceTarget
from llmkit.data.sources import Broken, Record, Source

_OPENERS: Mapping[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


class Parallel(Source):
    """Read pairs of lines as sources and targets, also from .gz, .bz2 and .xz; UTF-8.

    A pair of which one line is empty is counted as unreadable, with its line; files of different length are an error.
    """

    source: Annotated[str, NotIdentity] = Field(min_length=1)
    """File of the sources, a line each."""
    target: Annotated[str, NotIdentity] = Field(min_length=1)
    """File of the targets."""

    def row_kind(self) -> Row:
        """Return sources and targets."""
        return SourceTarget()

    def root(self) -> str:
        """Return the absolute path of the sources."""
        return str(Path(self.source).expanduser().absolute())

    def files(self) -> list[RawFile]:
        """List both files.

        Raises:
            DataError: One is not there.
        """
        found = []
        for role, name in (("source", self.source), ("target", self.target)):
            path = Path(name).expanduser()
            if not path.is_file():
                raise DataError(f"{role}: no such file: {name}", f"ls {path.parent}")
            found.append(RawFile(str(path.absolute()), path.name, path.stat().st_size))
        return found

    def read(self, file: RawFile) -> Iterator[Record | Broken]:
        """Yield the pairs with the file of the sources; with the other one nothing, as it has been read by then.

        Raises:
            DataError: One file has more lines.
        """
        other = Path(self.target).expanduser().absolute()
        if file.path == str(other):
            return
        kind = SourceTarget()
        with _opened(Path(file.path)) as sources, _opened(other) as targets:
            for number, pair in enumerate(zip_longest(sources, targets)):
                if None in pair:
                    shorter = (self.source, self.target)[pair.index(None)]
                    raise DataError(
                        f"'{self.source}' and '{self.target}' differ in length: '{shorter}' ends after line {number:,}",
                        "wc -l counts their lines; they must be in step from the first to the last",
                    )
                try:
                    lines = [line.decode().rstrip("\r\n") for line in pair]
                    row = kind.parse({"source_text": lines[0], "targets": lines[1]})
                except (RowError, UnicodeDecodeError) as error:
                    words = f"no UTF-8: {error.reason}" if isinstance(error, UnicodeDecodeError) else str(error)
                    yield Broken(number, words, line=number + 1)
                    continue
                yield Record(number, kind.key_text(row), Path(self.source).stem, row)


def _opened(path: Path) -> Any:
    return _OPENERS.get(path.suffix.lower(), open)(path, "rb")
