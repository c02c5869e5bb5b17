"""Find files on disk: a file, a directory searched recursively, or a glob pattern."""

from __future__ import annotations

import difflib
import glob
import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote_to_bytes

from llmkit.core.digest import digest_file
from llmkit.core.errors import DataError
from llmkit.core.found import hub_name, in_words, recognize, way
from llmkit.core.inputs import RawFile
from llmkit.core.machine import raise_limit
from llmkit.core.manifest import MANIFEST, PARTIAL, article, read_manifest
from llmkit.core.move import RUN
from llmkit.data.artifacts import Corpus
from llmkit.data.rows import Row
from llmkit.data.sources._formats import companions, listing, suffix_of
from llmkit.data.sources._streams import BUFFER_BYTES


def find_files(path: str) -> list[RawFile]:
    """List the files that can be read, by name; see `Files.files`."""
    try:
        root, paths, searched = _find(Path(path).expanduser())
        paths = [file for file in paths if suffix_of(file.name) and file.is_file()]
        found = [raw_file(file, root) for file in each_once(paths)]
    except OSError as error:
        raise_limit(error)
        raise DataError(f"cannot read {path}: {error.strerror or error}", f"ls -ld {path}") from error
    if searched:
        left_out = companions([file.name for file in found])
        found = [file for file in found if file.name not in left_out]
    if not found:
        raise DataError(f"no files to read in {path}", hint=listing())
    return sorted(found, key=lambda file: file.name)


def each_once(files: Iterable[Path]) -> list[Path]:
    """Return the shortest name of each file, also where a link to a folder above makes a loop."""
    longest_first = sorted(files, key=lambda file: (len(file.parts), file), reverse=True)
    return list({file.resolve(): file for file in longest_first}.values())


def local_path(path: str) -> str:
    """Return a file's name for the operating system, from a `RawFile.path` or a `file://` URL."""
    if not path.startswith("file://"):
        return path
    literal = path.removeprefix("file://")
    return literal if Path(literal).exists() else os.fsdecode(unquote_to_bytes(literal))


def open_local(path: str) -> BinaryIO:
    """Open a file by its `RawFile.path`."""
    return Path(local_path(path)).open("rb", buffering=BUFFER_BYTES)


def artifact_row(path: str) -> Row | None:
    """Return what kind of labelled rows an artifact holds that a path names, or names a file of; None for all else.

    Raises:
        DataError: A glob matches examples and something else.
    """
    from llmkit.data.corpus import kept_row

    try:
        place = Path(path).expanduser()
        if place.exists() or not glob.has_magic(path):
            folders = [place if place.is_dir() else place.parent]
        else:
            folders = sorted({Path(local_path(file.path)).parent for file in find_files(path)})
        manifests = [(folder, read_manifest(folder)) for folder in folders]
    except (OSError, DataError):
        return None  # listing the files says what is wrong
    rows = [
        kept_row(manifest.details, str(folder)) if manifest and manifest.kind == "examples" else None
        for folder, manifest in manifests
    ]
    if any(row != rows[0] for row in rows):
        several = "examples of several kinds" if all(rows) else "examples and other files"
        raise DataError(f"{path} matches {several}", hint="clean them into two outputs")
    return rows[0] if rows else None


def files_at(path: Path) -> tuple[Path, list[Path]]:
    """Return what names are relative to, and all files of a directory, of a glob, or the file itself.

    Raises:
        DataError: Nothing is there.
    """
    if path.is_dir():
        return path, _walk(path)
    if path.exists():
        return path.parent, [path]
    root, found, _ = _find(path)
    return root, found


def raw_file(file: Path, root: Path) -> RawFile:
    """Return a file by its name below a directory."""
    path, name, size = str(file.absolute()), file.relative_to(root).as_posix(), file.stat().st_size
    try:
        path.encode()
    except UnicodeEncodeError:  # not UTF-8 on disk: as it is, it could be written to no report
        url = "file://" + quote(os.fsencode(path))
        return RawFile(url, os.fsencode(name).decode("utf-8", "backslashreplace"), size, digest_file(path))
    return RawFile(path, name, size)


def _find(path: Path) -> tuple[Path, list[Path], bool]:
    """Return the directory that names are relative to, the candidate files, and whether a directory was searched."""
    if path.is_dir():
        return path, *_find_in(path)
    if path.exists():
        if not suffix_of(path.name):
            kind = f"unknown file type '{path.suffix}'" if path.suffix else "it has no suffix that tells its type"
            if what := recognize(path):
                raise DataError(f"cannot read {path}: it holds {in_words(what)}, not text or rows")
            raise DataError(f"cannot read {path}: {kind}", hint=listing(path.suffix))
        return path.parent, [path], False
    parent = next((parent for parent in path.parents if parent.is_dir()), Path())
    if not glob.has_magic(str(path)):
        names = [item.name for item in parent.iterdir()]
        close = difflib.get_close_matches(path.relative_to(parent).parts[0], names, n=1)
        guess = f"; did you mean '{parent / close[0]}'?" if close else ""
        name = hub_name(path) if not close and len(path.parts) == 2 else None
        hint = (name and way("hub", ("corpus",), name)) or f"ls {parent}"
        raise DataError(f"no such file or directory: {path}{guess}", hint=hint)
    fixed = next(index for index, part in enumerate(path.parts) if glob.has_magic(part))
    root = Path(*path.parts[:fixed])
    matches = _glob(root, str(Path(*path.parts[fixed:])))
    if not matches:
        raise DataError(f"no files match {path}", hint=f"ls {parent}")
    found = [file for match in matches for file in (_find_in(match)[0] if match.is_dir() else [match])]
    return root, [file for file in found if not _is_reject(file)], False


def _find_in(directory: Path) -> tuple[list[Path], bool]:
    """Return the files of a directory, and whether it was searched; of an artifact of ours, its data alone."""
    manifest = read_manifest(directory)
    if manifest is None:
        if (directory / PARTIAL / RUN).is_file():
            raise DataError(
                f"cannot read {directory}: it is unfinished", hint="run the command that writes it again: it goes on"
            )
        configs = (directory / "config.json", directory / "adapter_config.json")
        if any(map(Path.is_file, configs)) and (kind := recognize(directory)) in ("hf_model", "adapter"):
            hint = way(kind, ("corpus",), directory, "inputs")
            raise DataError(f"cannot read {directory}: it holds {in_words(kind)}, not text or rows", hint)
        return _walk(directory), True
    if manifest.kind not in ("corpus", "examples"):
        hint = way(manifest.kind, ("corpus",), directory, "inputs")
        raise DataError(f"cannot read {directory}: it holds {article(manifest.kind)}, not a corpus or examples", hint)
    return Corpus(directory).files(), False


def _is_reject(file: Path) -> bool:
    """Tell whether a file is the sample of what an earlier cleaning dropped: `corpus/**` would bring it back."""
    return file.parent.name == Corpus.REJECTED and (file.parent.parent / MANIFEST).is_file()


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
