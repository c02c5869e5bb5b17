"""Source "files": JSON Lines, plain text and Parquet files, compressed or not, read row by row.

A row of JSON Lines is one object per line, `{"text": "...", "url": "..."}`; a text file is one document.
"""

from __future__ import annotations

import difflib
import glob
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from llmkit.core.config import NotIdentity
from llmkit.core.errors import DataError
from llmkit.core.manifest import MANIFEST
from llmkit.data.sources import Broken, RawFile, Record, Source
from llmkit.data.sources._rows import (
    DAMAGE,
    RowError,
    decode,
    describe_damage,
    expect,
    open_stream,
    parse_messages,
    parse_row,
    read_lines,
    read_parquet,
    read_whole,
)

if TYPE_CHECKING:
    import io

LINE_SUFFIXES = tuple(kind + codec for kind in (".jsonl", ".ndjson", ".jsonlines") for codec in ("", ".gz", ".zst"))
TEXT_SUFFIXES = (".txt", ".txt.gz", ".txt.zst")
SUFFIXES = (*LINE_SUFFIXES, *TEXT_SUFFIXES, ".parquet")


class Files(Source):
    """Read files from disk: a file, a directory searched recursively, or a glob pattern.

    In directories and globs, names that begin with a dot are skipped, links are followed, and a file with two names is
    read once. Columns other than the one that is read go to `meta`; values that JSON does not have become text, and
    NaN and infinity become null.
    """

    path: Annotated[str, NotIdentity] = Field(min_length=1)
    """File, directory or glob (`data/**/*.jsonl.gz`); `~` is the home directory."""

    text_field: str = "text"
    """Column that holds the document (JSON Lines and Parquet)."""

    name: str | None = None
    """Source name shown in reports and used by mixtures; default: each file's name without its suffixes."""

    messages_field: str | None = None
    """Column that holds a conversation, a list of {role, content}; if given, the rows are labelled examples."""

    def kind(self) -> Literal["corpus", "examples"]:
        """Say "examples" where a column of messages is named, else "corpus"."""
        return "corpus" if self.messages_field is None else "examples"

    def root(self) -> str:
        """Return the absolute path, or the absolute pattern."""
        return str(Path(self.path).expanduser().absolute())

    def files(self) -> list[RawFile]:
        """List the input files, sorted by their names relative to the directory (or to the glob's fixed part).

        Raises:
            DataError: Nothing is there, or nothing with a suffix that is read; the message names it.
        """
        try:
            root, paths = _find(Path(self.path).expanduser())
            paths = [path for path in paths if _suffix(path.name) and path.is_file()]
            # Of several names for one file the shortest stays, also where a link to a folder above makes a loop.
            once = {
                path.resolve(): path for path in sorted(paths, key=lambda path: (len(path.parts), path), reverse=True)
            }
            found = [
                RawFile(str(p.absolute()), p.relative_to(root).as_posix(), p.stat().st_size) for p in once.values()
            ]
        except OSError as error:
            raise DataError(f"cannot read {self.path}: {error.strerror or error}", f"ls -ld {self.path}") from error
        if not found:
            raise DataError(f"no files to read in {self.path}", hint=f"suffixes that are read: {', '.join(SUFFIXES)}")
        return sorted(found, key=lambda file: file.name)

    def read(self, file: RawFile) -> Iterator[Record | Broken]:
        """Yield the rows; whatever cannot be read is one `Broken`, and the rows around it are kept.

        Row numbers count non-empty lines. One line, text file or Parquet batch is in memory at a time.

        Raises:
            DataError: The operating system refuses to read the file.
        """
        suffix = _suffix(file.path)
        source = self.name or Path(file.name).name[: -len(suffix)]
        try:
            if suffix == ".parquet":
                yield from self._read_parquet(file.path, source)
                return
            with open_stream(file.path, suffix) as stream:
                yield from (self._read_text if suffix in TEXT_SUFFIXES else self._read_lines)(stream, source)
        except OSError as error:
            raise DataError(f"cannot read {file.path}: {error.strerror or error}", f"ls -l {file.path}") from error

    def _read_lines(self, stream: io.BufferedIOBase, source: str) -> Iterator[Record | Broken]:
        row = 0
        try:
            for number, line in read_lines(stream):
                try:
                    yield self._record(row, parse_row(line), source)
                except RowError as error:
                    yield Broken(row, str(error), number, line[:200].decode("utf-8", "replace"))
                row += 1
        except DAMAGE as error:
            yield Broken(row, describe_damage(error, row))

    def _read_text(self, stream: io.BufferedIOBase, source: str) -> Iterator[Record | Broken]:
        data = b""
        try:
            data = read_whole(stream)
            text = decode(data).removeprefix("\ufeff").replace("\r\n", "\n")
            yield self._record(0, {self.text_field: text}, source)
        except RowError as error:
            yield Broken(0, str(error), excerpt=data[:200].decode("utf-8", "replace"))
        except DAMAGE as error:
            yield Broken(0, describe_damage(error, 0))

    def _read_parquet(self, path: str, source: str) -> Iterator[Record | Broken]:
        for row, value in read_parquet(path):
            try:
                if isinstance(value, RowError):
                    raise value
                yield self._record(row, value, source)
            except RowError as error:
                yield Broken(row, str(error), excerpt="" if value is error else str(value)[:200])

    def _record(self, row: int, value: Mapping[str, Any], source: str) -> Record:
        field = self.text_field if self.messages_field is None else self.messages_field
        if field not in value:
            close = difflib.get_close_matches(field, value, n=1)
            guess = f"; did you mean '{close[0]}'?" if close else ""
            raise RowError(f"no field '{field}'; the row has: {', '.join(list(value)[:12]) or 'nothing'}{guess}")
        meta = {key: item for key, item in value.items() if key != field}
        language = meta.pop("language", None) if isinstance(meta.get("language"), str) else None
        if self.messages_field is None:
            return Record(row, expect(value[field], str, f"field '{field}'"), source, meta=meta, language=language)
        messages = parse_messages(field, value[field])
        text = "\n".join(message["content"] for message in messages)
        return Record(row, text, source, fields={"messages": messages}, meta=meta, language=language)


