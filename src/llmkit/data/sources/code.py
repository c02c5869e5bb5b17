"""Source "code": files of source code, each a document."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import Field

from llmkit.core.config import NotIdentity
from llmkit.core.errors import DataError
from llmkit.core.machine import raise_limit
from llmkit.data.sources import Broken, RawFile, Record, Source
from llmkit.data.sources._columns import Columns
from llmkit.data.sources._formats import Reading
from llmkit.data.sources._formats.plain_text import FORMAT
from llmkit.data.sources._local import each_once, files_at, open_local, raw_file

SUFFIXES = [
    ".c", ".cc", ".cpp", ".cs", ".cu", ".go", ".h", ".hpp", ".java", ".jl", ".js", ".jsx", ".kt", ".lua", ".m", ".php",
    ".pl", ".py", ".pyi", ".r", ".rb", ".rs", ".scala", ".sh", ".sql", ".swift", ".ts", ".tsx",
]  # fmt: skip


class Code(Source):
    """Read source code: a file, a directory searched recursively, or a glob pattern; each file is one document.

    Names that begin with a dot are skipped, and so are artifacts of ours. A document's source is the file's suffix.
    """

    path: Annotated[str, NotIdentity] = Field(min_length=1)
    """File, directory or glob (`src/**/*.py`); `~` is the home directory."""

    suffixes: list[str] = Field(SUFFIXES, min_length=1)
    """What names end in, of the files that are read in directories and by globs."""

    def files(self) -> list[RawFile]:
        """List the files, by name.

        Raises:
            DataError: Nothing is there, or no file with one of the suffixes.
        """
        place = Path(self.path).expanduser()
        try:
            root, paths = files_at(place)
            kept = [file for file in paths if file == place or file.suffix.lower() in self.suffixes]
            found = [raw_file(file, root) for file in each_once(file for file in kept if file.is_file())]
        except OSError as error:
            raise_limit(error)
            raise DataError(f"cannot read {self.path}: {error.strerror or error}", f"ls -ld {self.path}") from error
        if not found:
            raise DataError(f"no source code in {self.path}", f"suffixes that are read: {', '.join(self.suffixes)}")
        return sorted(found, key=lambda file: file.name)

    def root(self) -> str:
        """Return the absolute path, or the absolute pattern."""
        return str(Path(self.path).expanduser().absolute())

    def read(self, file: RawFile) -> Iterator[Record | Broken]:
        """Yield the file's text; nothing for an empty file."""
        columns = Columns("text", None, Path(file.name).suffix.lstrip(".").lower() or "code")
        reading = Reading(file, "", partial(open_local, file.path), "auto", columns, local=True)
        yield from FORMAT.read(reading, None)


def holds_code(path: str) -> bool:
    """Tell whether a path that `files` finds nothing in is one of source code."""
    place = Path(path).expanduser()
    if not (place.exists() or glob.has_magic(path)):
        return False
    try:
        return bool(Code(path=path).files())
    except DataError:
        return False