def _suffix(name: str) -> str:
    """Return the suffix that is read, or nothing."""
    return next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")


def _find(path: Path) -> tuple[Path, list[Path]]:
    """Return the directory that names are relative to, and the candidate files."""
    if (path / MANIFEST).is_file():  # a corpus of ours: not its reports and rejects
        return path, _glob(path, "data-*.parquet")
    if path.is_dir():
        return path, _walk(path)
    if path.exists():
        if not _suffix(path.name):
            kind = f"unknown file type '{path.suffix}'" if path.suffix else "it has no suffix that tells its type"
            raise DataError(f"cannot read {path}: {kind}", hint=f"suffixes that are read: {', '.join(SUFFIXES)}")
        return path.parent, [path]
    parent = next((parent for parent in path.parents if parent.is_dir()), Path())
    if not glob.has_magic(str(path)):
        names = [item.name for item in parent.iterdir()]
        close = difflib.get_close_matches(path.relative_to(parent).parts[0], names, n=1)
        guess = f"; did you mean '{parent / close[0]}'?" if close else ""
        raise DataError(f"no such file or directory: {path}{guess}", hint=f"ls {parent}")
    fixed = next(index for index, part in enumerate(path.parts) if glob.has_magic(part))
    root = Path(*path.parts[:fixed])
    matches = _glob(root, str(Path(*path.parts[fixed:])))
    if not matches:
        raise DataError(f"no files match {path}", hint=f"ls {parent}")
    return root, [file for match in matches for file in ([match] if match.is_file() else _walk(match))]


def _walk(root: Path) -> list[Path]:
    """Return the files below a directory, by depth, each folder once however many links lead to it.

    Artifacts of ours inside it are passed over: a project's `build/` is no raw text.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    level = [root]
    while level:
        folders: list[Path] = []
        for folder in level:
            stat = folder.stat()
            if (stat.st_dev, stat.st_ino) in seen or (folder != root and (folder / MANIFEST).is_file()):
                continue
            seen.add((stat.st_dev, stat.st_ino))
            for entry in sorted(folder.iterdir()):
                if not entry.name.startswith("."):
                    (folders if entry.is_dir() else found).append(entry)
        level = folders
    return found


def _glob(root: Path, pattern: str) -> list[Path]:
    # Path.glob does not follow links to directories, and matches names that begin with a dot.
    return [root / match for match in glob.iglob(pattern, root_dir=root, recursive=True)]  # noqa: PTH207
